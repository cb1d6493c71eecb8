"""Any bytes at all as answers to the real program: one typed record a line, whatever they are.

    answers of tests/servers/cases ──mutated──▶ a batch, one port each ──▶ the program, in each way

`python -m tests.fuzz_answers --seconds 60 --seed 7` goes on until the time is up and says what came
of it; `--first 12 --batches 1` with the seed that was printed repeats batch 12 exactly. Needs no
root, but follows redirects only where a network namespace keeps them on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import cast
from urllib.parse import urlsplit

from tests.harness import (
    ERROR_KINDS,
    PROGRAM,
    RECORD_KEYS,
    check_bodies,
    raise_descriptor_limit,
    run_fetchpool,
    why_no_network_namespace,
)
from tests.servers.cases import CASES
from tests.servers.fault import TOKEN, Case, Exchange, FaultServer, Seen
from tests.servers.thread import ThreadedServer

MAX_BYTES = 128 * 1024
"""Longest answer that is kept of a case, and longest that a mutation makes."""
MAX_MEMORY = 256 * 2**20
"""Most that a run may take: `--max-size 1M`, a hundred times at once, is no reason for more."""
TIMEOUT_S = 60
"""Longest that a batch may take; its URLs end within `--timeout 1.2`."""

WAYS = [
    ("direct", "uvloop"),
    ("session", "asyncio"),
    ("direct", "asyncio"),
    ("session", "uvloop"),
]
_OPTIONS = [
    "--limit", "100", "--per-host", "1", "--retries", "0", "--max-size", "1M", "--hash",
    "--keep-errors", "--content-disposition", "--connect-timeout", "2", "--read-timeout", "0.5",
    "--timeout", "1.2",
]  # fmt: skip


class Ending(StrEnum):
    """What a server does after its bytes."""

    CLOSE = "close"
    KEEP = "keep"
    RESET = "reset"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server of one port sends, and how."""

    data: bytes
    cuts: tuple[int, ...]
    """Where a new packet begins."""
    ending: Ending
    early: bool
    """Sent as soon as there is a connection, before any request."""

    @property
    def is_throttling(self) -> bool:
        """Return whether it may hold up its host's other URLs."""
        return re.search(rb" (429|503)\b", self.data) is not None


# --- the answers there are


class _Recording(Exchange):
    """An exchange with nobody: keeps what a behaviour sends."""

    sent: bytes = b""

    async def send(self, data: bytes) -> None:
        self.sent += data
        if len(self.sent) > MAX_BYTES:
            raise ConnectionResetError

    async def reset(self) -> None:
        return


class _NoServer:
    """Leaves `{own}` and `{other}` as they are; they are filled in when they are sent.

    Nobody has asked it for anything yet.
    """

    @staticmethod
    def fill(text: str, case: Case) -> str:
        return text

    @staticmethod
    def requests(case: Case) -> list[Seen]:
        return []


async def _record(case: Case, suffix: str) -> bytes:
    reader = asyncio.StreamReader()
    reader.feed_eof()
    exchange = _Recording(
        cast("FaultServer", _NoServer()),
        case,
        Seen(case.name, f"/{case.name}{suffix}", (), 1, False),
        reader,
        cast("asyncio.StreamWriter", None),
    )
    # One without an end is stopped: what came so far is its beginning.
    with contextlib.suppress(ConnectionError, TimeoutError):
        await asyncio.wait_for(case.behaviour(exchange), 0.003)
    return exchange.sent[:MAX_BYTES]


async def _record_all() -> list[bytes]:
    plain = [case for case in CASES if case.tls is None and case.scheme == "http"]
    return [await _record(case, suffix) for case in plain for suffix in case.suffixes]


def recorded_answers() -> list[bytes]:
    """Return what the cases without TLS send, in their order."""
    return [answer for answer in asyncio.run(_record_all()) if answer]


# --- and what becomes of them

_PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\0", b" ", b"\t", b":", b";", b",", b"-", b"+",
    b"0", b"1", b"f", b"0x", b"\xff", b"\x1b[2J", b"\xc2\x85", b"\xe2\x80\xae", b'"', b"=", b"%",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 302 Found\r\n", b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 206 Part\r\n",
    b"HTTP/2.0 200\r\n",
    b"Content-Length: 8\r\n", b"Content-Length: 0\r\n", b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n", b"Content-Encoding: zstd\r\n",
    b"Content-Encoding: deflate, gzip\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Upgrade: h2c\r\n", b"Location: {own}/x\r\n", b"Location: //\r\n", b"Location: \xff\r\n",
    b"Location: http://[::1]:1/\r\n", b"Location: http://u:p@{own_authority}/..//\r\n",
    b"Content-Disposition: attachment; filename=../../x\r\n", b"ETag: \"v1\"\r\n",
    b"Content-Disposition: attachment; filename*=UTF-8''%2e%2e%2f%00\r\n",
    b"Content-Range: bytes 0-7/8\r\n", b"Content-Type: text/html; charset=\xff\r\n",
    b"Set-Cookie: a=b\r\n", b"Trailer: X\r\n", b"0\r\n\r\n", b"8\r\nabcdefgh\r\n",
    b"ffffffffffffffff\r\n", b"-1\r\n", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
]  # fmt: skip
_NUMBER = re.compile(rb"[0-9]+")
_NUMBERS = [
    b"0", b"1", b"7", b"9", b"-1", b"00", b"100", b"199", b"204", b"206", b"302", b"304", b"404",
    b"600", b"999", b"65535", b"65536", b"2147483648", b"4294967296", b"9223372036854775808",
    b"1" * 30,
]  # fmt: skip


def mutated(random: Random, corpus: Sequence[bytes]) -> bytes:
    """Return an answer that nobody has thought of."""
    kind = random.random()
    if kind < 0.05:
        return random.randbytes(random.choice((1, 8, 200, 5000)))
    if kind < 0.15:
        data = b"".join(random.choices(_PIECES, k=random.randint(1, 12)))
    else:
        data = random.choice(corpus)
    if kind > 0.9:  # the head of one, the rest of another
        other = random.choice(corpus)
        data = data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]
    for _ in range(min(int(random.expovariate(0.8)), 8)):
        data = _mutate_once(random, data)
    return data[:MAX_BYTES]


def _mutate_once(random: Random, data: bytes) -> bytes:
    # Most of what matters stands at the beginning.
    reach = min(len(data), random.choice((40, 400, 400, len(data))))
    start = random.randint(0, reach)
    end = min(len(data), start + random.choice((1, 1, 2, 4, 16, 200)))
    before, middle, after = data[:start], data[start:end], data[end:]
    match random.randrange(8):
        case 0:
            return before + after
        case 1:
            return before + random.choice(_PIECES) + middle + after
        case 2:
            return before + random.choice(_PIECES) + after
        case 3:
            return before + bytes(byte ^ 1 << random.randrange(8) for byte in middle) + after
        case 4:
            return before + middle * random.choice((2, 3, 50, 5000)) + after
        case 5:
            return before
        case 6:
            return before + middle.swapcase() + after
        case _:
            numbers = list(_NUMBER.finditer(data[:2000]))
            if not numbers:
                return before + random.randbytes(2) + after
            found = random.choice(numbers)
            return data[: found.start()] + random.choice(_NUMBERS) + data[found.end() :]


def make_answer(random: Random, corpus: Sequence[bytes]) -> Answer:
    """Return mutated bytes with a way to send them."""
    data = mutated(random, corpus)
    cuts = sorted(random.randint(0, len(data)) for _ in range(random.choice((0, 0, 1, 3))))
    ending = random.choices(list(Ending), (60, 30, 7, 3))[0]
    return Answer(data, tuple(cuts), ending, early=random.random() < 0.03)


# --- the server


class AnsweringServer(ThreadedServer):
    """Listens on *ports* ports of 127.0.0.1; the n-th gives the n-th of `answers`."""

    def __init__(self, ports: int) -> None:
        super().__init__()
        self.answers: Sequence[Answer] = ()
        self._count = ports
        self._servers: list[asyncio.Server] = []

    async def _open(self) -> None:
        for number in range(self._count):

            def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int = number
            ) -> asyncio.Task[None]:
                return asyncio.ensure_future(self._serve(number, reader, writer))

            self._servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))

    async def _close(self) -> None:
        for server in self._servers:
            server.close()

    def authority(self, number: int) -> str:
        """Return the host and port of the *number*-th port."""
        host, port = self._servers[number].sockets[0].getsockname()
        return f"{host}:{port}"

    async def _serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answer = self.answers[number]
        try:
            if answer.early:
                await self._send(number, writer)
            while True:
                await reader.readuntil(b"\r\n\r\n")
                if not answer.early:
                    await self._send(number, writer)
                match answer.ending:
                    case Ending.CLOSE:
                        return
                    case Ending.SILENCE:
                        await reader.read()
                    case Ending.RESET:
                        linger = struct.pack("ii", 1, 0)
                        raw = writer.get_extra_info("socket")
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        writer.transport.abort()
                        return
                    case Ending.KEEP:
                        continue
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the program has seen enough
        finally:
            writer.close()

    async def _send(self, number: int, writer: asyncio.StreamWriter) -> None:
        answer = self.answers[number]
        for start, end in itertools.pairwise((0, *answer.cuts, None)):
            writer.write(self._fill(number, answer.data)[start:end])
            await writer.drain()
            await asyncio.sleep(0.001 if answer.cuts else 0)

    def _fill(self, number: int, data: bytes) -> bytes:
        """Return *data* with the marks of the cases replaced: origins, and the port's own token."""
        own, other = (self.authority(n).encode() for n in (number, (number + 1) % self._count))
        for mark, value in ((b"own", own), (b"other", other)):
            data = data.replace(b"{%s}" % mark, b"http://" + value)
            data = data.replace(b"{%s_authority}" % mark, value)
        data = data.replace(b"{other_port}", other.rpartition(b":")[2])
        return data.replace(TOKEN, b"<%s!>" % own.rpartition(b":")[2])


# --- one batch


@dataclass(slots=True)
class Tally:
    """What came of all batches so far."""

    tried: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    memory: int = 0
    """Most bytes any run took."""
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)


_TOKEN = re.compile(rb"<([0-9]{4,5})!>")
_MEASURED = (
    "import pathlib, resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode;"
    " used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
    " pathlib.Path('memory').write_text(str(used)); sys.exit(code)"
)


def try_batch(server: AnsweringServer, way: tuple[str, str], redirects: int, tally: Tally) -> None:
    """Fetch what *server* answers in *way*, and add to *tally* what came of it."""
    lines = [
        (f"http://{server.authority(number)}/{turn}", answer)
        for number, answer in enumerate(server.answers)
        for turn in range(1 if answer.is_throttling else 2)
    ]
    with tempfile.TemporaryDirectory() as folder:
        cwd = Path(folder)
        (cwd / "list.txt").write_text("".join(f"{url}\n" for url, _ in lines))
        began = time.monotonic()
        try:
            result = run_fetchpool(
                ["get", "list.txt", "-o", "out", "--exchange", way[0], "--event-loop", way[1],
                 "--max-redirects", str(redirects), *_OPTIONS],
                cwd=cwd, timeout=TIMEOUT_S, program=[sys.executable, "-c", _MEASURED, *PROGRAM],
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            done = {json.loads(text)["seq"] for text in _written(cwd / "out" / "results.jsonl")}
            for number, (_, answer) in enumerate(lines, 1):
                if number not in done:
                    tally.failures.append(f"no end after {TIMEOUT_S} s: {answer}")
            return
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
        used = int((cwd / "memory").read_text()) * (1 if sys.platform == "darwin" else 1024)
        tally.memory = max(tally.memory, used)
        tally.tried += len(lines)
        tally.kinds.update(record["error"] or "ok" for record in result.records)
        failures = tally.failures
        if used > MAX_MEMORY:
            failures.append(f"{used / 2**20:.0f} MiB of memory in {way}")
        if result.returncode not in (0, 1) or "Traceback" in result.stderr:
            failures.append(f"exit status {result.returncode} in {way}: {result.stderr[-2000:]}")
        seqs = Counter(record["seq"] for record in result.records)
        failures += [
            f"{seqs[number]} records in {way}: {answer}"
            for number, (_, answer) in enumerate(lines, 1)
            if seqs[number] != 1
        ]
        for record in result.records:
            kind = record["error"]
            known = kind is None or kind in ERROR_KINDS - {"internal"}
            if not known or tuple(record)[: len(RECORD_KEYS)] != RECORD_KEYS:
                failures.append(f"{way}: {record}\n  from {lines[record['seq'] - 1][1]}")
        try:
            check_bodies(result.records, cwd / "out")
        except (AssertionError, OSError) as error:
            failures.append(f"{way}: bodies and records differ: {error}")
        for record in result.records:
            if record["path"]:
                tokens = set(_TOKEN.findall((cwd / "out" / record["path"]).read_bytes()))
                if tokens - {str(urlsplit(record["final_url"]).port).encode()}:
                    failures.append(f"{way}: another URL's body, {tokens}: {record}")


def _written(ledger: Path) -> list[bytes]:
    """Return the whole lines of *ledger*, whose last may be torn."""
    return ledger.read_bytes().split(b"\n")[:-1] if ledger.exists() else []


# --- the command

_ENTER = (
    "ip link set lo up && ip route add local 0.0.0.0/0 dev lo &&"
    ' ip -6 route add local ::/0 dev lo && FUZZ_INSIDE=1 exec "$@"'
)


def main() -> int:
    """Run batches until the time is up; the exit status says whether anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first batch")
    parser.add_argument("--batches", type=int, default=1_000_000, help="this many at most")
    parser.add_argument("--size", type=int, default=500, help="answers in a batch")
    options = parser.parse_args()
    inside = "FUZZ_INSIDE" in os.environ
    if not inside and why_no_network_namespace() is None:
        again = [sys.executable, "-m", "tests.fuzz_answers", *sys.argv[1:]]
        if subprocess.run(["unshare", "-n", "sh", "-c", _ENTER, "sh", "true"]).returncode == 0:
            os.execvp("unshare", ["unshare", "-n", "sh", "-c", _ENTER, "sh", *again])
    raise_descriptor_limit()
    corpus = recorded_answers()
    tally = Tally()
    redirects = 3 if inside else 0
    print(f"seed {options.seed}, {len(corpus)} answers to start from, {redirects} hops", flush=True)
    end = time.monotonic() + options.seconds
    with AnsweringServer(options.size) as server:
        for batch in range(options.first, options.first + options.batches):
            if time.monotonic() > end:
                break
            random = Random(f"{options.seed} {batch}")
            server.answers = [make_answer(random, corpus) for _ in range(options.size)]
            try_batch(server, WAYS[batch % len(WAYS)], redirects, tally)
            if tally.failures:
                print(f"batch {batch}, {len(tally.failures)} failures; the first are:")
                print("\n".join(tally.failures[:5]))
                return 1
    print(f"{tally.tried} answers to {sum(tally.kinds.values())} records")
    print("  ".join(f"{kind} {count}" for kind, count in tally.kinds.most_common()))
    print(f"most memory {tally.memory / 2**20:.0f} MiB, slowest batch {tally.slowest_s:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
