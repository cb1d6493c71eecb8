"""What a run was bound by, and what to change: read from its account.

Each piece of advice names an option, what it may bring at most, and the numbers that say so. Where
the account doesn't support it, there is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from fetchpool.model.slot_time import DOING, FREE, RunAccount, together
from fetchpool.reporting.terminal.formats import share as percent

BUSY_CPU = 0.85
"""Of its time that an event loop is busy: above that, a processor core is what a run waits for."""

WORTH_SAYING = 0.1
"""The smallest share of the time that is told of as a bound."""

WORTH_DOING = 0.2
"""The smallest share of the time against which an option is advised."""

MOST_CPU = 0.95
"""Nothing makes a run faster than an event loop that is busy for so much of its time."""

ONE_HOST = 0.5
"""The share of a reason's time from which on one host is named for it."""

_WITH_HOST = {
    "per_host": "{host} at {limit} per host",
    "gentle": "{host} started gently",
    "paused": "{host} paused by 429 or 503",
    "unreachable": "{host} can't be reached",
    "host_rate": "{host} at its rate",
    "robots": "robots.txt of {host}",
}


class Bound(msgspec.Struct, frozen=True):
    """One thing that slots waited for, or did."""

    key: str
    """Of `DOING` or `FREE`, or `cpu`."""
    share: float
    """Of the whole time, 0 … 1."""
    text: str
    """For a person; the name of a host in it is as it came."""


class Advice(msgspec.Struct, frozen=True):
    """One thing to change."""

    option: str
    """As it is written on a command line; empty: it is not about an option."""
    text: str
    """What to do and what it may bring, in a sentence without its final dot."""
    evidence: str
    """The numbers that support it."""
    gain: float
    """The share of the run's time that it may save at most, 0 … 1."""


def summed(accounts: Sequence[RunAccount]) -> RunAccount:
    """Return the accounts of a run's commands, at least one, as one; settings are the last one's.

    Without samples, each of which counts from its own command's start.
    """
    last = accounts[-1]
    time = together([each.time for each in accounts])
    time.slots = last.time.slots
    return RunAccount(
        began_at=accounts[0].began_at,
        seconds=sum(each.seconds for each in accounts),
        ended=last.ended,
        processes=last.processes,
        done=sum(each.done for each in accounts),
        time=time,
        limits=last.limits,
        samples=[],
    )


def side_by_side(accounts: Sequence[RunAccount]) -> RunAccount:
    """Return the accounts of shards, at least one, as one; settings are the last one's.

    Shards that one run fetched have the same account each: it counts once.
    """
    known = {(each.began_at, each.seconds): each for each in accounts}
    each_once = list(known.values())
    began_at = min(each.began_at for each in each_once)
    return RunAccount(
        began_at=began_at,
        seconds=max(each.began_at + each.seconds for each in each_once) - began_at,
        ended=all(each.ended for each in each_once),
        processes=sum(each.processes for each in each_once),
        done=sum(each.done for each in each_once),
        time=together([each.time for each in each_once]),
        limits=each_once[-1].limits,
        samples=[],
    )


def bounds(account: RunAccount) -> list[Bound]:
    """Return what the run was bound by, the most important first, as far as it is worth saying.

    That is the processor, where an event loop was busy nearly all the time; else what slots waited
    for or did, by time.
    """
    found = [
        Bound(key, share, _text(account, key))
        for key in (*DOING, *FREE)
        if (share := account.share(key)) >= WORTH_SAYING
    ]
    found.sort(key=lambda bound: -bound.share)
    busy = account.time.busiest
    if busy >= BUSY_CPU:
        found.insert(0, Bound("cpu", busy, "one processor core"))
    return found


def _text(account: RunAccount, key: str) -> str:
    words = _WITH_HOST.get(key)
    host = None if words is None else _one_host(account, key)
    if words is None or host is None:
        limit = account.limits.get("per_host")
        return f"hosts at {limit} per host" if key == "per_host" and limit else (DOING | FREE)[key]
    return words.format(host=host, limit=account.limits.get("per_host", "their limit"))


def _one_host(account: RunAccount, key: str) -> str | None:
    """Return the host that a free slot mostly waited for, if one is to be named."""
    whole = account.time.parts.get(key, 0.0)
    for host in account.time.hosts:
        if host.free.get(key, 0.0) >= ONE_HOST * whole > 0:
            return host.host
    return None


def advice(account: RunAccount, cores: int | None = None) -> list[Advice]:
    """Return what to change, what may bring most first; *cores* of this machine."""
    facts = _Facts(account, cores or os.cpu_count() or 1)
    found = [each for rule in _RULES for each in rule(facts) if each.gain >= _LEAST_GAIN]
    return sorted(found, key=lambda each: -each.gain)


def in_words(advice: Advice) -> str:
    """Return *advice* as a line: the option, and what it may bring."""
    return f"{advice.option}: {advice.text}" if advice.option else advice.text


class _Facts:
    """What rules look at."""

    def __init__(self, account: RunAccount, cores: int) -> None:
        self.account = account
        self.time = account.time
        self.share = account.share
        self.cores = cores
        self.busy = account.time.busiest
        self.room = max(0.0, MOST_CPU - self.busy)
        self.held = sum(account.share(key) for key in DOING)

    def limit(self, name: str) -> int:
        """Return a limit as a number; 0 where there is none, or it finds itself."""
        text = self.account.limits.get(name, "")
        return int(text) if text.isdigit() else 0

    def percent(self, key: str) -> str:
        """Return the share of a part as text."""
        return percent(self.share(key))


def _cores(facts: _Facts) -> Iterator[Advice]:
    if facts.busy < BUSY_CPU or facts.cores <= facts.account.processes:
        return
    gain = 1 - facts.account.processes / facts.cores
    busy = f"an event loop was busy for {percent(facts.busy)} of the time"
    yield Advice("--workers 0", _less("use every core", gain), busy, gain)


def _per_host(facts: _Facts) -> Iterator[Advice]:
    limit, share = facts.limit("per_host"), facts.share("per_host")
    if not limit or share < WORTH_DOING:
        return
    gain = min(share / 2, facts.room)
    host = _one_host(facts.account, "per_host")
    asked = f"if {host}'s owner has nothing against it" if host else "where hosts bear it"
    yield Advice(
        f"--per-host {2 * limit}",
        f"{_less('more at once', gain)}, {asked}",
        f"for {percent(share)} of the time slots were free and requests waited for "
        f"{_text(facts.account, 'per_host')}",
        gain,
    )


def _limit(facts: _Facts) -> Iterator[Advice]:
    if facts.held < _FULL or facts.busy >= BUSY_CPU:
        return
    gain = min(facts.held / 2, facts.room)
    yield Advice(
        f"--limit {2 * facts.time.slots}",
        _less("more at once", gain),
        f"slots were in use for {percent(facts.held)} of the time, for "
        f"{facts.percent('first_byte')} waiting for the first byte",
        gain,
    )


def _connections(facts: _Facts) -> Iterator[Advice]:
    share, counts = facts.share("connect") + facts.share("tls"), facts.time.connections
    if share < WORTH_DOING:
        return
    spent = f"{percent(share)} of the time went into opening {counts.opened} connections"
    if "force_close" in facts.account.limits:
        yield Advice("without --force-close", _less("connections are kept", share), spent, share)
    elif 2 * counts.closed_idle > counts.opened:
        idle = f"{spent}, of which {counts.closed_idle} were closed again as they were idle"
        text = _less("idle connections stay open for longer", share / 2)
        yield Advice("--keepalive 60", text, idle, share / 2)


def _names(facts: _Facts) -> Iterator[Advice]:
    share, lookups = facts.share("dns"), facts.time.lookups
    if share >= WORTH_DOING and lookups.asked:
        mean_ms = 1000 * lookups.seconds / lookups.asked
        spent = f"{percent(share)} of the time went into {lookups.asked} look-ups, {mean_ms:.0f} ms"
        text = _less("a caching resolver on this machine answers sooner", share)
        yield Advice("", text, f"{spent} each", share)


def _rates(facts: _Facts) -> Iterator[Advice]:
    for name in ("rate", "host_rate"):
        share, option = facts.share(name), f"--{name.replace('_', '-')}"
        if share >= WORTH_DOING and name in facts.account.limits:
            gain = min(share, facts.room)
            why = f"slots were free for {percent(share)} of the time because of it"
            yield Advice(option, _less("a higher one", gain), why, gain)


def _retries(facts: _Facts) -> Iterator[Advice]:
    share, retries = facts.share("retry"), facts.limit("retries")
    if share >= WORTH_DOING and retries:
        why = f"slots were free for {percent(share)} of the time before retries"
        text = _less("fewer pauses for what fails anyway", share / 2)
        yield Advice(f"--retries {retries - 1}", text, why, share / 2)


def _surroundings(facts: _Facts) -> Iterator[Advice]:
    for key, text in _SLOWER.items():
        share = facts.share(key)
        if share >= WORTH_DOING:
            gain = min(share, facts.room)
            why = f"slots were free for {percent(share)} of the time because of that"
            yield Advice("", _less(text, gain), why, gain)


_RULES = (_cores, _per_host, _limit, _connections, _names, _rates, _retries, _surroundings)

_SLOWER = {
    "list": "what writes the list is slower than the run",
    "records": "what reads the records is slower than the run",
    "disk": "the disk of DEST is slower than the run",
    "descriptors": "raise 'ulimit -n'",
}

_FULL = 0.8
"""The share of time in use from which on more slots may help."""

_LEAST_GAIN = 0.05


def _less(text: str, gain: float) -> str:
    return f"{text}, up to {percent(gain)} less time"
