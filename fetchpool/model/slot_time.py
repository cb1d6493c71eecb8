"""Where the time of a run went: slots times seconds, by what slots did or why they did nothing.

A run with `--limit 100` has 100 slots. Each second a slot holds a request, which is in one of the
steps `DOING`, or it is free for one of the reasons `FREE`. The parts add up to the whole: slots
times seconds, over all processes.

Everything here is a value. `scheduling/slot_clock` measures, `output/ledger/accounts` keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Final

import msgspec

DOING: Final = {
    "dns": "looking up names",
    "connect": "connecting",
    "tls": "TLS handshakes",
    "first_byte": "waiting for the first byte",
    "body": "receiving",
    "own": "our own work",
}
"""What a slot did that held a request, in the order of an attempt; with the words for a person.

`tls` has a proxy's tunnel, `first_byte` the sending; `own` is what is left of the time a slot was
held: decoding, storing, deciding, waiting for the event loop."""

FREE: Final = {
    "per_host": "hosts at --per-host",
    "limit": "no more at once were better (--limit auto)",
    "gentle": "hosts started gently",
    "paused": "hosts paused by 429 or 503",
    "unreachable": "hosts that can't be reached",
    "retry": "pauses before retries",
    "host_rate": "--host-rate or Crawl-delay",
    "rate": "--rate",
    "robots": "robots.txt first",
    "disk": "the disk",
    "records": "the reader of the records",
    "outage": "our network was down",
    "descriptors": "no more descriptors",
    "list": "the list was not read faster",
    "tail": "only the last requests left",
}
"""Why a slot was free, with the words for a person."""

PARTS: Final = (*DOING, *FREE)


class HostTime(msgspec.Struct):
    """Where time went at one host, in seconds times slots."""

    host: str
    held: float = 0.0
    """Its requests held slots. Sampled a few times a second."""
    free: dict[str, float] = {}
    """Slots were free that it had requests for, by reason (of `FREE`)."""

    @property
    def cost(self) -> float:
        """How long slots waited for this host."""
        return sum(self.free.values())

    @property
    def total(self) -> float:
        """How long slots waited for it or were held by its requests."""
        return self.held + self.cost


class Connections(msgspec.Struct):
    """What became of connections."""

    opened: int = 0
    reused: int = 0
    """Requests that went out on a connection which had served before."""
    closed_by_server: int = 0
    """While it was idle, or as the response said."""
    closed_idle: int = 0
    """By us, after `--keepalive`, or as there were too many."""
    closed_by_us: int = 0
    """After their one request (`--force-close`), or with a body that nobody wanted to the end."""
    broken: int = 0
    """By an error, a time-out included."""
    tls_full: int = 0
    tls_resumed: int = 0


class Lookups(msgspec.Struct):
    """What became of names."""

    asked: int = 0
    """Look-ups that went to the resolver."""
    cached: int = 0
    """Answered from memory (`--dns-ttl`)."""
    failed: int = 0
    seconds: float = 0.0
    """What the asked ones took together."""


class Sample(msgspec.Struct):
    """The run at a moment, counted from its start."""

    at: float
    """Seconds since the command began."""
    parts: dict[str, float]
    """Seconds times slots so far, by part."""
    done: int = 0
    """URLs with an outcome so far."""
    running: int = 0
    received: int = 0
    """Bytes so far."""
    cpu_s: float = 0.0


class SlotTime(msgspec.Struct, array_like=True):
    """Where the time of the slots of one process, or of several together, went so far."""

    slots: int = 0
    slot_s: float = 0.0
    """Slots times the seconds that each process had them."""
    parts: dict[str, float] = {}
    """Seconds times slots, by part (see `PARTS`); they add up to `slot_s`."""
    cpu_s: float = 0.0
    """Processor time of the event loops."""
    busiest: float = 0.0
    """How much of its time the busiest event loop was busy, 0 … 1."""
    connections: Connections = msgspec.field(default_factory=Connections)
    lookups: Lookups = msgspec.field(default_factory=Lookups)
    hosts: list[HostTime] = []
    """Those that slots waited for, or were held by, for longest; at most `HOSTS_KEPT`."""


class RunAccount(msgspec.Struct):
    """Where the time of one command went."""

    began_at: float
    """Seconds since the epoch."""
    seconds: float = 0.0
    ended: bool = False
    """False while the command runs, and after a kill."""
    processes: int = 1
    done: int = 0
    """URLs with an outcome of this command."""
    time: SlotTime = msgspec.field(default_factory=SlotTime)
    limits: dict[str, str] = {}
    """What was in force of the options that bound a run, as the user would write them."""
    samples: list[Sample] = []
    """At most `SAMPLES_KEPT`, evenly over the command's time."""

    def share(self, part: str) -> float:
        """Return the share of *part* in all slot time, 0 … 1."""
        whole = self.time.slot_s
        return self.time.parts.get(part, 0.0) / whole if whole > 0 else 0.0


def together(times: Sequence[SlotTime]) -> SlotTime:
    """Return the sum of *times*, of several processes or commands."""
    sum_ = SlotTime()
    hosts: dict[str, HostTime] = {}
    for each in times:
        sum_.slots += each.slots
        sum_.slot_s += each.slot_s
        sum_.cpu_s += each.cpu_s
        sum_.busiest = max(sum_.busiest, each.busiest)
        sum_.parts = added(sum_.parts, each.parts)
        for name in Connections.__struct_fields__:
            both = getattr(sum_.connections, name) + getattr(each.connections, name)
            setattr(sum_.connections, name, both)
        for name in Lookups.__struct_fields__:
            setattr(sum_.lookups, name, getattr(sum_.lookups, name) + getattr(each.lookups, name))
        for host in each.hosts:
            known = hosts.setdefault(host.host, HostTime(host.host))
            known.held += host.held
            known.free = added(known.free, host.free)
    sum_.hosts = worst(hosts.values(), HOSTS_KEPT)
    return sum_


def added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of two tables."""
    return {key: one.get(key, 0.0) + other.get(key, 0.0) for key in (*one, *other)}


def worst(hosts: Iterable[HostTime], count: int) -> list[HostTime]:
    """Return up to *count* of *hosts*: those that slots waited for, or were held by, for longest"""
    return nlargest(count, hosts, key=lambda host: host.total)


HOSTS_KEPT: Final = 100
SAMPLES_KEPT: Final = 240
