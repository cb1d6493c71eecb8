"""What an alert sees of a run that could not start: the metrics of the real program."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import run_fetchpool
from tests.program.helpers import answer, eventually, start, write_list
from tests.servers.counting import CountingServer

METRICS = ["--metrics-file", "m.prom", "--metrics-label", "job=pages"]
STATUS, ENDED = "fetchpool_run_exit_status", "fetchpool_run_end_timestamp_seconds"
SUCCESS = "fetchpool_last_success_timestamp_seconds"


def samples(folder: Path) -> dict[str, float]:
    """Return the samples without labels of their own, all of which are of the job."""
    text = (folder / "m.prom").read_text()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels["job"] == "pages"
            if len(sample.labels) == 1:
                found[sample.name] = sample.value
    return found


def test_run_that_finds_its_directory_taken_says_so_and_the_holder_has_the_last_word(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a")])
    args = ["get", "urls.txt", "-o", "out", "-q", *METRICS]
    assert run_fetchpool(args, cwd=tmp_path).returncode == 0
    success = samples(tmp_path)[SUCCESS]
    write_list(tmp_path / "urls.txt", [server.url("/b"), server.url("/c?until=100")])
    with start(args, cwd=tmp_path) as holder:
        eventually(lambda: "/c?until=100" in server.counts.targets(), "the holder is at it")
        assert run_fetchpool(args, cwd=tmp_path).returncode == 75
        refused = samples(tmp_path)
        assert (refused[STATUS], refused[SUCCESS]) == (75, success)
        assert set(refused) == {STATUS, ENDED, SUCCESS}  # no numbers of a run that had none
        answer(server, 100)
        assert holder.ended() == (0, "")
    after = samples(tmp_path)
    assert after[STATUS] == 0
    assert after[SUCCESS] == after[ENDED] > success
    assert "fetchpool_requests_total" in after


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["get", "missing.txt"], 2),
        (["get", "urls.txt", "--threads", "5"], 2),
        (["get", "urls.txt", "--limit", "many"], 2),
        (["get", "urls.txt", "--limit"], 2),
        (["get", "urls.txt", "--once", "--fresh"], 2),
        (["get", "urls.txt", "--config", "broken.toml"], 2),
        (["get", "urls.txt", "--cacert", "urls.txt"], 2),
        (["get", "urls.txt", "-o", "urls.txt"], 73),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_run_that_cannot_start_leaves_its_status(
    tmp_path: Path, args: list[str], status: int
) -> None:
    write_list(tmp_path / "urls.txt", ["http://127.0.0.1:9/"])
    (tmp_path / "broken.toml").write_text("limit =")
    result = run_fetchpool([args[0], *METRICS, *args[1:]], cwd=tmp_path)
    assert result.returncode == status
    assert samples(tmp_path)[STATUS] == status
    assert len(result.stderr.splitlines()) == 1
    assert {each.name for each in tmp_path.iterdir()} == {
        "urls.txt",
        "broken.toml",
        "m.prom",
        "home",
    }


def test_file_and_label_are_found_wherever_they_are_set(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        'metrics-file = "m.prom"\nmetrics-label = ["job=pages"]\nlimit = "many"\n'
    )
    environ = {"FETCHPOOL_METRICS_FILE": "m.prom", "FETCHPOOL_METRICS_LABEL": "job=pages"}
    for args, env in (
        (["--config", "s.toml"], {}),
        ([], {"FETCHPOOL_CONFIG": "s.toml"}),
        (["--threads", "5"], environ),
        ([], {**environ, "FETCHPOOL_LIMIT": "many"}),
        (["--limit", "many", "--metrics-file=m.prom", "--metrics-label=job=pages"], {}),
    ):
        result = run_fetchpool(["get", "x", *args], cwd=tmp_path, env=env)
        assert result.returncode == 2
        assert samples(tmp_path)[STATUS] == 2
        (tmp_path / "m.prom").unlink()


@pytest.mark.parametrize(
    "args",
    [
        ["get", "urls.txt", "--metrics-file", "urls.txt"],
        ["get", "urls.txt", "--metrics-file", "urls.txt", "--threads", "5"],
        ["get", "--threads", "5", "--metrics-file", "urls.txt"],
        ["get", "new.txt", "--metrics-file", "new.txt"],
        ["get", "new.txt", "--metrics-file", "new.txt", "--limit", "many"],
        ["get", "urls.txt", "-o", ".", "--metrics-file", "results.jsonl"],
        ["get", "urls.txt", "--metrics-file", "missing/m.prom"],
        ["get", "urls.txt", "--metrics-file", "missing/m.prom", "--threads", "5"],
        ["get", "urls.txt", "--threads", "5", "--metrics-file"],
        ["get", "urls.txt", "--threads", "5", "--", "--metrics-file", "m.prom"],
        ["config", "--threads", "5", "--metrics-file", "m.prom"],
    ],
    ids=" ".join,
)
def test_file_that_is_itself_the_mistake_is_left_as_it_is(tmp_path: Path, args: list[str]) -> None:
    lists = "http://127.0.0.1:9/\n"
    (tmp_path / "urls.txt").write_text(lists)
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode in (2, 73)
    assert len(result.stderr.splitlines()) == 1
    assert (tmp_path / "urls.txt").read_text() == lists
    assert {each.name for each in tmp_path.iterdir()} == {"urls.txt", "home"}
