"""Why requests wait at hosts that may start none."""

from __future__ import annotations

from collections.abc import Collection
from heapq import nlargest
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from fetchpool.scheduling.host_slot import HostSlot

NAMED_A_LOOK = 8
"""Hosts that a look gives their part by name, those with most waiting."""


class Reasons(msgspec.Struct):
    """What a look found: how many requests wait for which reason, and where most of them."""

    waiting: dict[str, float] = {}
    """Requests that may not start, by reason (of `FREE`)."""
    ready: int = 0
    """Requests that may: they are about to."""
    hosts: list[tuple[str, str, float]] = []
    """Host, reason and requests, of the hosts with most waiting."""
    running: list[tuple[str, int]] = []
    """Host and requests in progress, of the hosts with most of them."""


def reasons_of(slots: Collection[HostSlot[Any]], known: int, now: float, *, rate: bool) -> Reasons:
    """Return why requests wait at *slots*, some of *known* hosts: the numbers are for all.

    *rate*: `--rate` lets nothing start now.
    """
    scale = known / len(slots) if slots else 1.0
    waiting: dict[str, float] = {}
    hosts: list[tuple[str, str, float]] = []
    running: list[tuple[str, int]] = []
    ready = 0
    for slot in slots:
        if slot.running:
            running.append((slot.host, slot.running))
        count = slot.waiting
        if not count:
            continue
        reason = slot.why_not(now)
        if reason is not None:
            hosts.append((slot.host, reason, float(count)))
        elif rate:
            reason = "rate"
        else:
            ready += count
            continue
        waiting[reason] = waiting.get(reason, 0.0) + count * scale
    return Reasons(
        waiting,
        ready,
        nlargest(NAMED_A_LOOK, hosts, key=lambda row: row[2]),
        nlargest(NAMED_A_LOOK, running, key=lambda row: row[1]),
    )
