"""The Prometheus textfile of a run (`--metrics-file`), for node_exporter's textfile collector.

The file is replaced in one step, so a scrape never reads half of it. Names follow
https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import time
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from fetchpool.model.descriptors import descriptor_of
from fetchpool.reporting.stats import Summary, Times

LAST_SUCCESS: Final = "fetchpool_last_success_timestamp_seconds"
ENDED: Final = "fetchpool_run_end_timestamp_seconds"
_OURS: Final = "fetchpool_"

MAX_BYTES: Final = 1 << 20
"""A longer file is not read: it can't be one of metrics."""

Labels: TypeAlias = Sequence[tuple[str, str]]
"""Names and values on every sample of a file."""


def write_metrics(
    path: str | Path, summary: Summary, ended_at: float | None, labels: Labels = ()
) -> None:
    """Replace the file *path* by the numbers of *summary*, a run that ended at *ended_at*.

    *ended_at* is in seconds since the epoch; None: the run goes on, and exit status and end are
    left out. If the run failed, the time of the last success is copied from the file, so that
    `time() - fetchpool_last_success_timestamp_seconds` grows while a nightly job fails. Raises
    `OSError`, also where *path* is no regular file: a rename would replace `/dev/null`.
    """
    if descriptor_of(path) is not None or (Path(path).exists() and not Path(path).is_file()):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    succeeded = ended_at is not None and summary.exit_status == 0
    last_success = ended_at if succeeded else _earlier(Path(path), LAST_SUCCESS, dict(labels))
    _write(path, _RunCollector(summary, ended_at, last_success), labels)


def write_refusal(path: str | Path, exit_status: int, began_at: float, labels: Labels = ()) -> None:
    """Replace the file *path* by what is known of a run that ended before it could start.

    That is its exit status, the time, and the last success. Nothing is written where *path* holds
    anything but metrics of fetchpool, as the name may be the mistake, or where another run with
    these labels has ended since *began_at*, whose numbers say more. Raises `OSError`.
    """
    target = Path(path)
    if descriptor_of(target) is not None:
        return
    if target.exists() and not (target.is_file() and _holds_metrics(target)):
        return
    ended_at = _earlier(target, ENDED, dict(labels))
    if ended_at is not None and ended_at >= began_at:
        return
    last_success = _earlier(target, LAST_SUCCESS, dict(labels))
    _write(path, _EndCollector(exit_status, time(), last_success), labels)


def _write(path: str | Path, collector: Collector, labels: Labels) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Labelled(collector, labels))
    write_to_textfile(str(path), registry)


def _earlier(path: Path, name: str, labels: dict[str, str]) -> float | None:
    """Return the value of *name* with exactly *labels* in the file *path*, or None."""
    for sample in _samples(path):
        if sample.name == name and sample.labels == labels:
            return sample.value
    return None


def _holds_metrics(path: Path) -> bool:
    """Tell whether the file *path* is empty or holds metrics of fetchpool."""
    try:
        if not path.stat().st_size:
            return True
    except OSError:
        return False
    samples = _samples(path)
    return bool(samples) and all(sample.name.startswith(_OURS) for sample in samples)


def _samples(path: Path) -> list[Sample]:
    """Return the samples in the file *path*; none where it is missing or not fetchpool's."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        if path.stat().st_size > MAX_BYTES:
            return []
        families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
        return [sample for family in families for sample in family.samples]
    except (OSError, ValueError, IndexError, KeyError):
        return []


class _Labelled(Collector):
    """Adds *labels* to every sample of *collector*."""

    def __init__(self, collector: Collector, labels: Labels) -> None:
        self._collector = collector
        self._labels = dict(labels)

    def collect(self) -> Iterator[Metric]:
        for family in self._collector.collect():
            family.samples = [
                sample._replace(labels={**self._labels, **sample.labels})
                for sample in family.samples
            ]
            yield family


class _EndCollector(Collector):
    """Collects how a run ended, and when."""

    def __init__(self, exit_status: int, ended_at: float, last_success: float | None) -> None:
        self._exit_status = exit_status
        self._ended_at = ended_at
        self._last_success = last_success

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "fetchpool_run_exit_status", "Exit status of the run.", self._exit_status
        )
        yield GaugeMetricFamily(ENDED, "When the run ended.", self._ended_at)
        if self._last_success is not None:
            yield _last_success_family(self._last_success)


def _last_success_family(at: float) -> Metric:
    return GaugeMetricFamily(LAST_SUCCESS, "When a run last ended with exit status 0.", at)


class _RunCollector(Collector):
    """Collects the numbers of one run as metric families."""

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
            "fetchpool_kept_urls", "URLs whose record of an earlier run was kept.", summary.kept
        )

        if summary.changes:
            changes = GaugeMetricFamily(
                "fetchpool_changes",
                "URLs by what became of them since the run before.",
                labels=["change"],
            )
            for change, number in {**summary.changes, "left": summary.left}.items():
                changes.add_metric([change], number)
            yield changes

    def _traffic(self) -> Iterator[Metric]:
        summary = self._summary
        yield CounterMetricFamily(
            "fetchpool_received_bytes", "Bytes received over connections.", summary.received
        )
        yield CounterMetricFamily(
            "fetchpool_body_bytes", "Bytes of decoded bodies of responses kept.", summary.bytes
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
            yield from _EndCollector(
                summary.exit_status, self._ended_at, self._last_success
            ).collect()
        elif self._last_success is not None:
            yield _last_success_family(self._last_success)
        yield from _latency(
            "fetchpool_first_byte_seconds",
            "From a request to the first byte of its response.",
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
