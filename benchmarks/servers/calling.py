"""Start the server of `hosts` in a process of its own, and ask it what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from benchmarks.measuring import on_cores

CHECKOUT = Path(__file__).resolve().parents[2]
OPENER = build_opener(ProxyHandler({}))


@dataclass(frozen=True)
class Report:
    """What the server saw since the last `forget`; times on the machine's monotonic clock."""

    requests: int
    connections: int
    refused: int
    first: float | None
    last: float | None
    at_once: int
    answered: int


@dataclass(frozen=True)
class HostsServer:
    """The running server."""

    port: int
    process: int

    def url(self, address: str, rules: str, number: int) -> str:
        """Return the URL at which *address* behaves as *rules* say."""
        return f"http://{address}:{self.port}/{rules}/{number}"

    def forget(self) -> None:
        """Begin a new count."""
        self._ask("forget")

    def report(self) -> Report:
        """Return what was seen."""
        return Report(**json.loads(self._ask("report")))

    def _ask(self, what: str) -> bytes:
        with OPENER.open(f"http://127.0.0.1:{self.port}/-/{what}", timeout=30) as answer:
            content: bytes = answer.read()
            return content


@contextmanager
def hosts_server(cores: frozenset[int], names_at: str | None = None) -> Iterator[HostsServer]:
    """Run the server; with *names_at*, an address, names are answered there too (needs root)."""
    words = [sys.executable, "-m", "benchmarks.servers.hosts", *([names_at] if names_at else [])]
    with on_cores(cores):
        process = subprocess.Popen(
            words,
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            raise RuntimeError("the benchmark's own server did not start")
        yield HostsServer(int(port), process.pid)
    finally:
        process.terminate()
        process.communicate()
