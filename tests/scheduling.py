"""What the tests of the scheduler share."""

from __future__ import annotations

from collections import deque

from fetchpool.model.values import Failure, FailureKind
from fetchpool.scheduling.scheduler import Limits, Scheduler

REFUSED = Failure(FailureKind.CONNECT, "connection refused")


class FakeBacklog:
    """Queues in memory, counting what goes through them."""

    def __init__(self) -> None:
        self.queues: dict[str, deque[str]] = {}
        self.pushed = 0

    def push(self, host: str, item: str) -> None:
        self.queues.setdefault(host, deque()).append(item)
        self.pushed += 1

    def pull(self, host: str, limit: int) -> list[str]:
        queue = self.queues.get(host, deque())
        return [queue.popleft() for _ in range(min(limit, len(queue)))]

    def waiting(self, host: str) -> int:
        return len(self.queues.get(host, ()))


def scheduler(limits: Limits | None = None) -> Scheduler[str]:
    return Scheduler(limits or Limits(), FakeBacklog())


def host_of(item: str) -> str:
    return item.partition("/")[0]


def taken(sched: Scheduler[str], now: float = 0.0) -> list[str]:
    """Take everything that may start at *now*."""
    items = []
    while (item := sched.take(now)) is not None:
        items.append(item)
    return items
