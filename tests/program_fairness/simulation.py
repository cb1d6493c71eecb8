"""What other ways to share slots would have come to: numbers to hold a run against."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping
from itertools import count


def in_turns(queues: Mapping[str, int], service_s: Mapping[str, float], limit: int,
             per_host: int) -> dict[str, float]:  # fmt: skip
    """Return when each host's last request ends if hosts simply take turns.

    *queues* says how many requests a host has, *service_s* how long each of them takes.
    """
    left = Counter(queues)
    turns = deque(queues)
    running: list[tuple[float, int, str]] = []
    at_host: Counter[str] = Counter()
    ends: dict[str, float] = {}
    ticket = count()
    now = 0.0
    while True:
        passed = 0
        while len(running) < limit and passed < len(turns):
            host = turns.popleft()
            if not left[host]:
                continue
            turns.append(host)
            if at_host[host] < per_host:
                left[host] -= 1
                at_host[host] += 1
                heapq.heappush(running, (now + service_s[host], next(ticket), host))
                passed = 0
            else:
                passed += 1
        if not running:
            return ends
        now, _, host = heapq.heappop(running)
        at_host[host] -= 1
        ends[host] = now


def max_min(queues: Mapping[str, int], service_s: Mapping[str, float], limit: int,
            per_host: int) -> dict[str, float]:  # fmt: skip
    """Return when each host's last request ends if every instant of the slots is shared max-min.

    A host gets any fraction of a slot: what no scheduler of whole requests reaches (Bertsekas and
    Gallager, Data Networks, §6.5.2).
    """
    left = {host: number * service_s[host] for host, number in queues.items()}
    ends: dict[str, float] = {}
    now = 0.0
    while left:
        share = min(per_host, limit / len(left))
        first = min(left.values())
        now += first / share
        for host in [host for host, slot_s in left.items() if slot_s <= first]:
            ends[host] = now
            del left[host]
        for host in left:
            left[host] -= first
    return ends
