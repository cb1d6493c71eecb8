"""A loop in a thread of its own, so that sync tests can watch a program talk to asyncio servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class ServersLoop(asyncio.SelectorEventLoop):
    """An event loop whose servers may be closed while they accept a connection.

    asyncio can't make a transport for a server that has been closed meanwhile, and leaves its
    socket open: the collector would find it in some later test.
    """

    async def _accept_connection2(
        self,
        protocol_factory: Any,
        conn: socket.socket,
        extra: Any,
        sslcontext: Any = None,
        server: Any = None,
        *more: Any,
        **named: Any,
    ) -> None:
        if server is not None and not server.is_serving():
            conn.close()
            return
        inside: Any = super()
        await inside._accept_connection2(
            protocol_factory, conn, extra, sslcontext, server, *more, **named
        )


class ThreadedServer:
    """Base of servers that run on their own event loop; use as a context manager.

    Subclasses open their sockets in `_open` and close them in `_close`, both on the loop. Tasks
    still running when the server stops are cancelled.
    """

    def __init__(self) -> None:
        self._loop = ServersLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    async def _open(self) -> None:
        raise NotImplementedError

    async def _close(self) -> None:
        raise NotImplementedError

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the server's loop and return its result; callable from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.call(self._open())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.call(self._end())
        self._stop()

    async def _end(self) -> None:
        await self._close()
        await _let_go_on()  # a connection just accepted has no transport yet to close it
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A transport that nothing closed, or that still has to write, would outlive its loop.
        for transport in list(vars(self._loop)["_transports"].values()):
            with contextlib.suppress(AttributeError):  # it has ended already
                transport.abort()
        await _let_go_on()  # they report it

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)
        self._loop.close()


async def _let_go_on() -> None:
    """Let what is ready run, and what becomes ready by that."""
    for _ in range(5):
        await asyncio.sleep(0)
