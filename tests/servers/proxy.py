"""An HTTP proxy that keeps what it was asked: whole requests, and CONNECT."""

from __future__ import annotations

import asyncio
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
        self._server: asyncio.Server

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        self._server.close()

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
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
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
