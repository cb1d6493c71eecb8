"""`fetchpool demo`: it shows what it says, on loopback only, and leaves nothing behind."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fetchpool.cli import demo
from fetchpool.cli.demo import closing, hosts, run_demo, server
from fetchpool.cli.demo.closing import HostFacts, closing_lines, read_facts
from fetchpool.config import Config
from fetchpool.model.exits import ExitStatus
from fetchpool.network.resolver import LookupFailedError, RememberingResolver
from fetchpool.reporting.stats import Ending, Stats
from tests.harness import fetchpool_in_pty, run_fetchpool

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
END_LINE = "366 ok, 15 failed (404 12, truncated 2, input 1)"
HURRIED = "--per-host=100"  # as many as the slow host has URLs


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory for temporary files that nobody else uses."""
    place = tmp_path / "temporary"
    place.mkdir()
    return place


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that take no time: what is asked for is the same."""
    monkeypatch.setattr(hosts, "SLOW_S", 0.01)
    monkeypatch.setattr(hosts, "BUSY_PER_S", 20)


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> dict[str, HostFacts]:
    """What the records of the run to come say, host by host."""
    found: dict[str, HostFacts] = {}

    def remember(ledger: Path, addresses: Mapping[str, str]) -> dict[str, HostFacts]:
        found.update(read_facts(ledger, addresses))
        return found

    monkeypatch.setattr(demo, "read_facts", remember)
    return found


# -- the program


def test_demo_without_a_terminal_speaks_in_plain_lines(tmp_path: Path, place: Path) -> None:
    result = run_fetchpool(["demo", HURRIED], cwd=tmp_path, env={"TMPDIR": str(place)})
    assert result.returncode == ExitStatus.OK, result.stderr
    assert result.stdout == ""
    assert "\x1b" not in result.stderr
    first, last, *rest = result.stderr.splitlines()
    assert first == "fetchpool: demo list, 100 at once, 100 per host"
    assert END_LINE in last
    assert "exit 0" in last
    assert "what this run showed" in rest
    assert "fetchpool get" in rest[-1]
    assert list(place.iterdir()) == []


def test_demo_fits_a_terminal_of_forty_columns(tmp_path: Path, place: Path) -> None:
    screen = fetchpool_in_pty(
        ["demo", HURRIED], cwd=tmp_path, env={"TMPDIR": str(place)}, columns=40, rows=60
    )
    text = screen.output.decode()
    assert screen.returncode == ExitStatus.OK, text[-2000:]
    lines = ANSI.sub("", text).replace("\r", "").splitlines()
    whole = [line for line in lines if "http://" not in line]  # URLs are whole, to be copied
    assert [line for line in whole if len(line) > 40] == []
    assert any(line.startswith("381 URLs in ") for line in lines)
    assert str(place) not in text  # what will be gone is not shown as if it would stay


def test_demo_is_stopped_by_ctrl_c(tmp_path: Path, place: Path) -> None:
    screen = fetchpool_in_pty(
        ["demo"], cwd=tmp_path, env={"TMPDIR": str(place)}, interrupt_at=b"running"
    )
    text = screen.output.decode()
    assert screen.returncode == ExitStatus.INTERRUPTED
    assert "stopped by Ctrl-C" in text
    assert "what this run showed" not in text
    assert "to go on" not in text  # there is nothing left to go on with
    assert list(place.iterdir()) == []


# -- in this process


@pytest.mark.usefixtures("_hurried")
def test_every_host_keeps_its_habit(
    facts: dict[str, HostFacts], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_demo(Config()) == ExitStatus.OK
    err = capsys.readouterr().err
    assert END_LINE in err
    assert {name: (fact.urls, fact.ok) for name, fact in facts.items()} == {
        "slow": (100, 100),
        "fast": (162, 150),
        "packed": (40, 40),
        "moved": (30, 30),
        "busy": (30, 30),
        "flaky": (12, 12),
        "cutting": (6, 4),
    }
    assert facts["moved"].redirects == 30
    assert 0 < facts["packed"].wire_bytes < facts["packed"].bytes / 2
    assert facts["flaky"].recovered == 12
    assert facts["cutting"].recovered == 4
    assert facts["busy"].recovered > 0
    assert [thread for thread in threading.enumerate() if thread.name == "fetchpool-demo"] == []


@pytest.mark.usefixtures("_hurried")
def test_quiet_demo_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_demo(Config(quiet=True)) == ExitStatus.OK
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("_hurried")
def test_demo_does_without_names(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    facts: dict[str, HostFacts],
) -> None:
    async def unknown(*args: Any) -> None:
        raise LookupFailedError("no such name", temporary=False)

    monkeypatch.setattr(RememberingResolver, "resolve", unknown)
    assert run_demo(Config()) == ExitStatus.OK
    assert END_LINE in capsys.readouterr().err
    assert sum(fact.urls for fact in facts.values()) == 380


async def test_names_that_lead_elsewhere_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(*args: Any) -> list[dict[str, str]]:
        return [{"host": "127.0.0.1"}, {"host": "192.0.2.1"}]

    monkeypatch.setattr(RememberingResolver, "resolve", elsewhere)
    assert not await server._names_lead_to_loopback("slow")


def test_missing_loopback_or_disk_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "LOOPBACK", "192.0.2.1")  # nobody's: RFC 5737
    assert run_demo(Config()) == ExitStatus.CANNOT_CREATE
    err = capsys.readouterr().err
    assert err.startswith("fetchpool: the demo needs loopback")
    assert err.count("\n") == 1


# -- the last words


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_last_words_fit_the_screen(columns: int) -> None:
    stats = Stats(0.0)
    facts = {host.name: HostFacts(done_s=1.0) for host in hosts.HOSTS}
    lines = closing_lines(facts, stats.summary(1.0, Ending(exit_status=0)), columns)
    assert all(len(line) <= max(columns, 40) for line in lines)
    assert "\n".join(lines).isascii()  # so that every terminal can show it
    assert not any(closing._TIE in line for line in lines)
