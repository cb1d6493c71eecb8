"""`.fetchpool/account.json`: where the time of the run's commands went."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from fetchpool.model.slot_time import RunAccount
from fetchpool.output.ledger.files import replace_file
from fetchpool.output.ledger.layout import Layout

COMMANDS_KEPT = 20


class _Accounts(msgspec.Struct):
    version: int
    commands: list[RunAccount]


_decode = msgspec.json.Decoder(_Accounts).decode


def read_accounts(layout: Layout) -> list[RunAccount]:
    """Return the accounts of a run's commands, the first one first; none where there are none.

    What can't be read is no reason to fail: nothing depends on it.
    """
    with suppress(OSError, msgspec.DecodeError):
        found = _decode(layout.account.read_bytes())
        if found.version == 1:
            return found.commands
    return []


def write_accounts(layout: Layout, commands: list[RunAccount]) -> None:
    """Replace the file; the last of *commands* is the one that runs. Raises `OSError`."""
    kept = _Accounts(1, commands[-COMMANDS_KEPT:])
    replace_file(layout.account, msgspec.json.encode(kept), fsync=False)
