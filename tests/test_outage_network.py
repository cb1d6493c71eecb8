"""All network gone: the run waits, records nothing against any URL, and goes on or can be gone on.

    namespace of the program ── a veth pair that goes down ── namespace of twenty hosts

The link is cut by the server while it answers, so the cut falls into the middle of the run.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import PROGRAM, Result, run_fetchpool, why_no_network_namespace
from tests.program_fairness.hosts import Hosts
from tests.servers.counting import Hit

HOSTS = [f"10.77.0.{number}" for number in range(1, 21)]
AWAY_S = 3.0
IMPATIENT = ("--retries", "0", "--read-timeout", "1", "--connect-timeout", "4")
"""Nothing survives for having been tried again; an outage is noticed after a second. A first packet
that is lost when all connect at once after it is sent again after one second and after three."""

_CLONE_NEWNET = 0x40000000


def _why_not() -> str | None:
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        return "ip (iproute2) or nsenter (util-linux) is not installed"
    return why_no_network_namespace()


pytestmark = pytest.mark.skipif(_why_not() is not None, reason=str(_why_not()))


@dataclass(frozen=True)
class Link:
    """Two network namespaces with a cable between them."""

    ours: str
    theirs: str

    def ip(self, namespace: str, *words: str) -> None:
        subprocess.run(["ip", "-n", namespace, *words], check=True, capture_output=True)

    def cut(self, end: str) -> None:
        """Take *end* down; down on the other side, nothing says so but silence."""
        self.ip(end, "link", "set", "cable", "down")

    def mend(self) -> None:
        for end in (self.ours, self.theirs):
            self.ip(end, "link", "set", "cable", "up")


@pytest.fixture
def link() -> Iterator[Link]:
    ends = Link(f"fetchpool-ours-{os.getpid()}", f"fetchpool-theirs-{os.getpid()}")
    made = []
    try:
        for name in (ends.ours, ends.theirs):
            tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
            if tried.returncode:
                pytest.skip(f"ip netns add is not allowed here: {tried.stderr.decode().strip()}")
            made.append(name)
        pair = ("link", "add", "cable", "type", "veth", "peer", "name", "cable")
        ends.ip(ends.ours, *pair, "netns", ends.theirs)
        ends.ip(ends.ours, "address", "add", "10.77.0.100/24", "dev", "cable")
        for address in HOSTS:
            ends.ip(ends.theirs, "address", "add", f"{address}/24", "dev", "cable")
        ends.mend()
        yield ends
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=True)


class DistantHosts(Hosts):
    """Hosts in another network namespace: that of their thread."""

    def __init__(self, namespace: str) -> None:
        super().__init__(HOSTS)
        self._namespace = namespace
        self._timers: list[asyncio.TimerHandle] = []

    async def _open(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self._namespace).open() as namespace:
            assert libc.setns(namespace.fileno(), _CLONE_NEWNET) == 0, os.strerror(
                ctypes.get_errno()
            )
        await super()._open()

    def at_hit(self, number: int, what: Callable[[], None]) -> None:
        """Do *what* when request *number* has come, before it is answered."""

        def rule(hit: Hit) -> Mapping[str, str]:
            if len(self.counts.hits) == number - 1:
                what()
            return {"delay": "0.01"}

        self.rules = dict.fromkeys(HOSTS, rule)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do *what* in *seconds*; for rules."""
        self._timers.append(asyncio.get_running_loop().call_later(seconds, what))


@pytest.fixture
def hosts(link: Link) -> Iterator[DistantHosts]:
    with DistantHosts(link.theirs) as distant:
        yield distant


def fetch(tmp_path: Path, link: Link, hosts: Hosts, *options: str) -> Result:
    """Fetch thirty URLs of each host from within the program's namespace."""
    urls = [hosts.url(f"/{number}", host) for number in range(30) for host in HOSTS]
    (tmp_path / "list.txt").write_text("\n".join(urls))
    return run_fetchpool(
        ["get", "list.txt", "-o", "out", "--no-body", "--log-file", "log", *IMPATIENT, *options],
        cwd=tmp_path,
        program=["nsenter", f"--net=/run/netns/{link.ours}", *PROGRAM],
    )


@pytest.mark.parametrize("whose", ["ours", "theirs"], ids=["no route", "silence"])
def test_outage_in_the_middle_costs_no_url(
    tmp_path: Path, link: Link, hosts: DistantHosts, whose: str
) -> None:
    def cut() -> None:
        link.cut(getattr(link, whose))
        hosts.later(AWAY_S, link.mend)

    hosts.at_hit(200, cut)
    result = fetch(tmp_path, link, hosts)
    assert result.returncode == 0, (result.stderr, [r for r in result.records if not r["ok"]][:3])
    assert len({record["seq"] for record in result.records}) == len(result.records) == 600
    log = (tmp_path / "log").read_text()
    assert log.count("our-network-down") == 1
    assert log.count("our-network-back") == 1


def test_network_gone_for_good_ends_the_run_and_the_same_command_goes_on(
    tmp_path: Path, link: Link, hosts: DistantHosts
) -> None:
    hosts.at_hit(200, lambda: link.cut(link.ours))
    stopped = fetch(tmp_path, link, hosts, "--outage-patience", "1")
    assert stopped.returncode == 75
    assert all(record["ok"] for record in stopped.records)
    assert 100 < len(stopped.records) < 200
    assert "run the same command again" in stopped.stderr

    still_down = fetch(tmp_path, link, hosts, "--outage-patience", "1")
    assert still_down.returncode == 75
    assert still_down.records == stopped.records

    link.mend()
    hosts.rules = {}
    finished = fetch(tmp_path, link, hosts, "--outage-patience", "1")
    assert finished.returncode == 0, finished.stderr
    assert len({record["seq"] for record in finished.records}) == len(finished.records) == 600
    assert finished.records[: len(stopped.records)] == stopped.records
