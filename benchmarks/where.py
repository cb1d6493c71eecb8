"""Checks what `fetchpool explain` says, on runs that are built to be bound by one thing each.

python -m benchmarks.where              all of them, some 40 s; exit 1 if one is told wrongly
python -m benchmarks.where tls list     some of them

Each run fetches from a server on loopback. What bounds it must be named first, with more than 80 %
of the slot time; a busy processor with more than 85 % of the event loop's.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing import Process, Queue
from pathlib import Path
from typing import Any

FIRST_AT_LEAST = 0.8
BODY = b"x" * 1000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


@dataclass(frozen=True)
class Scenario:
    """A run that one thing bounds."""

    name: str
    bound: str
    """The key that must come first."""
    urls: Callable[[int, int], Iterator[str]]
    """Makes them, of the ports of the plain and the TLS server."""
    options: tuple[str, ...] = ()
    feed_s: float = 0.0
    """Between two lines of the list, which comes through a pipe; 0 = it is a file."""
    read_s: float = 0.0
    """Between two reads of the records; 0 = nobody reads them."""


TEN = ("--per-host", "0", "--limit", "10")


def same(path: str, count: int) -> Callable[[int, int], Iterator[str]]:
    """Return what makes *count* URLs of one host."""
    return lambda port, _: (f"http://127.0.0.1:{port}/{path}?{n}" for n in range(count))


def spread(path: str, count: int, hosts: int) -> Callable[[int, int], Iterator[str]]:
    """Return what makes *count* URLs of several hosts."""
    return lambda port, _: (
        f"http://127.0.0.{1 + n % hosts}:{port}/{path}?{n}" for n in range(count)
    )


def refused(count: int) -> Callable[[int, int], Iterator[str]]:
    """Return what makes *count* URLs of a host that refuses connections."""
    return lambda *_: (f"http://127.0.0.9:9/{n}" for n in range(count))


SCENARIOS = (
    Scenario("per-host", "per_host", same("wait/0.2", 200), ("--per-host", "3")),
    Scenario("first-byte", "first_byte", same("wait/0.5", 150), TEN),
    Scenario("body", "body", same("drip/0.5", 150), TEN),
    Scenario("throttled", "paused", same("refuse/4", 60)),
    Scenario("host-rate", "host_rate", same("wait/0", 40), ("--host-rate", "10")),
    Scenario("rate", "rate", spread("wait/0", 60, 50), ("--rate", "15", "--limit", "20")),
    Scenario("retries", "retry", spread("fail", 40, 40), ("--limit", "20")),
    Scenario(
        "unreachable", "unreachable", lambda *_: (f"http://127.0.0.9:9/{n}" for n in range(30))
    ),
    Scenario("list", "list", spread("wait/0", 60, 50), feed_s=0.05),
    Scenario("records", "records", spread("wait/0", 2000, 50), read_s=0.05),
    Scenario("tail", "tail", lambda port, _: iter([f"http://127.0.0.1:{port}/wait/4"])),
    Scenario(
        "tls",
        "tls",
        lambda _, port: (f"https://127.0.0.1:{port}/{n}" for n in range(150)),
        ("--force-close", "--insecure", *TEN),
    ),
    Scenario(
        "processor",
        "cpu",
        same("wait/0", 30_000),
        (
            "--per-host",
            "0",
        ),
    ),
)


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: set[str]
) -> None:
    """Answer as the path asks: /wait/S, /drip/S, /refuse/N, /fail."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        path = head.split(b" ", 2)[1].decode()
        _, what, *rest = path.partition("?")[0].split("/")
        if what == "wait" and (seconds := float(rest[0])):
            await asyncio.sleep(seconds)
        if what == "fail":
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        elif what == "refuse" and len(seen) < 2:
            seen.add(path)
            pause = rest[0].encode()
            writer.write(b"HTTP/1.1 429 No\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % pause)
        elif what == "drip":
            writer.write(HEAD + BODY[:1])
            for piece in range(3):
                await asyncio.sleep(float(rest[0]) / 3)
                writer.write(BODY[1 + 333 * piece : 334 + 333 * piece])
        else:
            writer.write(HEAD + BODY)
        await writer.drain()


class Fast(asyncio.Protocol):
    """Answers every request at once; hands others to `answer`."""

    def __init__(self, seen: set[str]) -> None:
        self._seen = seen
        self._transport: asyncio.Transport | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._early:
            self.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:  # the handshake has only just ended
            self._early += data
            return
        if b" /wait/0?" in data:
            self._transport.write((HEAD + BODY) * data.count(b"\r\n\r\n"))
            return
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        writer = asyncio.StreamWriter(self._transport, protocol, reader, loop)
        protocol.data_received(data)
        quietly(answer(reader, writer, self._seen))


class Late(asyncio.Protocol):
    """Begins TLS a second late."""

    def __init__(self, context: ssl.SSLContext, seen: set[str]) -> None:
        self._context = context
        self._seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        quietly(self._begin(transport))

    async def _begin(self, transport: asyncio.Transport) -> None:
        await asyncio.sleep(1.0)
        loop, protocol = asyncio.get_running_loop(), Fast(self._seen)
        secure = await loop.start_tls(transport, protocol, self._context, server_side=True)
        assert secure is not None
        protocol.connection_made(secure)


def quietly(work: Coroutine[None, None, None]) -> None:
    """Do *work* in a task whose failure, a client that has gone, is no news."""
    task = asyncio.get_running_loop().create_task(work)
    RUNNING.add(task)

    def done(task: asyncio.Task[None]) -> None:
        RUNNING.discard(task)
        if not task.cancelled():
            task.exception()

    task.add_done_callback(done)


RUNNING: set[asyncio.Task[None]] = set()


def serve(ports: Queue[tuple[int, int]], certificate: str) -> None:
    """Serve on two ports of loopback, plain and TLS that takes its time, until killed."""

    async def work() -> None:
        loop, seen = asyncio.get_running_loop(), set[str]()
        plain = await loop.create_server(lambda: Fast(seen), "0.0.0.0", 0)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

        secure = await loop.create_server(lambda: Late(context, seen), "127.0.0.1", 0)
        ports.put(tuple(each.sockets[0].getsockname()[1] for each in (plain, secure)))
        await asyncio.Event().wait()

    asyncio.run(work())


async def told(scenario: Scenario, ports: tuple[int, int], scratch: Path) -> dict[str, Any]:
    """Run *scenario*; return what `explain --json` says of it."""
    dest, listing = scratch / scenario.name, scratch / f"{scenario.name}.txt"
    urls = [f"{url}\n".encode() for url in scenario.urls(*ports)]
    listing.write_bytes(b"".join(urls))
    program = (sys.executable, "-m", "fetchpool")
    command = [*program, "get", "-" if scenario.feed_s else str(listing), "-o", str(dest)]
    command += ["--fail-if", "never", "--quiet", *scenario.options]
    command += ["--records", "-"] if scenario.read_s else []
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE if scenario.feed_s else subprocess.DEVNULL,
        stdout=subprocess.PIPE if scenario.read_s else subprocess.DEVNULL,
        limit=2048,
    )
    if process.stdin is not None:
        for url in urls:
            process.stdin.write(url)
            await process.stdin.drain()
            await asyncio.sleep(scenario.feed_s)
        process.stdin.close()
    if process.stdout is not None:
        while await process.stdout.read(2048):  # noqa: ASYNC110
            await asyncio.sleep(scenario.read_s)
    assert await process.wait() == 0, scenario.name
    explain = [*program, "explain", str(dest), "--json"]
    text = await asyncio.to_thread(subprocess.check_output, explain)
    said: dict[str, Any] = json.loads(text)
    return said


@asynccontextmanager
async def servers(scratch: Path) -> AsyncIterator[tuple[int, int]]:
    """Have the servers for a block; yield their ports."""
    import trustme

    certificate = scratch / "server.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    ports: Queue[tuple[int, int]] = Queue()
    process = Process(target=serve, args=(ports, str(certificate)), daemon=True)
    process.start()
    try:
        yield await asyncio.to_thread(ports.get, timeout=30)
    finally:
        process.kill()
        process.join()


async def main(wanted: list[str]) -> int:
    """Run what is *wanted* and print a table; return 1 if something is told wrongly."""
    wrong = 0
    print(f"{'run':<12} {'must be':<12} {'first':<12} {'share':>6}  {'next':<20} {'CPU':>5}")
    with tempfile.TemporaryDirectory(prefix="fetchpool-where-") as scratch:
        async with servers(Path(scratch)) as ports:
            for scenario in SCENARIOS:
                if wanted and scenario.name not in wanted:
                    continue
                said = await told(scenario, ports, Path(scratch))
                first, *others = said["bound_by"]
                is_right = first["key"] == scenario.bound and first["share"] > FIRST_AT_LEAST
                wrong += not is_right
                rest = f"{others[0]['key']} {100 * others[0]['share']:.0f} %" if others else ""
                print(
                    f"{scenario.name:<12} {scenario.bound:<12} {first['key']:<12} "
                    f"{100 * first['share']:>4.0f} %  {rest:<20} "
                    f"{100 * said['event_loop_busy']:>3.0f} %{'' if is_right else '   WRONG'}"
                )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
