"""Names that several lines of /etc/hosts give an address, and names only the system knows."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiodns
import pytest
from aiohttp.abc import ResolveResult

from fetchpool.config import Config
from fetchpool.model.attempts import FailedAttempt, Response
from fetchpool.model.values import FailureKind
from fetchpool.network.connector import make_connector
from fetchpool.network.resolver import LookupFailedError, RememberingResolver, system
from fetchpool.network.resolver.hosts import HostsFile
from fetchpool.network.resolver.system import AT_ONCE, may_know
from tests.engine.rig import Visit, rig
from tests.harness import run_fetchpool, why_no_resolver, with_resolver
from tests.servers.counting import CountingServer
from tests.servers.dns import NameServer

ANY, V4, V6 = socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6


# -- /etc/hosts


@pytest.mark.parametrize(
    ("text", "family", "addresses"),
    [
        ("10.0.0.1 a\n10.0.0.2 a\n", ANY, ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.2 a\n10.0.0.1 a\n", ANY, ["10.0.0.2", "10.0.0.1"]),
        ("127.0.0.1 localhost\n10.0.0.9 a\n127.0.0.1 b A\n", ANY, ["10.0.0.9", "127.0.0.1"]),
        ("10.0.0.1 a # 10.0.0.3 a\n# 10.0.0.4 a\n\t10.0.0.2\ta", ANY, ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.1 a\n::1 a\n10.0.0.2 a", V4, ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.1 a\n::1 a\n10.0.0.2 a", V6, ["::1"]),
        ("10.0.0.1 a a\n10.0.0.1 a\n", ANY, []),  # one address: c-ares tells it
        ("nonsense a\n10.0.0.1 a\n", ANY, []),
        ("", ANY, []),
    ],
)
def test_hosts_file_gives_all_addresses_of_a_name_in_its_order(
    tmp_path: Path, text: str, family: socket.AddressFamily, addresses: list[str]
) -> None:
    path = tmp_path / "hosts"
    path.write_text(text)
    assert HostsFile(str(path)).addresses("a", family) == addresses


def test_hosts_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(str(path))
    assert hosts.addresses("a", ANY) == []
    path.write_text("10.0.0.1 a\n10.0.0.2 a\n")
    assert hosts.addresses("a", ANY) == ["10.0.0.1", "10.0.0.2"]
    path.write_text("10.0.0.1 a\n10.0.0.3 a\n10.0.0.4 a\n")
    assert hosts.addresses("a", ANY) == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]
    path.unlink()
    assert hosts.addresses("a", ANY) == []


@pytest.mark.skipif(why_no_resolver() is not None, reason=str(why_no_resolver()))
@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_both_addresses_of_a_name_on_two_lines_are_tried(tmp_path: Path, exchange: str) -> None:
    """The second is the first of another name, too, where c-ares leaves it."""
    hosts = "127.0.0.1 localhost\n127.0.0.77 twin.test\n127.0.0.1 twin.test\n"
    with NameServer({}) as names, CountingServer() as server:
        url = server.url("/", "twin.test")
        args = ["get", url, "-o", "out", "--retries", "0", "--exchange", exchange]
        program = with_resolver(names.address, tmp_path, hosts=hosts)
        assert run_fetchpool(args, cwd=tmp_path, program=program).of(url)["ok"]
        args += ["--public-only", "--fresh"]
        record = run_fetchpool(args, cwd=tmp_path, program=program).of(url)
    assert record["error"] == "blocked"


# -- the system's resolver


@pytest.mark.parametrize(
    ("name", "may"),
    [("printer", True), ("printer.local", True), ("printer.local.", True), ("nas.", True),
     ("a.test", False), ("local.test", False), ("notlocal", True), ("a.notlocal", False)],
)  # fmt: skip
def test_system_is_asked_for_local_and_dotless_names_only(name: str, may: bool) -> None:
    assert may_know(name) is may


class FakeSystem:
    """Stands in for getaddrinfo(3)."""

    def __init__(self, known: dict[str, list[str]]) -> None:
        self.known = known
        self.asked: list[str] = []
        self.stuck: threading.Event | None = None
        """While it isn't set, nobody has an answer."""
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, *args: Any, **options: Any) -> list[Any]:
        with self._lock:
            self.asked.append(host)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        if self.stuck is not None:
            self.stuck.wait(30)
        with self._lock:
            self.at_once -= 1
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        kind = socket.SOCK_STREAM
        return [(V4, kind, 6, "", (address, 0)) for address in self.known[host]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSystem]:
    async def unknown(self: object, host: str, family: int) -> list[ResolveResult]:
        raise OSError(None, "x") from aiodns.error.DNSError(aiodns.error.ARES_ENOTFOUND, "x")

    fake = FakeSystem({})
    monkeypatch.setattr(RememberingResolver, "_look_up", unknown)
    monkeypatch.setattr(socket, "getaddrinfo", fake)
    yield fake
    if fake.stuck is not None:
        fake.stuck.set()


async def test_name_that_only_the_system_knows_is_asked_of_it(fake: FakeSystem) -> None:
    fake.known["nas.local"] = ["127.0.0.7", "127.0.0.8"]
    found = await RememberingResolver().resolve("nas.local", 80, ANY)
    assert [(each["host"], each["port"]) for each in found] == [
        ("127.0.0.7", 80),
        ("127.0.0.8", 80),
    ]
    assert fake.asked == ["nas.local"]


async def test_name_nobody_knows_is_asked_of_the_system_once(fake: FakeSystem) -> None:
    resolver = RememberingResolver()
    for remembered in (False, True, True):
        with pytest.raises(LookupFailedError, match="no such name") as caught:
            await resolver.resolve("nas", 80, ANY)
        assert (caught.value.temporary, caught.value.unasked) == (False, remembered)
    assert fake.asked == ["nas"]


async def test_name_with_a_domain_is_never_asked_of_the_system(fake: FakeSystem) -> None:
    with pytest.raises(LookupFailedError):
        await RememberingResolver().resolve("nas.test", 80, ANY)
    assert fake.asked == []


async def test_stuck_names_take_few_threads_and_fail_for_a_while_only(
    fake: FakeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "WAIT_S", 0.05)
    fake.stuck = threading.Event()
    resolver = RememberingResolver()
    names = [f"dead{number}.local" for number in range(3 * AT_ONCE)]
    failures = await asyncio.gather(
        *(resolver.resolve(name, 80, ANY) for name in names), return_exceptions=True
    )
    assert all(isinstance(each, LookupFailedError) and each.temporary for each in failures)
    assert fake.most_at_once == AT_ONCE
    fake.stuck.set()
    monkeypatch.setattr(system, "WAIT_S", 30.0)
    fake.known["alive.local"] = ["127.0.0.7"]
    assert (await resolver.resolve("alive.local", 80, ANY))[0]["host"] == "127.0.0.7"


@pytest.mark.parametrize("way", ["direct", "session"])
async def test_public_only_holds_for_what_the_system_says(fake: FakeSystem, way: str) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    fake.known["nas.local"] = ["127.0.0.1"]
    async with rig(behave, way=way) as it:
        it.host = "nas.local"
        refused = await it.get(public_only=True)
        assert isinstance(refused, FailedAttempt)
        assert refused.failure.kind is FailureKind.BLOCKED
        assert it.site.connections == 0
        assert isinstance(await it.get(), Response)


async def test_a_look_asks_anew_for_a_name_that_is_remembered_as_unknown(
    fake: FakeSystem,
) -> None:
    """Else it would be no sign of life, or a proxy's name would come back a minute late."""
    connector = make_connector(Config(), limit=2, idle_limit=2)
    try:
        for times in (1, 2, 3):
            assert await connector.reachable("gone.local", 80)
            assert fake.asked == ["gone.local"] * times
    finally:
        await connector.close()
