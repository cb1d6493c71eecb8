"""Many hosts on loopback, each with its own way of answering."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import Result, raise_descriptor_limit, run_fetchpool
from tests.servers.counting import CountingServer, Hit, _Connection

Rule = Callable[[Hit], Mapping[str, str]]
"""How a host answers a request: what could stand in the query of its URL (tests.servers.counting).
"""


class Hosts(CountingServer):
    """A CountingServer whose hosts follow rules of their own, whatever the URL says.

    Its clock are the answers of the hosts without a rule, the quick ones: a slow host's answer
    comes when so many of theirs have been given, at the latest when all have.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        raise_descriptor_limit()
        super().__init__(addresses)
        self.rules: dict[str, Rule] = {}
        """By address; a host without one answers at once."""
        self.at_once: list[int] = []
        """For each of `counts.hits`: requests in progress at its host, itself included."""
        self.quick = 0
        """Answers given by hosts without a rule."""
        self.all_quick = 0
        """How many there will be."""
        self._at_most_s = 0.0
        self._slow: list[tuple[int, Hit, _Connection]] = []

    def slow_down(
        self, addresses: Sequence[str], answers: int, all_quick: int, *, at_most_s: float = 10.0
    ) -> None:
        """Let *addresses* take the time in which the quick hosts give so many *answers*.

        If they don't get to it, after *at_most_s*: a test then fails by its counts.
        """
        self.all_quick = all_quick
        self._at_most_s = at_most_s
        for address in addresses:
            self.rules[address] = lambda hit: {"slow": str(answers)}

    def began(self, hit: Hit, connection: _Connection) -> bool:
        """Count *hit* and let its host's rule say how it is answered."""
        rule = self.rules.get(hit.address)
        if rule is not None:
            connection._wishes = {**connection._wishes, **rule(hit)}
        due = self.quick + int(connection._wishes.get("slow", "0"))
        now = super().began(hit, connection)
        self.at_once.append(self._now[hit.host])
        if due == self.quick or self.quick >= self.all_quick:
            return now
        self._slow.append((due, hit, connection))
        asyncio.get_running_loop().call_later(self._at_most_s, _answer, hit, connection)
        return False

    def ended(self, hit: Hit) -> None:
        """Take note of an answer, and give those that waited for it."""
        super().ended(hit)
        if hit.address in self.rules:
            return
        self.quick += 1
        done = self.quick >= self.all_quick
        due = [each for each in self._slow if done or each[0] <= self.quick]
        self._slow = [each for each in self._slow if not (done or each[0] <= self.quick)]
        for _, waiting, connection in due:
            asyncio.get_running_loop().call_soon(_answer, waiting, connection)

    def urls(self, addresses: Sequence[str], each: int, query: str = "") -> list[str]:
        """Return *each* URLs of every one of *addresses*, host after host."""
        return [self.url(f"/{n}{query}", address) for address in addresses for n in range(each)]

    def hits_of(self, addresses: Sequence[str]) -> list[Hit]:
        """Return the requests to *addresses*, in the order they came."""
        wanted = set(addresses)
        return [hit for hit in self.counts.hits if hit.address in wanted]

    def slow_before_last_quick(self) -> int:
        """Return how many requests to hosts with a rule came before the last to one without."""
        slow = [hit.address in self.rules for hit in self.counts.hits]
        return sum(slow[: len(slow) - slow[::-1].index(False)])

    def go_away(self, address: str, seconds: float) -> None:
        """Reset what is connected to *address* and refuse all else for so long; from a rule."""
        for server in self._servers:
            if server.sockets and server.sockets[0].getsockname()[0] == address:
                server.close()
        for connection in list(self._connections):
            if connection._transport.get_extra_info("sockname")[0] == address:
                connection.drop()
        self._returning = asyncio.create_task(self._return(address, seconds))

    async def _return(self, address: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        loop = asyncio.get_running_loop()
        self._servers.append(
            await loop.create_server(lambda: _Connection(self), address, self.port)
        )


class Throttle:
    """A host that answers some requests and then refuses all for a while."""

    def __init__(self, after: int, pause_s: float, wishes: Mapping[str, str]) -> None:
        self._after = after
        self._pause_s = pause_s
        self._wishes = wishes
        self._seen = 0
        self.refused: list[Hit] = []

    def __call__(self, hit: Hit) -> Mapping[str, str]:
        self._seen += 1
        begun = self.refused[0].at if self.refused else None
        if self._seen > self._after and (begun is None or hit.at < begun + self._pause_s):
            self.refused.append(hit)
            return self._wishes
        return {}


def _answer(hit: Hit, connection: _Connection) -> None:
    """Answer *hit*, unless its connection was lost or it has been answered."""
    if connection._hit is hit:
        connection.answer()


def block(network: int, count: int) -> list[str]:
    """Return *count* loopback addresses, each a host of its own."""
    return [f"127.0.{network}.{n}" for n in range(1, count + 1)]


@contextmanager
def open_hosts(addresses: Sequence[str]) -> Iterator[Hosts]:
    """Run the hosts; skips the test where loopback has one address only."""
    hosts = Hosts(addresses)
    try:
        hosts.__enter__()
    except OSError:
        pytest.skip("this system has no loopback addresses beyond 127.0.0.1")
    try:
        yield hosts
    finally:
        hosts.__exit__(None, None, None)


def fetch(tmp_path: Path, urls: Sequence[str], *options: str, pipe: bool = False) -> Result:
    """Fetch *urls* without keeping bodies; every one of them has its record."""
    text = "\n".join(urls) + "\n"
    source = "-"
    if not pipe:
        (tmp_path / "list.txt").write_text(text)
        source = "list.txt"
    result = run_fetchpool(
        ["get", source, "-o", "out", "--no-body", *options],
        cwd=tmp_path,
        stdin=text if pipe else None,
    )
    assert len(result.records) == len(urls), result.stderr
    assert {record["seq"] for record in result.records} == set(range(1, len(urls) + 1))
    return result


def all_ok(result: Result) -> bool:
    """Return whether every URL is ok."""
    assert result.returncode == 0, (result.stderr, [r for r in result.records if not r["ok"]][:3])
    return all(record["ok"] for record in result.records)
