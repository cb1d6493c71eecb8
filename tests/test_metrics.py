"""The Prometheus textfile: whole, readable by Prometheus, honest about the last success."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fetchpool.metrics import LAST_SUCCESS, write_metrics
from fetchpool.stats import Summary
from tests.test_report_summary import CLEAN, DONE


def samples(path: Path) -> dict[tuple[str, str], float]:
    """Return the file's samples by name and the value of their one label, if any."""
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8"))
        for sample in family.samples
    }


def write(path: Path, summary: Summary, ended_at: float | None = 1_000.0) -> None:
    write_metrics(path, summary, ended_at)


def test_numbers_of_a_run_stand_under_their_names(tmp_path: Path) -> None:
    path = tmp_path / "fetchpool.prom"
    write(path, DONE)
    found = samples(path)
    assert found["fetchpool_urls_total", "ok"] == 19_789
    assert found["fetchpool_urls_total", "failed"] == 211
    assert found["fetchpool_failures_total", "404"] == 120
    assert found["fetchpool_received_bytes_total", ""] == 66_100_000
    assert found["fetchpool_connections_opened_total", ""] == 412
    assert found["fetchpool_run_duration_seconds", ""] == 15.3
    assert found["fetchpool_run_exit_status", ""] == 1
    assert found["fetchpool_first_byte_seconds", "0.99"] == 1.2
    assert found["fetchpool_url_seconds_count", ""] == 20_000


def test_last_success_outlives_failed_runs(tmp_path: Path) -> None:
    path = tmp_path / "fetchpool.prom"
    write(path, DONE)
    assert (LAST_SUCCESS, "") not in samples(path)
    write(path, CLEAN, 1_763_845_315.5)
    write(path, DONE, 1_763_931_715.5)
    write(path, DONE, 1_764_018_115.5)
    assert samples(path)[LAST_SUCCESS, ""] == 1_763_845_315.5


def test_run_still_going_on_has_neither_end_nor_status(tmp_path: Path) -> None:
    path = tmp_path / "fetchpool.prom"
    write(path, CLEAN, 5.0)
    write(path, CLEAN, None)
    found = samples(path)
    assert ("fetchpool_run_exit_status", "") not in found
    assert ("fetchpool_run_end_timestamp_seconds", "") not in found
    assert found[LAST_SUCCESS, ""] == 5.0


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", LAST_SUCCESS.encode() + b" soon\n"])
def test_file_of_somebody_else_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fetchpool.prom"
    path.write_bytes(content)
    write(path, DONE)
    assert samples(path)["fetchpool_urls_total", "ok"] == 19_789


def test_run_without_any_answer_has_no_latencies(tmp_path: Path) -> None:
    path = tmp_path / "fetchpool.prom"
    write(path, msgspec.structs.replace(DONE, first_byte=None, whole=None))
    assert not [name for name, _ in samples(path) if name.startswith("fetchpool_url_seconds")]


def test_nothing_but_the_file_is_left_behind(tmp_path: Path) -> None:
    for _ in range(2):
        write(tmp_path / "fetchpool.prom", CLEAN)
    assert [path.name for path in tmp_path.iterdir()] == ["fetchpool.prom"]


def test_target_that_cannot_be_replaced_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "fetchpool.prom", CLEAN)
    with pytest.raises(OSError, match="not a regular file"):
        write(tmp_path, CLEAN)
    assert list(tmp_path.iterdir()) == []
