"""Sends up what is complete while a run is on, where DEST is in an object store.

every second, in a thread: sealed containers ─▶ pieces of the ledger that name what is there
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from fetchpool.model.bodies import StoreError
from fetchpool.output.ledger.errors import LeaseLostError
from fetchpool.output.remote.run import RemoteRun

LOOK_EVERY_S = 1.0


class Publishing:
    """The task of one run."""

    def __init__(self, remote: RemoteRun, on_trouble: Callable[[BaseException], None]) -> None:
        """Tell *on_trouble* once why nothing more goes up: the run has to end."""
        self._remote = remote
        self._on_trouble = on_trouble
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()

        def lost(error: LeaseLostError) -> None:
            with suppress(RuntimeError):  # the loop has ended, and the run with it
                loop.call_soon_threadsafe(self._on_trouble, error)

        self._remote.tell(lost)
        self._task = asyncio.create_task(self._publish(), name="fetchpool-publishing")

    async def stop(self) -> None:
        """End it, what is going up included; may be called again."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _publish(self) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                # Not left halfway: nobody else may publish before that has ended.
                step = asyncio.ensure_future(asyncio.to_thread(self._remote.publish))
                try:
                    await asyncio.shield(step)
                except asyncio.CancelledError:
                    with suppress(OSError, StoreError, LeaseLostError):
                        await step
                    raise
        except (OSError, StoreError, LeaseLostError) as error:
            self._on_trouble(error)
