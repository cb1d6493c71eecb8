"""A server on all of 127/8 whose behaviour stands in the URL, and a name server beside it.

    http://127.41.0.7:PORT/now/17                at once
    http://127.41.0.7:PORT/after-0.5/17          half a second later
    http://127.41.0.7:PORT/after-0.2_close/17    and the connection is closed
    http://127.41.0.7:PORT/window-20-2/17        20 answers in 2 s, to others 429 with Retry-After
    http://127.41.0.7:PORT/after-0.2_queue-8/17  works on 8 at once; the others wait in a queue

    /-/forget   begins a new count      /-/report   what was seen since, as JSON

(No sign that a tool might escape: wget2 makes `%3D` of `=`.) Each address is a host of its own.

`python -m benchmarks.servers.hosts [NAMESERVER_ADDRESS]` says
its port on standard output and lives until its standard input is closed; names of the form
`site-N.bench.home.arpa` have the address `address(N)`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from math import ceil
from socket import inet_aton
from time import monotonic
from typing import NamedTuple, cast

import uvloop

BODY = b"0123456789abcdef" * 64


def address(number: int) -> str:
    """Return a loopback address of its own for each *number* below 2^22."""
    return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class Rules(NamedTuple):
    """How a URL is answered."""

    after_s: float = 0.0
    close: bool = False
    most: int = 0
    """Answers in a window of `window_s`; 0 = any number."""
    window_s: float = 0.0
    queue: int = 0
    """How many it works on at once, the others wait; 0 = any number."""


@cache
def parse_rules(text: bytes) -> Rules:
    """Return what the first part of a URL's path asks for."""
    rules = Rules()
    for rule in text.decode().split("_"):
        match rule.split("-"):
            case ["after", seconds]:
                rules = rules._replace(after_s=float(seconds))
            case ["close"]:
                rules = rules._replace(close=True)
            case ["window", most, seconds]:
                rules = rules._replace(most=int(most), window_s=float(seconds))
            case ["queue", number]:
                rules = rules._replace(queue=int(number))
    return rules


@dataclass
class Seen:
    """What came and went since the count began."""

    requests: int = 0
    connections: int = 0
    refused: int = 0
    first: float | None = None
    """When the first request came, on the machine's monotonic clock."""
    last: float | None = None
    """When the last answer went."""
    answered: set[bytes] = field(default_factory=set)
    """The paths that got a 200."""
    now: Counter[str] = field(default_factory=Counter)
    at_once: int = 0
    """The most requests one host had at one time."""
    windows: dict[str, list[float]] = field(default_factory=dict)
    working: Counter[str] = field(default_factory=Counter)
    """What a host works on, where it has a queue."""
    queues: dict[str, deque[Callable[[], object]]] = field(default_factory=dict)
    """What begins the work on each request that waits."""

    def report(self) -> dict[str, object]:
        """Return the numbers."""
        shown = ("requests", "refused", "first", "last", "at_once")
        # The connection that asks for this is none of the tool's.
        return {name: getattr(self, name) for name in shown} | {
            "answered": len(self.answered),
            "connections": self.connections - 1,
        }


class Connection(asyncio.Protocol):
    """Answers one request after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._host = ""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember which host was called."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._host = transport.get_extra_info("sockname")[0]
        self._server.seen.connections += 1

    def data_received(self, data: bytes) -> None:
        """Answer each request whose head is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            path = head.split(b" ", 2)[1]
            first, _, number = path[1:].partition(b"/")
            if first == b"-":
                self._control(number)
            else:
                self._request(path, parse_rules(first))

    def _control(self, what: bytes) -> None:
        report = json.dumps(self._server.seen.report()).encode()
        if what == b"forget":
            self._server.seen = Seen()
        self._write(b"200 OK", report, close=True)

    def _request(self, path: bytes, rules: Rules) -> None:
        seen = self._server.seen
        now = monotonic()
        seen.requests += 1
        seen.first = seen.first or now
        left_s = self._refused_for(rules, now) if rules.most else 0.0
        if left_s > 0:
            seen.refused += 1
            wait = b"429 Too Many Requests\r\nRetry-After: %d" % ceil(left_s)
            self._write(wait, b"", close=False)
            return
        seen.now[self._host] += 1
        seen.at_once = max(seen.at_once, seen.now[self._host])
        if rules.queue and seen.working[self._host] >= rules.queue:
            queue = seen.queues.setdefault(self._host, deque())
            queue.append(partial(self._work, path, rules, seen))
        else:
            self._work(path, rules, seen)

    def _work(self, path: bytes, rules: Rules, seen: Seen) -> None:
        if rules.queue:
            seen.working[self._host] += 1
        if rules.after_s:
            loop = asyncio.get_running_loop()
            loop.call_later(rules.after_s, self._answer, path, rules, seen)
        else:
            self._answer(path, rules, seen)

    def _refused_for(self, rules: Rules, now: float) -> float:
        """Return how long the host's present window lasts if it is used up, else 0."""
        window = self._server.seen.windows.setdefault(self._host, [now, 0])
        if now >= window[0] + rules.window_s:
            window[:] = [now, 0]
        if window[1] >= rules.most:
            return window[0] + rules.window_s - now
        window[1] += 1
        return 0.0

    def _answer(self, path: bytes, rules: Rules, seen: Seen) -> None:
        seen.now[self._host] -= 1
        if rules.queue:
            seen.working[self._host] -= 1
            if queue := seen.queues.get(self._host):
                queue.popleft()()
        if self._transport.is_closing():
            return  # the asker left
        seen.answered.add(path)
        seen.last = monotonic()
        self._write(b"200 OK", BODY, close=rules.close)

    def _write(self, status: bytes, body: bytes, *, close: bool) -> None:
        ending = b"Connection: close\r\n" if close else b""
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\n%bContent-Length: %d\r\n\r\n%b"
            % (status, ending, len(body), body)
        )
        if close:
            self._transport.close()


class NameServer(asyncio.DatagramProtocol):
    """Answers for `site-N.bench.home.arpa`, made by hand: thousands are asked for in a second.

    (A packet through dnslib takes 200 µs, which a program under test would have to wait for.)
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a question of the form that resolvers send: one name (RFC 1035 §4.1)."""
        self._transport.sendto(name_reply(data), addr)


def name_reply(question: bytes) -> bytes:
    """Return the answer to *question*: an A record, no AAAA record, or no such name."""
    end = question.index(0, 12) + 5
    label = question[13 : 13 + question[12]].lower()
    known = label.startswith(b"site-") and label[5:].isdigit()
    is_a = question[end - 4 : end - 2] == b"\x00\x01"
    answer = b""
    if known and is_a:
        found = inet_aton(address(int(label[5:])))
        answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04" + found
    flags = b"\x81\x80" if known else b"\x81\x83"
    counts = b"\x00\x01" + (b"\x00\x01" if answer else b"\x00\x00") + b"\x00\x00\x00\x00"
    return question[:2] + flags + counts + question[12:end] + answer


class Server:
    """The count, shared by all connections."""

    def __init__(self) -> None:
        self.seen = Seen()

    async def run(self, names_at: str | None) -> None:
        """Serve until standard input is closed: then whoever started this is gone."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), "0.0.0.0", 0, backlog=4096)
        if names_at is not None:
            await loop.create_datagram_endpoint(NameServer, local_addr=(names_at, 53))
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(Server().run(sys.argv[1] if len(sys.argv) > 1 else None))
