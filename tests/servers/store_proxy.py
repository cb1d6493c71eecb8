"""Stands between the program and an object store that speaks S3, and does what stores do badly."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from enum import Enum, auto
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Fault(Enum):
    """What becomes of a request."""

    RESET = auto()
    """The connection is reset before the store hears of it."""
    SLOW_DOWN = auto()
    """503 SlowDown."""
    LOST = auto()
    """The store does as it is asked, and nobody hears of it."""
    DENIED = auto()
    """403 AccessDenied."""
    UNCONDITIONAL = auto()
    """What begins with `If-` is passed over, as some stores do."""


class Asked(NamedTuple):
    """A request to the store."""

    number: int
    """From 1, over all requests."""
    method: str
    bucket: str
    key: str
    query: dict[str, list[str]]

    @property
    def is_multipart(self) -> bool:
        """Whether it is about an object that goes up in parts."""
        return "uploads" in self.query or "uploadId" in self.query


_ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message></Error>"
_SLOW_DOWN = _ERROR.format("SlowDown", "Please reduce your request rate.")
_DENIED = _ERROR.format("AccessDenied", "Access Denied")


def _nothing(asked: Asked) -> None:
    """Let it pass."""


class StoreProxy:
    """A server on loopback before the store at *port*."""

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.fault: Callable[[Asked], Fault | None] = _nothing
        """Asked before each request, in its thread."""
        self.after: Callable[[Asked], None] = _nothing
        """Called once the store has done it, before the answer goes back."""
        self.asked: list[Asked] = []
        self.at_once = 0
        """Most requests that the store was doing at one time."""
        self._now = 0
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            store = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> StoreProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """What a client takes for the store."""
        return f"http://127.0.0.1:{self.port}"

    def note(self, method: str, target: str) -> Asked:
        """Count a request."""
        parts = urlsplit(target)
        _, bucket, *rest = parts.path.split("/", 2)
        query = parse_qs(parts.query, keep_blank_values=True)
        with self._lock:
            number = len(self.asked) + 1
            asked = Asked(number, method, bucket, unquote(rest[0]) if rest else "", query)
            self.asked.append(asked)
        return asked

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count a request while the store does it."""
        with self._lock:
            self._now += 1
            self.at_once = max(self.at_once, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: StoreProxy

    def _handle(self) -> None:
        asked = self.store.note(self.command, self.path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fault = self.store.fault(asked)
            if fault is Fault.RESET:
                self._reset()
            elif fault is Fault.SLOW_DOWN:
                self._reply(503, [("Content-Type", "application/xml")], _SLOW_DOWN.encode())
            elif fault is Fault.DENIED:
                self._reply(403, [("Content-Type", "application/xml")], _DENIED.encode())
            else:
                self._forward(asked, body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    def _forward(self, asked: Asked, body: bytes, fault: Fault | None) -> None:
        headers = {
            name: value
            for name, value in self.headers.items()
            if not (fault is Fault.UNCONDITIONAL and name.lower().startswith("if-"))
        }
        upstream = HTTPConnection("127.0.0.1", self.store.upstream, timeout=60)
        with self.store.counting(), contextlib.closing(upstream):
            upstream.request(self.command, self.path, body=body, headers=headers)
            response = upstream.getresponse()
            data = response.read()
        self.store.after(asked)
        if fault is Fault.LOST:
            self._reset()
            return
        self._reply(response.status, response.getheaders(), data)

    def _reply(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        hops = ("transfer-encoding", "connection", "content-length", "date", "server")
        self.send_response(status)
        length = str(len(data))
        for name, value in headers:
            if name.lower() not in hops:
                self.send_header(name, value)
            elif name.lower() == "content-length" and self.command == "HEAD":
                length = value
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def log_message(self, *args: object) -> None:
        """Say nothing."""
