"""Kills the program at a request to the store, and has it gone on with: here, or elsewhere."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypeAlias

from tests.program.helpers import Running, side_by_side
from tests.remote.running import Runs
from tests.remote.store import Objects
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import Asked, Fault, StoreProxy

ALL = range(1, 54) if os.environ.get("TEST_MOMENTS") == "all" else ()
"""All of them, each in every way."""


class _Killing:
    """Kills the program at its request number *moment*: before the store does it, or after."""

    def __init__(self, moment: int, *, after: bool) -> None:
        self.moment, self.is_after = moment, after
        self.begun = 0
        self.process: Running | None = None
        self.ready = threading.Event()
        self.done = False

    def fault(self, asked: Asked) -> Fault | None:
        return Fault.RESET if asked.number == self.moment and not self._kill(after=False) else None

    def after(self, asked: Asked) -> None:
        if asked.number == self.moment:
            self._kill(after=True)

    def _kill(self, *, after: bool) -> bool:
        """Return whether the request goes on."""
        if after is self.is_after:
            assert self.ready.wait(30)
            assert self.process is not None
            os.killpg(self.process.pid, signal.SIGKILL)
            self.done = True
            return after
        return True


Case: TypeAlias = tuple[int, bool, bool]
"""At which request; whether after it; whether another machine goes on."""


def _cases(moments: Iterable[int]) -> list[Case]:
    if ALL:
        return list(product(ALL, (False, True), (False, True)))
    return [(moment, moment % 2 == 0, moment % 3 == 1) for moment in moments]


def kill(
    folder: Path, s3: int, server: CountingServer, kind: str, moments: Iterable[int], workers: str
) -> None:
    """Kill a run of its own at each of *moments*; nothing is lost or doubled."""
    at = partial(_kill_at, folder, s3, server, kind, workers)
    killed = side_by_side(at, _cases(moments))
    assert all(killed) or ALL, "there are no such moments any more"


def _kill_at(
    folder: Path, s3: int, server: CountingServer, kind: str, workers: str, case: Case
) -> bool:
    """Kill as *case* says; go on here, or on a machine that has nothing."""
    moment, after, elsewhere = case
    killing = _Killing(moment, after=after)
    with StoreProxy(s3) as proxy:
        name = f"at-{moment}-{after:d}{elsewhere:d}"
        runs = Runs(folder / name, Objects(s3), proxy, server, kind=kind)
        proxy.fault, proxy.after = killing.fault, killing.after
        with runs.start(workers=workers) as process:
            killing.process = process
            killing.ready.set()
            process.ended()
        proxy.fault = lambda asked: None
        proxy.after = lambda asked: None
        if elsewhere and "_fetchpool/lock" in runs.objects.names("pre/fix/"):
            # As if the lease had run out.
            runs.objects.write("pre/fix/_fetchpool/lock", b'{"holder":"dead","lease_s":0}')
        runs.check_going_on(state="elsewhere" if elsewhere else "state", workers=workers)
    return killing.done
