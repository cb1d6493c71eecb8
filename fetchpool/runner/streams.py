"""Standard streams that a program was started without (`<&-`, `>&-`, some service managers)."""

from __future__ import annotations

import os
from contextlib import suppress


def occupy_closed_streams() -> frozenset[int]:
    """Put the null device in the place of closed standard streams; return which were closed.

    Else the next file opened takes the number: what a library writes to standard error would land
    in the ledger, and libuv aborts the process when it is to close a descriptor below 3.
    """
    closed = set()
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
                os.set_inheritable(null, True)
                closed.add(number)
    return frozenset(closed)
