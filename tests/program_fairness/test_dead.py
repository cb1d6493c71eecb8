"""Dead hosts cost the others nothing, their URLs few attempts, and they may come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import run_fetchpool, why_no_resolver, with_resolver
from tests.program_fairness.hosts import all_ok, block, fetch, open_hosts
from tests.servers.counting import CountingServer, Hit
from tests.servers.dns import Name, NameServer


def test_refusing_host_is_tried_a_few_times_and_its_urls_fail_fast(tmp_path: Path) -> None:
    dead, *others = block(21, 6)
    with open_hosts(others) as hosts:
        urls = hosts.urls([dead], 200) + hosts.urls(others, 100)
        result = fetch(tmp_path, urls)
        assert result.returncode == 1
        gone = [record for record in result.records if record["seq"] <= 200]
        assert all(record["ok"] for record in result.records if record["seq"] > 200)
        assert [record["seq"] > 200 for record in result.records[:500]] == [True] * 500
        assert {record["error"] for record in gone} == {"connect"}
        tried = sum(record["attempts"] for record in gone)
        assert tried <= 5 + 2 + 3, "what made it suspect, what was under way, three probes"
        untried = [record for record in gone if record["attempts"] == 0]
        assert len(untried) >= 190
        assert all("given up" in record["detail"] for record in untried)
        assert all("refused" in record["detail"] for record in gone)


def test_host_that_accepts_and_never_says_a_word_is_given_up(tmp_path: Path) -> None:
    mute = "127.0.2.99"
    with CountingServer(["127.0.0.1", mute]) as server:
        urls = [server.url(f"/{n}?until=1000000", mute) for n in range(100)]
        urls += [server.url(f"/{n}") for n in range(40)]
        result = fetch(tmp_path, urls, "--read-timeout", "0.4", "--retries", "0")
        silent = [record for record in result.records if record["seq"] <= 100]
        assert all(record["ok"] for record in result.records if record["seq"] > 100)
        assert {record["error"] for record in silent} == {"timeout"}
        asked = len(server.counts.of_host(server.host(mute)).hits)
        assert asked == sum(record["attempts"] for record in silent)
        assert 8 <= asked <= 5 + 2 + 3


def test_list_of_one_host_that_never_says_a_word_ends(tmp_path: Path) -> None:
    with CountingServer() as server:
        urls = [server.url(f"/{n}?until=1000000") for n in range(60)]
        result = fetch(tmp_path, urls, "--read-timeout", "0.3", "--retries", "0")
        assert result.returncode == 1
        assert {record["error"] for record in result.records} == {"timeout"}


def test_host_that_has_answered_is_not_given_up_for_urls_that_hang(tmp_path: Path) -> None:
    with CountingServer() as server:
        urls = [server.url(f"/first/{n}") for n in range(4)]
        urls += [server.url(f"/hangs/{n}?until=1000000") for n in range(20)]
        urls += [server.url(f"/good/{n}") for n in range(40)]
        options = ["--read-timeout", "0.4", "--retries", "0", "--per-host", "4"]
        result = fetch(tmp_path, urls, *options)
        assert {r["url"] for r in result.records if not r["ok"]} == set(urls[4:24])


def test_host_that_dies_and_comes_back_within_seconds_loses_no_url(tmp_path: Path) -> None:
    dying, calm = block(22, 2)
    with open_hosts([dying, calm]) as hosts:

        def rule(hit: Hit) -> dict[str, str]:
            if hit.target == "/20":
                del hosts.rules[dying]
                hosts.go_away(dying, 1.5)
            return {}

        hosts.rules[dying] = rule
        urls = hosts.urls([dying], 200) + hosts.urls([calm], 300)
        result = fetch(tmp_path, urls, "--retries", "4", "--per-host", "1")
        assert all_ok(result)
        tried = sum(record["attempts"] for record in result.records)
        assert 500 + 5 < tried <= 500 + 8, "the one reset, those that made it suspect, the probes"


@pytest.mark.skipif(why_no_resolver() is not None, reason=str(why_no_resolver()))
def test_dead_names_delay_nobody(tmp_path: Path) -> None:
    """Thirty names that don't exist or whose name server is silent, before everything else."""
    others = block(23, 5)
    silent = {f"silent{number}.test": Name(silent=True) for number in range(3)}
    unknown = [f"unknown{number}.test" for number in range(27)]
    with open_hosts(others) as hosts, NameServer(silent) as names:
        urls = [f"http://{name}/{n}" for name in (*silent, *unknown) for n in range(5)]
        urls += hosts.urls(others, 100)
        (tmp_path / "list.txt").write_text("\n".join(urls))
        result = run_fetchpool(
            ["get", "list.txt", "-o", "out", "--no-body", "--retries", "0"],
            cwd=tmp_path,
            program=with_resolver(names.address, tmp_path),
        )
        assert result.returncode == 1
        records = {record["url"]: record for record in result.records}
        assert len(records) == len(urls) == len(result.records)
        assert all(records[url]["ok"] for url in urls[150:])
        assert {records[url]["error"] for url in urls[:150]} == {"dns"}
        last_ok = max(at for at, record in enumerate(result.records) if record["ok"])
        assert not any("silent" in record["url"] for record in result.records[:last_ok])
        asked = sum(number for (name, _), number in names.questions.items() if "unknown" in name)
        assert asked <= 27 * 2, "each once, for IPv4 and IPv6"
