"""HTTP proxies that keep what they were asked: whole requests, and CONNECT.

One is moody, another serves many requests over one connection and passes on what servers say.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
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


class KeepingProxy(RecordingProxy):
    """One whose connections serve request after request, whosever they are, as proxies' do.

    What a server says is passed on byte for byte, until it ends, or the next request comes.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._context = context
        self.connections = 0

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._context else 'http'}://127.0.0.1:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        passing: asyncio.Task[None] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
                waiting = {coming} if passing is None else {coming, passing}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if passing is not None:
                    passing.cancel()
                    await asyncio.gather(passing, return_exceptions=True)
                if not coming.done():
                    coming.cancel()
                    return  # the server has ended, and so does its answer
                answer = self._answer(await coming, reader, writer)
                if coming.result().startswith(b"CONNECT "):
                    await answer
                    return
                passing = asyncio.ensure_future(answer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request; returns when its server has ended."""
        line, *fields = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = line.split(" ")
        pairs = (each.partition(":") for each in fields)
        headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
        self.asked.append(Asked(method, target, headers))
        if method == "OPTIONS":  # with Max-Forwards: 0, it is for the proxy itself
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        try:
            host = (url.hostname or "").rstrip(".")
            far_reader, far_writer = await asyncio.open_connection(host, url.port or 80)
        except OSError:
            writer.write(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        try:
            if method == "CONNECT":
                writer.write(self.opening)
                await both_ways(reader, writer, far_reader, far_writer)
                return
            path = target[target.index("/", len("http://")) :]
            kept = [each for each in fields if not each.lower().startswith("proxy-")]
            far_writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *kept, "", ""]).encode())
            await _pass_on(far_reader, writer)
        except ConnectionResetError:
            _reset(writer)
        finally:
            far_writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Pass bytes both ways until one side ends."""
    ways = [
        asyncio.ensure_future(_pass_on(reader, far_writer)),
        asyncio.ensure_future(_pass_on(far_reader, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, first: bytes
) -> None:
    """Send *first* to *host*, then pass bytes both ways until one side ends."""
    far_reader, far_writer = await asyncio.open_connection(host, port)
    try:
        far_writer.write(first)
        await both_ways(reader, writer, far_reader, far_writer)
    finally:
        far_writer.close()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
