"""How fair the program is to every host: the ratios that must hold, measured on loopback.

    python -m benchmarks.fairness            all of them, some five minutes
    python -m benchmarks.fairness slow dead  some of them: slow, first, order, half, angry, dead,
                                             bad, limited

Each time is the server's: from the first request to the last one of the hosts in question.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness import PROGRAM, Result, run_fetchpool, why_no_resolver, with_resolver
from tests.program_fairness.hosts import Hosts, Rule, Throttle, block
from tests.program_fairness.simulation import in_turns, max_min
from tests.servers.counting import Hit
from tests.servers.dns import NameServer

SEED = 11


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, and what it may be at most (or must be)."""

    what: str
    value: str
    bound: str
    holds: bool

    def __str__(self) -> str:
        return f"{'ok ' if self.holds else 'BAD'}  {self.what:<70} {self.value:>12}  {self.bound}"


def at_most(what: str, value: float, most: float, unit: str = "") -> Row:
    """Return the row of a number that must not exceed *most*."""
    return Row(what, f"{value:.2f}{unit}", f"at most {most:.2f}{unit}", value <= most)


def exactly(what: str, value: object, wanted: object) -> Row:
    """Return the row of something that must be as *wanted*."""
    return Row(what, str(value), f"must be {wanted}", value == wanted)


@contextmanager
def hosts_at(addresses: Sequence[str], delays: dict[str, float] | None = None) -> Iterator[Hosts]:
    """Run hosts that answer after their delay, at once without one."""
    with Hosts(addresses) as hosts:
        for address, delay_s in (delays or {}).items():
            hosts.rules[address] = delayed(delay_s)
        yield hosts


def delayed(delay_s: float) -> Rule:
    """Return the rule of a host that takes *delay_s* for an answer."""
    return lambda hit: {"delay": str(delay_s)}


def fetch(urls: Sequence[str], *options: str, program: Sequence[str] = PROGRAM,
          directory: Path | None = None) -> Result:  # fmt: skip
    """Fetch *urls* as a user would; bodies are not kept."""
    with tempfile.TemporaryDirectory() as temporary:
        place = directory or Path(temporary)
        (place / "list.txt").write_text("\n".join(urls) + "\n")
        args = ["get", "list.txt", "-o", "out", "--no-body", "--fresh", *options]
        return run_fetchpool(args, cwd=place, timeout=300, program=program)


def ended(hosts: Hosts, addresses: Sequence[str]) -> float:
    """Return when the last request to *addresses* came, in seconds since the first of all."""
    return hosts.hits_of(addresses)[-1].at - hosts.counts.hits[0].at


# --- the scenarios


def slow() -> Iterator[Row]:
    """Twelve slow hosts first, which could take every slot; and more of them than slots."""
    for slow_count, each, fast_s in ((12, 30, 0.0), (12, 30, 0.02), (24, 8, 0.02)):
        slow, fast = block(41, slow_count), block(42, 20)
        delays = dict.fromkeys(slow, 1.0) | (dict.fromkeys(fast, fast_s) if fast_s else {})
        limits = ("--limit", "16", "--per-host", "2")
        with hosts_at([*slow, *fast], delays) as hosts:
            fetch(hosts.urls(fast, 100), *limits)
            alone = ended(hosts, fast)
        with hosts_at([*slow, *fast], delays) as hosts:
            fetch(hosts.urls(slow, each) + hosts.urls(fast, 100), *limits)
            beside = ended(hosts, fast)
        # What a request to a fast host takes of a slot, our own work for it included.
        service_s = dict.fromkeys(slow, 1.0) | dict.fromkeys(fast, alone * 16 / 2000)
        queues = dict.fromkeys(slow, each) | dict.fromkeys(fast, 100)
        turns = max(in_turns(queues, service_s, 16, 2)[host] for host in fast)
        fair = max(max_min(queues, service_s, 16, 2)[host] for host in fast)
        label = f"{slow_count} slow × {each} first, 20 fast of {fast_s * 1000:.0f} ms × 100:"
        yield at_most(f"{label} fast end", beside, turns, " s")
        if slow_count == 12:
            yield at_most(f"{label} of plain turns' {turns:.1f} s", beside / turns, 0.25)
        yield at_most(f"{label} of max-min's {fair:.2f} s", beside / fair, 2.0)


def first() -> Iterator[Row]:
    """One slow host at the front, everything else by default."""
    (slow,), fast = block(43, 1), block(44, 20)
    delays = {slow: 1.0} | dict.fromkeys(fast, 0.02)
    times = []
    for lines in (0, 60):
        with hosts_at([slow, *fast], delays) as hosts:
            fetch(hosts.urls([slow], lines) + hosts.urls(fast, 300))
            times.append(ended(hosts, fast))
    yield at_most(
        "one slow host × 60 first: the fast take, of without it", times[1] / times[0], 1.3
    )


def order() -> Iterator[Row]:
    """Ten thousand lines a host, sorted and shuffled."""
    addresses = block(45, 3)
    rates = {}
    for name in ("sorted", "shuffled"):
        with hosts_at(addresses) as hosts:
            urls = hosts.urls(addresses, 10_000)
            if name == "shuffled":
                random.Random(SEED).shuffle(urls)
            fetch(urls)
            rates[name] = len(urls) / ended(hosts, addresses)
    yield at_most(
        f"3 hosts × 10,000: URLs/s shuffled {rates['shuffled']:.0f}, sorted {rates['sorted']:.0f}",
        max(rates.values()) / min(rates.values()),
        1.25,
    )


def half() -> Iterator[Row]:
    """Every other line is a slow host's."""
    (slow,), fast = block(46, 1), block(47, 10)
    delays = {slow: 0.5} | dict.fromkeys(fast, 0.02)
    times = []
    for lines in (0, 4000):
        with hosts_at([slow, *fast], delays) as hosts:
            urls = hosts.urls([slow], lines) + hosts.urls(fast, 400)
            random.Random(SEED).shuffle(urls)
            fetch(urls, "--max-time", "20")
            assert len(hosts.hits_of(fast)) == 4000
            times.append(ended(hosts, fast))
    yield at_most("half one slow host, shuffled: fast half, of alone", times[1] / times[0], 1.3)


def angry() -> Iterator[Row]:
    """Fifty answers, then 429 with Retry-After 2 until two seconds are over; and 429 for ever."""
    angry, fast = block(48, 1), block(49, 5)
    with hosts_at([*angry, *fast]) as hosts:
        throttle = Throttle(50, 2.0, {"status": "429", "after": "2"})
        hosts.rules[angry[0]] = throttle
        result = fetch(hosts.urls(angry, 200) + hosts.urls(fast, 200))
        begun, last = throttle.refused[0].at, throttle.refused[-1].at
        within = sum(last < hit.at < begun + 2.0 for hit in hosts.hits_of(angry))
        share = ended(hosts, fast) / ended(hosts, angry)
        yield exactly("429, Retry-After 2: URLs that failed", _failed(result), 0)
        yield exactly("requests in the two seconds, but what was under way", within, 0)
        yield at_most("what was under way", len(throttle.refused), 10)
        yield at_most("the other hosts' end, of the whole run", share, 0.9)
    with hosts_at([*angry, *fast]) as hosts:
        hosts.rules[angry[0]] = lambda hit: {"status": "429", "after": "2"}
        result = fetch(hosts.urls(angry, 200) + hosts.urls(fast, 200))
        yield exactly("429 for ever: exit status", result.returncode, 1)
        yield exactly("URLs of it that failed, of others", _failed(result), 200)
        yield at_most("requests it got", len(hosts.hits_of(angry)), 60)


def dead() -> Iterator[Row]:
    """A host that refuses, with 200 URLs, and thirty names that don't exist."""
    (refusing,), fast = block(50, 1), block(51, 20)
    names = [f"http://gone{number}.invalid/{n}" for number in range(30) for n in range(5)]
    times = []
    for trouble in (False, True):
        with (
            hosts_at(fast, dict.fromkeys(fast, 0.02)) as hosts,
            NameServer({}) as server,
            tempfile.TemporaryDirectory() as temporary,
        ):
            urls = hosts.urls(fast, 300)
            program: Sequence[str] = PROGRAM
            if why_no_resolver() is None:
                program = with_resolver(server.address, Path(temporary))
            if trouble:
                urls = hosts.urls([refusing], 200) + names + urls
            result = fetch(urls, program=program, directory=Path(temporary))
            times.append(ended(hosts, fast))
    yield exactly("200 URLs of a refusing host, 30 dead names: failed", _failed(result), 350)
    tried = sum(record["attempts"] for record in result.records if refusing in record["url"])
    yield at_most("attempts at the refusing host", tried, 20)
    yield at_most("the others' time, of without", times[1] / times[0], 1.2)


def bad() -> Iterator[Row]:
    """Some URLs of a good host are refused for ever, or never answered."""
    cases = {
        "4 of 60, first, always 503": (range(4), 60, "status=503", ()),
        "4 of 60, first, always 429": (range(4), 60, "status=429", ()),
        "4 of 60, first, never answered": (
            range(4), 60, "until=1000000", ("--read-timeout", "0.5")),
        "10 of 1,000, first, always 503": (range(10), 1000, "status=503", ()),
        "30 of 1,000, always 503": (
            random.Random(SEED).sample(range(1000), 30), 1000, "status=503", ()),
    }  # fmt: skip
    for what, (where, lines, wishes, options) in cases.items():
        with hosts_at(block(52, 1)) as hosts:
            (host,) = block(52, 1)
            urls = [
                hosts.url(f"/{n}?{wishes}" if n in set(where) else f"/{n}", host)
                for n in range(lines)
            ]
            result = fetch(urls, *options)
            requests = Counter(hit.target for hit in hosts.counts.hits)
            failed = {record["url"] for record in result.records if not record["ok"]}
            yield exactly(f"{what}: good URLs lost", len(failed - {urls[n] for n in where}), 0)
            most = max(number for target, number in requests.items() if wishes in target)
            yield at_most(f"{what}: requests for a bad one", most, 3)


def limited() -> Iterator[Row]:
    """A host that answers 429 beyond so many requests a second."""
    for interval_s, burst, headers in ((0.05, 20, {}), (0.05, 20, {"after": "1"}), (1.0, 5, {})):
        with hosts_at(block(53, 1)) as hosts:
            (host,) = block(53, 1)
            hosts.rules[host] = Limit(interval_s, burst, headers)
            result = fetch(hosts.urls([host], 40 if interval_s == 1.0 else 200))
            label = f"429 beyond {1 / interval_s:.0f}/s, {'named' if headers else 'no'} pause:"
            yield exactly(f"{label} URLs lost", _failed(result), 0)
            requests = len(hosts.counts.hits) / len(result.records)
            yield at_most(f"{label} requests a URL", requests, 2.0)


class Limit:
    """A host's rule: so many requests at once, one more each interval, 429 for what is beyond."""

    def __init__(self, interval_s: float, burst: int, headers: dict[str, str]) -> None:
        self._interval_s = interval_s
        self._burst = burst
        self._refusal = {"status": "429", **headers}
        self._tokens = float(burst)
        self._at = 0.0

    def __call__(self, hit: Hit) -> dict[str, str]:
        tokens = self._tokens + (hit.at - self._at) / self._interval_s
        self._tokens, self._at = min(float(self._burst), tokens), hit.at
        if self._tokens < 1.0:
            return self._refusal
        self._tokens -= 1.0
        return {}


def _failed(result: Result) -> int:
    return sum(not record["ok"] for record in result.records)


SCENARIOS: dict[str, Callable[[], Iterator[Row]]] = {
    each.__name__: each for each in (slow, first, order, half, angry, dead, bad, limited)
}


def main() -> int:
    """Print the table; return 1 if something doesn't hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fairness", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    chosen = parser.parse_args().scenarios or list(SCENARIOS)
    if unknown := set(chosen) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    holds = True
    for name in chosen:
        for row in SCENARIOS[name]():
            print(row, flush=True)
            holds = holds and row.holds
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
