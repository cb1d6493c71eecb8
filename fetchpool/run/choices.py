"""What follows from settings before a run begins: where things go, and what goes there."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fetchpool.config import Config, ConfigError, options
from fetchpool.config.credential_values import is_exposed
from fetchpool.config.splitting import rules_of
from fetchpool.model.descriptors import descriptor_of
from fetchpool.model.remote import remote_of
from fetchpool.output.export import Form, form_of
from fetchpool.output.ledger import BodyOptions, Flag, OutputError, RunOptions
from fetchpool.output.ledger.layout import Layout

if TYPE_CHECKING:
    from os import PathLike

    from fetchpool.sources import Sources

R = TypeVar("R")


def check_call(sources: object) -> None:
    """Raise TypeError or RuntimeError where a program calls `run` as it can't be called."""
    if isinstance(sources, str):
        raise TypeError("sources are given as a sequence: put a single one into a list")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "an event loop is running here: use 'await asyncio.to_thread(fetchpool.run, ...)', "
        "or a FetchPool"
    )


def run_options(config: Config, lists: Sources | None = None) -> RunOptions:
    """Return what of *config*, and of *lists*, decides how the run's directory is used."""
    flag = Flag.PLAIN
    if config.retry_failed:
        flag = Flag.RETRY_FAILED
    elif config.once or config.shard:
        flag = Flag.ONCE
    elif config.fresh:
        flag = Flag.FRESH
    return RunOptions(
        flag,
        config.retry_kinds,
        BodyOptions(
            config.no_body,
            config.hash,
            config.keep_errors,
            config.as_received,
            config.ask.variant,
            config.store,
        ),
        config.durability,
        config.add,
        "" if lists is None else _mark(config, lists),
        config.refresh,
        lists is not None and not lists.seekable,
        None if lists is None else lists.sheet,
        str(config.shard[0]) if config.shard else "",
    )


def _mark(config: Config, lists: Sources) -> str:
    """Return what decides which lines become which requests of the run."""
    if lists.split is None:
        return lists.mark
    return "\n".join(filter(None, (lists.mark, rules_of(config))))


def layout_of(config: Config, names: Sequence[str], output: str | None) -> Layout | None:
    """Return where the files of the run are; None where nothing stays on disk."""
    if output is None and config.no_body:
        return None
    remote = None if output is None else remote_of(output)
    if output is not None and remote is None:
        return Layout(Path(output))
    state = None if remote is None else config.state
    return Layout(_by_list(names) if state is None else Path(str(state)), remote=remote)


def _by_list(names: Sequence[str]) -> Path:
    """Return the directory of a run over the lists *names* where the user named none."""
    only = names[0] if len(names) == 1 else "-"
    if only == "-" or "://" in only or only.startswith(("/dev/", "/proc/")):
        return Path("fetched")
    name = Path(only).name
    return Path(f"{_without_ending(name)}.fetched" if "." in name[1:] else "fetched")


_PACKED = re.compile(r"\.(?:gz|bz2|xz|zst|lz4|br|Z)\Z", re.IGNORECASE)
_ENDING = re.compile(r"(?<=.)\.(?!fetched\Z)[a-z][a-z0-9]{0,7}\Z", re.IGNORECASE)


def _without_ending(name: str) -> str:
    """Return a list's *name* without what says its form: `data` for `data.csv.gz`.

    A date or a number at its end (`urls.2026-01-31`) is no form.
    """
    if (packed := _PACKED.search(name)) and packed.start():
        name = name[: packed.start()]
    return _ENDING.sub("", name)


def check_targets(config: Config, layout: Layout | None, names: Sequence[str]) -> None:
    """Raise `ConfigError` where a file of the run would destroy what it needs, or a store can't be.

    `OutputError` where `--metrics-file`, written at the end, could not be: said before, not after.
    """
    if config.store == "parquet":
        from fetchpool.output.sinks.parquet_file import check_installed

        check_installed()
    taken = {Path(name) for name in names if name != "-"}
    if layout is not None:
        taken.add(layout.ledger)
    for option, path in (
        ("--records", None if config.records == "-" else config.records),
        ("--log-file", config.log_file),
        ("--metrics-file", config.metrics_file),
        ("--save-cookies", config.cookie_target),
    ):
        if path is not None and any(_is_same(path, other) for other in taken):
            raise ConfigError(f"{option} {path} would overwrite what this run needs: name another")
    metrics = config.metrics_file
    if metrics is not None and (descriptor_of(metrics) is not None or _is_no_file(Path(metrics))):
        raise OutputError(f"cannot write --metrics-file {metrics}: not a regular file")
    if metrics is not None and not Path(metrics).parent.is_dir():
        raise OutputError(f"cannot write --metrics-file {metrics}: no such directory")


def exposed_files(config: Config) -> list[str]:
    """Return which files with secrets of *config* other users of this machine may read."""
    read = (config.netrc, config.bearer_file, config.cookies)
    paths = [file.path for file in read if file is not None and file.exposed]
    key = config.key or config.cert  # which may hold the key as well
    return paths if key is None or not is_exposed(key) else [*paths, key]


_SAID_ANEW = frozenset({"retry_failed", "retry_kinds", "once", "fresh", "progress", "quiet"})


def command_again(config: Config, names: Sequence[str], output: str | None) -> str | None:
    """Return the command that fetches once more what failed; None where it can't be written down.

    A list that was piped in isn't there any more, and what is secret stays so.
    """
    if any(name.startswith("-") or ("://" in name and "@" in name) for name in names):
        return None
    words = ["fetchpool", "get", *names]
    if output is not None:
        words += ["-o", output]
    words.append("--retry-failed")
    given = options_again(config)
    return None if given is None else shlex.join([*words, *given])


def options_again(config: Config) -> list[str] | None:
    """Return the options that make *config*, but for those about running again; None where they
    can't be written down."""
    words: list[str] = []
    for option in options():
        value = getattr(config, option.name, option.default)
        if option.name in _SAID_ANEW or value == option.default:
            continue
        if option.kind.secret or option.kind.repeatable:
            return None
        if option.is_switch:
            words.append(option.flag)
        elif isinstance(value, str) and option.show(value) != value:
            return None  # it can't be shown as it is
        else:
            words += [option.flag, option.show(value)]
    return words


def failed_records(config: Config, records: str | None) -> str | None:
    """Return how to see all that failed, if *records* is where the records are.

    None where somebody reads them as they come.
    """
    if records is None and config.records is not None:
        return None
    if records is None:
        return "-o DEST or --records FILE keeps them"
    if records == config.records and form_of(config.records_format, records) is Form.CSV:
        return f"in {shlex.quote(records)}"
    return f"jq 'select(.ok|not)' {shlex.quote(records)}"


def _is_no_file(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _is_same(path: str | PathLike[str], other: Path) -> bool:
    return Path(path).resolve() == other.resolve()


def opened(option: str, path: str | None, opener: Callable[[], R]) -> R:
    """Return what *opener* opens: *path*, given with *option*.

    Raises `OutputError` where it can't be created.
    """
    try:
        return opener()
    except OSError as error:
        raise OutputError(f"cannot write {option} {path}: {error.strerror}") from error
