"""HTTP proxies that keep what they were asked: whole requests, and CONNECT; one that is moody."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.servers.thread import ThreadedServer


@dataclass(frozen=True, slots=True)
class Asked:
    """The first line and the fields of a request to the proxy."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """Return the first value of header *name* (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


class RecordingProxy(ThreadedServer):
    """Forwards to wherever it is asked; `asked` holds every request in order."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.url = ""
        self.opening = b"HTTP/1.1 200 Connection established\r\n\r\n"
        """The answer to a CONNECT that is granted."""
        self._server: asyncio.Server

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        self._server.close()

    def says(self, asked: Asked) -> bytes | None:
        """Return what is answered to *asked*, after which is hung up; None: it is served."""
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *fields = head.split("\r\n")[:-2]
            method, target, _ = line.split(" ")
            headers = tuple(
                (name.strip().lower(), value.strip())
                for name, _, value in (each.partition(":") for each in fields)
            )
            self.asked.append(Asked(method, target, headers))
            said = self.says(self.asked[-1])
            if said is not None:
                writer.write(said)
            elif method == "CONNECT":
                host, _, port = target.rpartition(":")
                writer.write(self.opening)
                await _join(reader, writer, host.strip("[]"), int(port), b"")
            else:
                url = urlsplit(target)
                path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
                kept = [each for each in fields if not each.lower().startswith("connection:")]
                lines = [f"{method} {path} HTTP/1.1", *kept, "Connection: close"]
                request = "\r\n".join(lines) + "\r\n\r\n"
                host, port_number = url.hostname or "", url.port or 80
                await _join(reader, writer, host, port_number, request.encode("latin-1"))
        except (OSError, asyncio.IncompleteReadError):
            return  # either side left
        finally:
            writer.close()


class MoodyProxy(RecordingProxy):
    """One that may refuse, hang up, be silent or be away, as a test or its own `mood` wants it."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.mood: Callable[[Asked], bytes | None] = lambda asked: None
        """What `says` returns; on the proxy's loop."""
        self.frozen = False
        """While it is, connections are accepted by the system, and nothing is read or said."""
        self._context = context
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, ssl=self._context
        )
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._context else 'http'}://127.0.0.1:{self._port}"

    def says(self, asked: Asked) -> bytes | None:
        return self.mood(asked)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while self.frozen:  # noqa: ASYNC110 - a test sets it from its own thread
                await asyncio.sleep(0.02)
            await super()._serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the test has ended
        finally:
            self._writers.discard(writer)

    async def _close(self) -> None:
        await super()._close()
        for writer in self._writers:
            writer.transport.abort()
        self.frozen = False
        await asyncio.sleep(0.03)  # until all that were frozen have seen it

    def go_away(self, seconds: float | None = None) -> None:
        """Cut every connection and refuse others, for *seconds* or for good; on the loop."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        if seconds is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, lambda: loop.create_task(self._open()))


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, first: bytes
) -> None:
    """Send *first* to *host*, then pass bytes both ways until one side ends."""
    far_reader, far_writer = await asyncio.open_connection(host, port)
    try:
        far_writer.write(first)
        ways = [
            asyncio.ensure_future(_pass_on(reader, far_writer)),
            asyncio.ensure_future(_pass_on(far_reader, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    finally:
        far_writer.close()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
