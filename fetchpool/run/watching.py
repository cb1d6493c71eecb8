"""What happens in a run beside its outcomes: counted, noted in the log file, told to a person."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fetchpool.model.robots import RobotsRead
    from fetchpool.reporting.event_log import EventSink
    from fetchpool.reporting.stats import Stats
    from fetchpool.reporting.terminal import Reporter


class Observer:
    """Counts retries and pauses, and notes them in the log file."""

    def __init__(self, stats: Stats, events: EventSink, reporter: Reporter) -> None:
        self._stats = stats
        self._events = events
        self._reporter = reporter

    def retried(self) -> None:
        """Count a further attempt."""
        self._stats.retried()

    def parked(self, host: str, seconds: float, why: str) -> None:
        """Count and note that *host* is left alone for a while."""
        self._stats.parked(host, seconds, why)
        self._events.event("host-parked", host=host, seconds=round(seconds, 3), why=why)

    def robots_read(self, robots: RobotsRead) -> None:
        """Count and note what a robots.txt says that was fetched."""
        self._stats.robots_read(robots)
        self._events.event(
            "robots",
            url=robots.url,
            says=robots.says,
            crawl_delay=robots.crawl_delay_s,
            kept=robots.kept_delay_s,
            sitemaps=robots.sitemaps_in_all or None,
        )
        for sitemap in robots.sitemaps:
            self._events.event("sitemap", robots_url=robots.url, url=sitemap)

    def rested(self, proxy: str, seconds: float, why: str) -> None:
        """Count and note that *proxy* rests for a while."""
        self._stats.rested(proxy, seconds, why)
        self._events.event("proxy-rests", proxy=proxy, seconds=round(seconds, 3), why=why)

    def outage(self, began: bool) -> None:
        """Note that our side's network is down, or back."""
        self._events.event("our-network-down" if began else "our-network-back")

    def worker_died(self, number: int, how: str) -> None:
        """Tell that a worker process died, which costs no URL its answer."""
        self._events.event("worker-died", pid=number, how=how)
        self._reporter.warn(f"a worker process ended by {how}; another one goes on with its URLs")


@contextlib.contextmanager
def catching_internal_errors(reporter: Reporter, events: EventSink) -> Iterator[None]:
    """During the block, tell a person of our own bugs in a line; the log file has tracebacks."""
    log = logging.getLogger("fetchpool")
    handler = _InternalErrors(reporter, events)
    log.addHandler(handler)
    before, log.propagate = log.propagate, False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before


class _InternalErrors(logging.Handler):
    def __init__(self, reporter: Reporter, events: EventSink) -> None:
        super().__init__()
        self._reporter = reporter
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return
        self._events.crash("internal-error", error)
        self._reporter.warn(
            f"a bug in fetchpool: {error!r}. With --log-file its traceback is kept."
        )
