"""A host that says 429 or 503 is left alone as long as it asks, and its URLs lose nothing by it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.harness import fetchpool_in_pty
from tests.program_fairness.hosts import Throttle, all_ok, block, fetch, open_hosts
from tests.servers.counting import Hit

PAUSE_S = 1.0
FUTURE = time.time() + 86_400.0
"""The server's clock may be a day ahead of ours: a date means what its own Date says (RFC 9110
§10.2.3 leaves that open; no other reading survives a wrong clock)."""

RETRY_AFTER = {
    "seconds": "1",
    "a date": f"{formatdate(FUTURE + 2, usegmt=True)}\r\nDate: {formatdate(FUTURE, usegmt=True)}",
}
"""What `Retry-After` says, and by the way the server's clock. A date has whole seconds."""


@pytest.mark.parametrize(("status", "form"), [("429", "seconds"), ("503", "a date")])
def test_nothing_reaches_a_host_before_the_time_it_named(
    tmp_path: Path, status: str, form: str
) -> None:
    """One connection, so that nothing is under way when the answer comes."""
    angry, calm = block(11, 2)
    with open_hosts([angry, calm]) as hosts:
        throttle = Throttle(5, PAUSE_S, {"status": status, "after": RETRY_AFTER[form]})
        hosts.rules[angry] = throttle
        urls = hosts.urls([angry], 30) + hosts.urls([calm], 300)
        assert all_ok(fetch(tmp_path, urls, "--per-host", "1", "--retries", "1"))
        assert len(throttle.refused) == 1
        hits = hosts.hits_of([angry])
        begun = hits.index(throttle.refused[0])
        assert hits[begun + 1].at - hits[begun].at >= PAUSE_S
        assert len(hits) == 31


def test_waiting_costs_no_attempts_and_delays_no_other_host(tmp_path: Path) -> None:
    angry, calm = block(12, 2)
    with open_hosts([angry, calm]) as hosts:
        throttle = Throttle(20, PAUSE_S, {"status": "429", "after": "1"})
        hosts.rules[angry] = throttle
        urls = hosts.urls([angry], 100) + hosts.urls([calm], 600)
        assert all_ok(fetch(tmp_path, urls, "--per-host", "10", "--retries", "1"))
        assert 1 <= len(throttle.refused) <= 10, "what was under way, and no more"
        hits = hosts.hits_of([angry])
        after = [hit.at for hit in hits if hit.at > throttle.refused[-1].at]
        assert min(after) - throttle.refused[0].at >= PAUSE_S
        pause = throttle.refused[-1].at, min(after)
        assert not any(pause[0] < hit.at < pause[1] for hit in hits)


def test_connections_are_halved_and_come_back_while_answers_are_good(tmp_path: Path) -> None:
    (angry,) = block(13, 1)
    with open_hosts([angry]) as hosts:
        throttle = Throttle(60, PAUSE_S, {"status": "429", "after": "1"})

        def rule(hit: Hit) -> Mapping[str, str]:
            return throttle(hit) or {"delay": "0.01"}

        hosts.rules[angry] = rule
        assert all_ok(fetch(tmp_path, hosts.urls([angry], 400), "--per-host", "8"))
        cut = hosts.counts.hits.index(throttle.refused[-1]) + 1
        assert max(hosts.at_once[:cut]) == 8
        # One place more for every full round of answers: after 4, then 5, then 6, then 7.
        most = [4] * 4 + [5] * 5 + [6] * 6 + [7] * 7 + [8] * 400
        after = hosts.at_once[cut:]
        assert all(at_once <= allowed for at_once, allowed in zip(after, most, strict=False))
        assert max(after) == 8, "all are back in the end"


def test_host_that_names_no_time_gets_a_pause_of_our_own(tmp_path: Path) -> None:
    (angry,) = block(15, 1)
    with open_hosts([angry]) as hosts:
        throttle = Throttle(10, 0.2, {"status": "503", "after": "soon"})
        hosts.rules[angry] = throttle
        assert all_ok(fetch(tmp_path, hosts.urls([angry], 60), "--retries", "1"))
        assert 1 <= len(throttle.refused) <= 10
        first_after = hosts.counts.hits[10 + len(throttle.refused)]
        assert first_after.at - throttle.refused[0].at >= 0.5


def test_host_that_always_refuses_ends_and_is_asked_little(tmp_path: Path) -> None:
    angry, calm = block(14, 2)
    with open_hosts([angry, calm]) as hosts:
        hosts.rules[angry] = lambda hit: {"status": "429", "after": "0.05"}
        urls = hosts.urls([angry], 200) + hosts.urls([calm], 300)
        result = fetch(tmp_path, urls, "--retries", "1")
        assert result.returncode == 1
        assert len(hosts.hits_of([angry])) <= 40
        records = {record["url"]: record for record in result.records}
        assert all(records[url]["ok"] for url in urls[200:])
        for url in urls[:200]:
            record = records[url]
            assert (record["ok"], record["error"]) == (False, "status")
            assert "429" in record["detail"]


def test_display_and_summary_say_who_is_parked_and_why(tmp_path: Path) -> None:
    (angry,) = block(16, 1)
    with open_hosts([angry]) as hosts:
        throttle = Throttle(20, PAUSE_S, {"status": "429", "after": "1"})
        hosts.rules[angry] = throttle
        (tmp_path / "list.txt").write_text("\n".join(hosts.urls([angry], 60)))
        screen = fetchpool_in_pty(
            ["get", "list.txt", "-o", "out", "--no-body"], cwd=tmp_path, columns=120
        )
        assert screen.returncode == 0
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.output.decode())
        host = f"{angry}:{hosts.port}"
        assert re.search(rf"{re.escape(host)} .*parked [01] s \(429\)", shown)
        summary = shown[shown.rindex("60 URLs in") :]
        assert re.search(rf"parked .*{re.escape(host)} \d+ s in all \(429\)", summary)
