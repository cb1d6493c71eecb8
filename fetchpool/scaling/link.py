"""What lies between parent and worker, whatever carries it: messages, and a worker to talk to.

Nothing but `processes`, `socket_link` and `worker_process` knows of processes and sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias


class NoWorkersError(Exception):
    """Workers can't be started, or die as soon as they are; what is left can be fetched later."""


class Link(Protocol):
    """One end of a connection that carries messages, as bytes, in their order."""

    @property
    def closed(self) -> bool:
        """True once this end was closed, or the other one is known to be gone."""

    def send(self, data: bytes) -> None:
        """Send a message; it waits in memory while the other end has no room.

        Once the link is closed it is discarded: `receive` tells of that.
        """

    async def drain(self) -> None:
        """Wait until the other end has room for more, or is gone."""

    async def receive(self) -> bytes | None:
        """Return the next message, or None once the other end has closed or is gone."""

    async def close(self) -> None:
        """Send what waits, and close; returns also where the other end is gone."""


class StartedWorker(Protocol):
    """A worker that was started. Its first message must be the `Setup`, pickled."""

    @property
    def number(self) -> int:
        """What logs call it."""

    async def connect(self) -> Link:
        """Return the parent's end of the link; once."""

    def kill(self) -> None:
        """End the worker at once, if it still runs."""

    async def wait(self, at_most_s: float | None = None) -> str:
        """Wait until the worker has ended, and return how: "signal 9".

        Raises TimeoutError where that takes longer than *at_most_s*.
        """


StartWorker: TypeAlias = Callable[[], StartedWorker]
"""Starts one more worker; raises OSError."""
