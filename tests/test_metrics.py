"""The Prometheus textfile: whole, readable by Prometheus, honest about the last success."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fetchpool.reporting.metrics import ENDED, LAST_SUCCESS, write_metrics, write_refusal
from fetchpool.reporting.stats import Summary
from tests.test_report_summary import CLEAN, DONE


def samples(path: Path) -> dict[tuple[str, str], float]:
    """Return the file's samples by name and the values of their labels."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8"))
        for sample in family.samples
    }


def write(
    path: Path,
    summary: Summary,
    ended_at: float | None = 1_000.0,
    labels: Sequence[tuple[str, str]] = (),
) -> None:
    write_metrics(path, summary, ended_at, labels)


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


def test_open_descriptor_is_no_target(tmp_path: Path) -> None:
    """A rename would put a file in the place of `/dev/stdout`."""
    with (tmp_path / "stdout").open("wb") as file:
        path = Path(f"/dev/fd/{file.fileno()}")
        with pytest.raises(OSError, match="not a regular file"):
            write(path, CLEAN)
        write_refusal(path, 2, 0.0)
    assert (tmp_path / "stdout").read_bytes() == b""


# -- labels

JOB = (("job", "pages"), ("zone", "eu"))


def test_labels_stand_on_every_sample_beside_its_own(tmp_path: Path) -> None:
    path = tmp_path / "fetchpool.prom"
    write(path, DONE, labels=JOB)
    found = samples(path)
    assert found["fetchpool_urls_total", "pages,ok,eu"] == 19_789
    assert found["fetchpool_url_seconds", "pages,0.99,eu"] > 0
    assert found["fetchpool_run_exit_status", "pages,eu"] == 1
    assert all({"pages", "eu"} <= set(labels.split(",")) for _, labels in found)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@example('a"b\\c\nd')
@example("\\n")
@example("}")
def test_any_value_of_a_label_comes_back_as_it_was(tmp_path_factory: Any, value: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.prom"
    write(path, CLEAN, labels=(("job", value),))
    text = path.read_bytes().decode()
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    assert f'fetchpool_run_exit_status{{job="{escaped}"}} 0.0\n' in text


def test_last_success_is_that_of_the_same_labels(tmp_path: Path) -> None:
    path = tmp_path / "fetchpool.prom"
    write(path, CLEAN, 100.0, labels=JOB)
    write(path, DONE, 200.0, labels=JOB)
    assert samples(path)[LAST_SUCCESS, "pages,eu"] == 100.0
    write(path, DONE, 300.0, labels=(("job", "other"),))
    assert not [name for name, _ in samples(path) if name == LAST_SUCCESS]


# -- a run that could not start


def test_refusal_tells_how_and_when_it_ended_and_keeps_the_last_success(tmp_path: Path) -> None:
    path = tmp_path / "fetchpool.prom"
    write(path, CLEAN, 100.0, labels=JOB)
    write_refusal(path, 75, 200.0, JOB)
    found = samples(path)
    assert {name for name, _ in found} == {"fetchpool_run_exit_status", ENDED, LAST_SUCCESS}
    assert found["fetchpool_run_exit_status", "pages,eu"] == 75
    assert found[ENDED, "pages,eu"] > 1e9
    assert found[LAST_SUCCESS, "pages,eu"] == 100.0


def test_refusal_makes_the_file_where_there_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "new.prom", tmp_path / "empty.prom"):
        if path.stem == "empty":
            path.touch()
        write_refusal(path, 2, 200.0)
        assert samples(path)["fetchpool_run_exit_status", ""] == 2


def test_refusal_gives_way_to_a_run_that_has_ended_meanwhile(tmp_path: Path) -> None:
    """The holder of the lock may end between the refusal and its metrics."""
    path = tmp_path / "fetchpool.prom"
    write(path, CLEAN, 100.0)
    before = path.read_bytes()
    write_refusal(path, 75, 99.0)
    assert path.read_bytes() == before
    write_refusal(path, 75, 101.0)
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    "content",
    [b"http://a.test/\n", b"\xff\x00", b"node_load1 0.5\n", b"# a comment\n", b"x" * (2 << 20)],
)
def test_refusal_leaves_alone_what_is_somebody_elses(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "urls.txt"
    path.write_bytes(content)
    write_refusal(path, 2, 200.0)
    assert path.read_bytes() == content
    write_refusal(tmp_path, 2, 200.0)
    assert [each.name for each in tmp_path.iterdir()] == ["urls.txt"]
