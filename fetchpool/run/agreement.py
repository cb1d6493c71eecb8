"""What the shards of a list must agree on, by the settings and lists of this one."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from fetchpool.config import options
from fetchpool.config.splitting import limits_of, rules_of
from fetchpool.model.urls import redact
from fetchpool.output.ledger.errors import CannotGoOnError
from fetchpool.output.ledger.layout import SHARDS
from fetchpool.output.shards import agreement

if TYPE_CHECKING:
    from fetchpool.run.call import Call

_READING = ("input_format", "column", "default_scheme", "base")


def check_agreement(call: Call, *, only_look: bool = False) -> None:
    """Put down what all shards of DEST have in common, or compare it with what others put down.

    With *only_look* nothing is put down, and no object store is asked.

    A run of a whole list is refused where there are shards. Raises `CannotGoOnError`,
    `OutputError`.
    """
    config = call.config
    if call.root is None:
        layout = call.layout
        if layout is not None and layout.remote is None and (layout.dest / SHARDS).exists():
            raise CannotGoOnError(
                f"{layout.dest} holds shards of a list: add --shard I/N, or choose another "
                "directory with --output"
            )
        return
    lists = [_listed(name) for name in call.names]
    by_name = {option.name: option for option in options()}
    reading = {
        by_name[name].flag: by_name[name].show(value)
        for name in _READING
        if (value := getattr(config, name)) != by_name[name].default
    }
    agreement.check(
        call.root,
        agreement.Agreement(
            config.shard[0].count,
            rules_of(config),
            len(lists),
            tuple(lists[: agreement.NAMES_KEPT]),
            agreement.digest_of(lists),
            reading,
            limits_of(config),
        ),
        only_look=only_look,
    )


def _listed(name: str) -> agreement.ListedSource:
    if name == "-" or "://" in name:
        return agreement.ListedSource(redact(name))
    try:
        found = os.stat(name)  # noqa: PTH116 - a descriptor's path as well
    except OSError:
        return agreement.ListedSource(name)
    size = found.st_size if stat.S_ISREG(found.st_mode) else None
    return agreement.ListedSource(Path(name).name, size)
