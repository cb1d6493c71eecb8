"""The Prometheus textfile of a run (`--metrics-file`), for node_exporter's textfile collector.

The whole file is replaced in one step, so a scrape never meets half of it. Names follow
https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from fetchpool.stats import Summary, Times

LAST_SUCCESS: Final = "fetchpool_last_success_timestamp_seconds"


def write_metrics(path: str | Path, summary: Summary, ended_at: float | None) -> None:
    """Replace the file *path* by the numbers of *summary*, a run that ended at *ended_at*.

    That is in seconds since the epoch, or None for a run still going on: exit status and end are
    left out then. The time of the last success is carried over from the file where this run was
    none, so that `time() - fetchpool_last_success_timestamp_seconds` keeps growing while a nightly
    job fails. Raises `OSError`, also for a *path* that is no regular file: a rename would put one
    in the place of `/dev/null`.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    succeeded = ended_at is not None and summary.exit_status == 0
    last_success = ended_at if succeeded else _last_success(Path(path))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_RunCollector(summary, ended_at, last_success))
    write_to_textfile(str(path), registry)


def _last_success(path: Path) -> float | None:
    """Return the time of the last success that the file *path* tells; None if it can't."""
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(" ")
            if name == LAST_SUCCESS:
                return float(value)
    except (OSError, ValueError):
        pass  # not there yet, or somebody else's: there is nothing to carry over
    return None


class _RunCollector(Collector):
    """Gives the numbers of one run as metric families."""

    def __init__(
        self, summary: Summary, ended_at: float | None, last_success: float | None
    ) -> None:
        self._summary = summary
        self._ended_at = ended_at
        self._last_success = last_success

    def collect(self) -> Iterator[Metric]:
        yield from self._results()
        yield from self._traffic()
        yield from self._times()

    def _results(self) -> Iterator[Metric]:
        summary = self._summary
        urls = CounterMetricFamily(
            "fetchpool_urls", "URLs with an outcome, kept ones included.", labels=["result"]
        )
        urls.add_metric(["ok"], summary.ok)
        urls.add_metric(["failed"], summary.failures)
        yield urls
        failures = CounterMetricFamily(
            "fetchpool_failures", "URLs that failed, by status or kind of error.", labels=["kind"]
        )
        for label, number in summary.failed.items():
            failures.add_metric([label], number)
        yield failures
        yield CounterMetricFamily(
            "fetchpool_kept_urls", "URLs an earlier run had answered.", summary.kept
        )

    def _traffic(self) -> Iterator[Metric]:
        summary = self._summary
        yield CounterMetricFamily(
            "fetchpool_received_bytes", "Bytes received over connections.", summary.received
        )
        yield CounterMetricFamily(
            "fetchpool_body_bytes", "Bytes of decoded bodies of answers kept.", summary.bytes
        )
        yield CounterMetricFamily(
            "fetchpool_connections_opened", "Connections opened.", summary.connections_opened
        )
        yield CounterMetricFamily("fetchpool_requests", "Requests sent.", summary.requests)
        yield CounterMetricFamily(
            "fetchpool_requests_reused",
            "Requests sent on a connection that had served before.",
            summary.requests_reused,
        )
        yield CounterMetricFamily("fetchpool_retries", "Attempts repeated.", summary.retries)

    def _times(self) -> Iterator[Metric]:
        summary = self._summary
        yield GaugeMetricFamily(
            "fetchpool_run_duration_seconds", "Duration of the run.", summary.elapsed_s
        )
        if self._ended_at is not None:
            yield GaugeMetricFamily(
                "fetchpool_run_exit_status", "Exit status of the run.", summary.exit_status
            )
            yield GaugeMetricFamily(
                "fetchpool_run_end_timestamp_seconds", "When the run ended.", self._ended_at
            )
        if self._last_success is not None:
            yield GaugeMetricFamily(
                LAST_SUCCESS, "When a run last ended with exit status 0.", self._last_success
            )
        yield from _latency(
            "fetchpool_first_byte_seconds",
            "From a request to the first byte of its answer.",
            summary.first_byte,
        )
        yield from _latency(
            "fetchpool_url_seconds", "From first attempt to end of the last.", summary.whole
        )


def _latency(name: str, documentation: str, times: Times | None) -> Iterator[Metric]:
    if times is None:
        return
    family = SummaryMetricFamily(name, documentation, times.count, times.total_s)
    for quantile, seconds in (("0.5", times.p50), ("0.9", times.p90), ("0.99", times.p99)):
        family.add_sample(name, {"quantile": quantile}, seconds)
    yield family
