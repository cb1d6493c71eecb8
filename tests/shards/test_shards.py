"""Shards of one list through the library: each line is exactly one shard's, and limits hold."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from fetchpool import Config, ConfigError, FetchPool, Shard
from fetchpool.model.split import shard_of
from fetchpool.output.ledger import CannotGoOnError
from fetchpool.output.sinks.reading import read_body
from fetchpool.run import run
from fetchpool.scaling.sharing import shares
from fetchpool.sources import InputError
from tests.harness import read_records
from tests.program.crowd import HOSTS
from tests.servers.counting import CountingServer
from tests.shards.lists import (
    QUICK,
    check_same,
    mixed,
    records_of_all,
    run_shards,
    write_lines,
    write_table,
)


@pytest.mark.parametrize(("count", "at_once"), [(1, 1), (2, 2), (7, 1), (7, 7), (64, 8)])
def test_shards_together_have_what_one_run_has(
    crowd: CountingServer, tmp_path: Path, count: int, at_once: int
) -> None:
    source = write_lines(tmp_path / "urls.txt", mixed(crowd))
    run(Config(**QUICK), [str(source)], tmp_path / "whole")
    summaries = run_shards(source, tmp_path / "out", count, at_once=at_once)
    assert {each.exit_status for each in summaries} == {0}, "URLs that failed are no failed task"
    check_same(tmp_path / "out", tmp_path / "whole")
    assert len(list((tmp_path / "out").glob("shard-*/results.jsonl"))) == count, "empty ones, too"


@pytest.mark.parametrize("form", ["table", "several lists", "no limits", "cookies"])
def test_so_it_is_for_each_form_of_list_and_each_division(
    crowd: CountingServer, tmp_path: Path, form: str
) -> None:
    lines = mixed(crowd)
    sources = [write_table(tmp_path / "urls.csv", lines)]
    settings: dict[str, Any] = {}
    if form == "several lists":
        sources.append(write_lines(tmp_path / "more.txt", lines))
    if form == "no limits":
        settings = {"per_host": 0}
    if form == "cookies":
        (tmp_path / "cookies.txt").write_text("# Netscape HTTP Cookie File\n")
        settings = {"cookies": str(tmp_path / "cookies.txt")}
    config = Config(**{**QUICK, **settings})
    names = list(map(str, sources))
    run(config, names, tmp_path / "whole")
    for index in range(5):
        run(config, names, tmp_path / "out", shard=Shard(index, 5))
    check_same(tmp_path / "out", tmp_path / "whole")
    one = {record["url"]: record["seq"] for record in read_records(tmp_path / "whole")}
    assert len(one) > 60


def test_lines_of_a_host_without_a_limit_are_in_several_shards(
    crowd: CountingServer, tmp_path: Path
) -> None:
    free, limited = HOSTS[:2]
    lines = [crowd.url(f"/{n}", host) for n in range(40) for host in (free, limited)]
    source = write_lines(tmp_path / "urls.txt", lines)
    tables = {f"{free}:{crowd.port}": {"per-host": 0}}
    run_shards(source, tmp_path / "out", 4, host=tables)
    of_free: set[str] = set()
    of_limited: set[str] = set()
    for directory in (tmp_path / "out").glob("shard-*"):
        for record in read_records(directory):
            (of_free if free in record["url"] else of_limited).add(directory.name)
    assert len(of_free) == 4
    assert len(of_limited) == 1


def test_limit_of_a_host_holds_over_all_shards(crowd: CountingServer, tmp_path: Path) -> None:
    lines = [crowd.url(f"/{n}?delay=0.005", host) for n in range(12) for host in HOSTS]
    source = write_lines(tmp_path / "urls.txt", lines)
    run_shards(source, tmp_path / "out", 8, at_once=8, per_host=2)
    assert len(crowd.counts.hits) == len(lines)
    assert max(crowd.counts.peaks.values()) <= 2


def test_hops_to_another_shards_host_go_one_at_a_time(
    crowd: CountingServer, tmp_path: Path
) -> None:
    count = 4
    target = HOSTS[0]
    owner = shard_of(crowd.host(target), count)
    there = quote(crowd.url("/there?delay=0.005", target), safe="")
    others = [host for host in HOSTS if shard_of(crowd.host(host), count) != owner]
    lines = [crowd.url(f"/{n}?to={there}", host) for n in range(6) for host in others]
    source = write_lines(tmp_path / "urls.txt", lines)
    run_shards(source, tmp_path / "out", count, at_once=count)
    assert {record["ok"] for record in records_of_all(tmp_path / "out")} == {True}
    assert crowd.counts.peaks[crowd.host(target)] <= count - 1


def test_redirects_to_another_shards_host_are_handed_over(
    crowd: CountingServer, tmp_path: Path
) -> None:
    count, target = 4, HOSTS[0]
    owner = shard_of(crowd.host(target), count)
    there = quote(crowd.url("/there", target), safe="")
    lines = [crowd.url(f"/{n}?to={there}", host) for n, host in enumerate(HOSTS)]
    source = write_lines(tmp_path / "urls.txt", lines)
    run_shards(source, tmp_path / "out", count, hand_over=True)
    followed = handed = 0
    for index in range(count):
        directory = tmp_path / "out" / Shard(index, count).directory
        path = directory / "handover.jsonl"
        listed = (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )
        failed = [record for record in read_records(directory) if not record["ok"]]
        assert [each["seq"] for each in listed] == [record["seq"] for record in failed]
        assert {record["error"] for record in failed} <= {"redirect"}
        assert {each["url"] for each in listed} <= {crowd.url("/there", target)}
        followed += len(list(read_records(directory))) - len(failed)
        handed += len(listed)
        assert index != owner or not listed
    assert handed + followed == len(lines)
    assert handed > 0
    assert len(crowd.counts.of_host(crowd.host(target)).hits) == followed + 1, "and its own line"


def test_several_shards_as_one_run_have_a_directory_each(
    crowd: CountingServer, tmp_path: Path
) -> None:
    source = write_lines(tmp_path / "urls.txt", mixed(crowd))
    config, names, out = Config(**QUICK), [str(source)], tmp_path / "out"
    run(config, names, tmp_path / "whole")
    summary = run(config, names, out, shard="0,2,5/6")
    assert summary.exit_status == 0
    assert sorted(path.name for path in out.glob("shard-*")) == [
        Shard(index, 6).directory for index in (0, 2, 5)
    ]
    asked = len(crowd.counts.hits)
    assert run(config, names, out, shard="0/6").exit_status == 0
    assert len(crowd.counts.hits) == asked, "another division of them goes on"
    assert run(config, names, out, shard=[Shard(n, 6) for n in range(6)]).kept > 0
    check_same(out, tmp_path / "whole")


@pytest.mark.parametrize("store", ["tar", "warc", "sqlite"])
def test_each_of_several_shards_has_containers_of_its_own(
    crowd: CountingServer, tmp_path: Path, store: Any
) -> None:
    source = write_lines(tmp_path / "urls.txt", mixed(crowd))
    out = tmp_path / "out"
    run(Config(**QUICK, store=store), [str(source)], out, shard="0,1,2/3")
    bodies = 0
    for directory in out.glob("shard-*"):
        for record in read_records(directory):
            if record["ok"]:
                place = (record["container"], record["offset"], record["length"])
                body = b"".join(read_body(directory, None, place))
                assert body.startswith(f"{urlsplit(record['final_url']).netloc} ".encode())
                bodies += 1
    assert bodies > 40


def test_shards_of_another_n_another_list_or_other_limits_are_refused(
    crowd: CountingServer, tmp_path: Path
) -> None:
    source = write_lines(tmp_path / "urls.txt", mixed(crowd, 10))
    other = write_lines(tmp_path / "other.txt", [])
    out = tmp_path / "out"
    run(Config(), [str(source)], out, shard="0/4")
    for config, name, shard, what in (
        (Config(), source, "1/5", "N is 4; this command has 5"),
        (Config(), other, "1/4", "the list is urls.txt of"),
        (Config(per_host=3), source, "1/4", "--per-host is 10; this command has 3"),
        (Config(rate=3), source, "1/4", "--rate is 0; this command has 3"),
        (Config(host={"h.example": {"host-rate": 1}}), source, "1/4", "host-rate of"),
        (Config(per_host=0), source, "1/4", "the rule is split 1 by host"),
        (Config(default_scheme="https"), source, "1/4", "--default-scheme is not given"),
        (Config(), source, "", "holds shards of a list"),
    ):
        with pytest.raises(CannotGoOnError, match=what):
            run(config, [str(name)], out, shard=shard or None)
    asked = len(crowd.counts.hits)
    moved = out / Shard(1, 4).directory
    (out / Shard(0, 4).directory).rename(moved)
    with pytest.raises(CannotGoOnError, match="holds shard 0/4, and this command is shard 1/4"):
        run(Config(), [str(source)], out, shard="1/4")
    run(Config(), [str(source)], tmp_path / "whole")
    with pytest.raises(CannotGoOnError, match="holds the run of a whole list"):
        run(Config(), [str(source)], tmp_path / "whole", shard="1/4")
    assert len(crowd.counts.hits) > asked


def test_limits_may_be_changed_on_purpose_and_each_line_stays_one_shards(
    crowd: CountingServer, tmp_path: Path
) -> None:
    source = write_lines(tmp_path / "urls.txt", mixed(crowd))
    run(Config(**QUICK), [str(source)], tmp_path / "whole")
    out = tmp_path / "out"
    run_shards(source, out, 3)
    for settings in ({"per_host": 2}, {"per_host": 0}):  # the last one divides by URL
        asked = len(crowd.counts.hits)
        (out / "_shards.json").unlink()
        run_shards(source, out, 3, **settings)
        assert (len(crowd.counts.hits) == asked) == (settings["per_host"] == 2)
        check_same(out, tmp_path / "whole")


def test_what_failed_is_asked_for_once_more(crowd: CountingServer, tmp_path: Path) -> None:
    lines = [crowd.url("/busy?status=500&first=1", host) for host in HOSTS]
    source = write_lines(tmp_path / "urls.txt", lines)
    run_shards(source, tmp_path / "out", 3)
    assert not any(record["ok"] for record in records_of_all(tmp_path / "out"))
    run_shards(source, tmp_path / "out", 3)
    assert len(crowd.counts.hits) == len(lines), "not by the same command"
    run_shards(source, tmp_path / "out", 3, retry_failed=True)
    assert all(record["ok"] for record in records_of_all(tmp_path / "out"))


def test_index_of_sitemaps_is_no_list_for_shards(tmp_path: Path) -> None:
    source = tmp_path / "index.xml"
    source.write_text(
        '<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        "<sitemap><loc>http://h.example/a.xml</loc></sitemap></sitemapindex>"
    )
    with pytest.raises(InputError, match="index of sitemaps, which each shard would fetch"):
        run(Config(), [str(source)], tmp_path / "out", shard="0/2")


def test_rate_is_divided_by_the_number_of_shards() -> None:
    assert Config(rate=64, shard="3/64").rate_here == 1
    assert Config(rate=64, shard="3,19,35/64").rate_here == 3
    assert Config(rate=64).rate_here == 64
    config = Config(rate=64, shard="3,19/64", workers=2)
    parts = [share.rate for share in shares(config, 10)]
    assert sum(parts) == 2, "over the workers of a shard, too"


async def test_a_pool_divides_nothing() -> None:
    async with FetchPool(Config(shard="0/2")) as pool:
        with pytest.raises(ConfigError, match=r"--shard is for fetchpool.run"):
            pool.fetch(["http://h.example/"])


def test_a_shard_goes_to_other_processes() -> None:
    shard = Shard(3, 64)
    assert pickle.loads(pickle.dumps(shard)) == shard
    config = Config(shard=shard)
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.shard == (shard,)
