"""`--refresh`: what came of each URL since the run before, whatever its server says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path

import pytest

from tests.harness import Record, run_fetchpool, stored_files
from tests.program.helpers import write_list
from tests.servers.nginx import needs_nginx, nginx
from tests.servers.ranges import Answer, RangeServer, Say, bare, hang_up, whole

OLD, NEW = b"old body", b"new body"
BIG = b"big " * 200_000
YESTERDAY, LONG_AGO = "Sun, 01 Nov 2026 08:00:00 GMT", "Tue, 01 Nov 1994 08:00:00 GMT"
IN_THE_FUTURE = "Fri, 01 Nov 2999 08:00:00 GMT"
Field = tuple[str, str]


def not_modified(*fields: str) -> Answer:
    return lambda ask: Say(("HTTP/1.1 304 Not Modified", *fields), b"")


def dated(body: bytes, date: str) -> Answer:
    return whole(body, None, f"Last-Modified: {date}")


@dataclass(frozen=True)
class Case:
    """A URL over two nights, and what must come of the second."""

    first: Answer
    second: Sequence[Answer]
    change: str | None
    conditions: Sequence[Field | None]
    """The conditional field of each request in the second night; None = asked for plainly."""
    ok: bool = True
    body: bytes | None = OLD
    """What is stored afterwards."""
    spoil: bytes | None = None
    """What somebody writes into the file between the two nights; empty: he deletes it."""


def if_none(etag: str) -> Field:
    return ("if-none-match", etag)


def if_modified(date: str) -> Field:
    return ("if-modified-since", date)


TAGGED = whole(OLD, '"1"')
CASES = {
    "etag": Case(TAGGED, [not_modified('ETag: "1"')], "same", [if_none('"1"')]),
    "weak-etag": Case(whole(OLD, 'W/"1"'), [not_modified()], "same", [if_none('W/"1"')]),
    "weak-then-strong": Case(
        whole(OLD, 'W/"1"'), [not_modified('ETag: "1"')], "same", [if_none('W/"1"')]
    ),
    "date": Case(dated(OLD, YESTERDAY), [not_modified()], "same", [if_modified(YESTERDAY)]),
    "etag-before-date": Case(
        whole(OLD, '"1"', f"Last-Modified: {YESTERDAY}"),
        [not_modified()],
        "same",
        [if_none('"1"')],
    ),
    "date-in-the-future": Case(
        dated(OLD, IN_THE_FUTURE), [dated(NEW, IN_THE_FUTURE)], "changed", [None], body=NEW
    ),
    "no-date": Case(dated(OLD, "yesterday"), [dated(OLD, "yesterday")], "same", [None]),
    "no-etag": Case(
        whole(OLD, "1", f"Last-Modified: {LONG_AGO}"),
        [not_modified()],
        "same",
        [if_modified(LONG_AGO)],
    ),
    "star": Case(whole(OLD, "*"), [whole(OLD, "*")], "same", [None]),
    "two-etags": Case(whole(OLD, '"1"', 'ETag: "2"'), [whole(OLD, '"1"')], "same", [None]),
    "no-validator": Case(whole(OLD, None), [whole(OLD, None)], "same", [None]),
    "no-validator-new": Case(whole(OLD, None), [whole(NEW, None)], "changed", [None], body=NEW),
    "big": Case(whole(BIG, None), [whole(BIG, None)], "same", [None], body=BIG),
    "changed": Case(TAGGED, [whole(NEW, '"2"')], "changed", [if_none('"1"')], body=NEW),
    "new-etag-for-old-bytes": Case(TAGGED, [whole(OLD, '"2"')], "same", [if_none('"1"')]),
    "old-etag-for-new-bytes": Case(
        TAGGED, [whole(NEW, '"1"')], "changed", [if_none('"1"')], body=NEW
    ),
    "304-of-another": Case(
        TAGGED,
        [not_modified('ETag: "2"'), whole(NEW, '"2"')],
        "changed",
        [if_none('"1"'), None],
        body=NEW,
    ),
    "304-to-everything": Case(
        whole(OLD, None), [not_modified()], None, [None, None], ok=False, body=OLD
    ),
    "304-at-first": Case(
        whole(OLD, None), [not_modified(), whole(NEW, None)], "changed", [None, None], body=NEW
    ),
    "body-is-gone": Case(
        TAGGED, [whole(OLD, '"1"')], "same", [None], spoil=b""
    ),
    "body-is-gone-and-304": Case(
        TAGGED, [not_modified()], None, [None, None], ok=False, body=None, spoil=b""
    ),
    "body-was-cut": Case(TAGGED, [whole(OLD, '"1"')], "same", [None], spoil=OLD[:-1]),
    "body-was-altered": Case(TAGGED, [whole(OLD, '"1"')], "same", [None], spoil=b"odd body"),
    "gone": Case(TAGGED, [bare("HTTP/1.1 404 No")], "gone", [if_none('"1"')], ok=False),
    "gone-for-good": Case(TAGGED, [bare("HTTP/1.1 410 No")], "gone", [if_none('"1"')], ok=False),
    "in-trouble": Case(TAGGED, [bare("HTTP/1.1 500 No")], None, [if_none('"1"')], ok=False),
    "hangs-up": Case(TAGGED, [hang_up], None, [if_none('"1"')], ok=False),
    "never-there": Case(
        bare("HTTP/1.1 404 No"), [bare("HTTP/1.1 404 No")], None, [None], ok=False, body=None
    ),
    "late": Case(bare("HTTP/1.1 404 No"), [TAGGED], "new", [None]),
}  # fmt: skip


@dataclass
class Nights:
    """What two nights came to: a run, and a refresh."""

    folder: Path
    server: RangeServer
    first: dict[str, Record]
    second: dict[str, Record]
    asked: dict[str, list[Field | None]]
    stats: dict[str, os.stat_result]
    stderr: str

    def file(self, name: str) -> Path:
        return Path(self.folder, "out", self.first[name]["path"])


def refresh(folder: Path, *options: str) -> tuple[dict[str, Record], str]:
    """Refresh `list.txt`; return the records by the last part of their URLs."""
    arguments = ["get", "list.txt", "-o", "out", "--refresh", "--retries", "0", *options]
    result = run_fetchpool(arguments, cwd=folder)
    assert result.returncode in (0, 1), result.stderr
    return by_name(result.records), result.stderr


def by_name(records: Sequence[Record]) -> dict[str, Record]:
    found = {record["url"].rpartition("/")[2]: record for record in records}
    assert len(found) == len(records)
    return found


def conditions(server: RangeServer, since: int) -> dict[str, list[Field | None]]:
    """Return the conditional field of each request after the first *since*, by path."""
    found: dict[str, list[Field | None]] = {}
    for ask in server.asked[since:]:
        fields = [field for field in ask.headers.items() if field[0].startswith("if-")]
        assert len(fields) <= 1
        found.setdefault(ask.target.removeprefix("/"), []).append(fields[0] if fields else None)
    return found


@pytest.fixture(scope="module", params=["direct", "session"])
def nights(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nights]:
    folder = tmp_path_factory.mktemp("nights")
    with RangeServer({f"/{name}": [case.first] for name, case in CASES.items()}) as server:
        write_list(folder / "list.txt", [server.url(f"/{name}") for name in CASES])
        way = ["--exchange", request.param]
        arguments = ["get", "list.txt", "-o", "out", "--retries", "0", "--mtime", *way]
        first = by_name(run_fetchpool(arguments, cwd=folder).records)
        stats = {}
        for name, case in CASES.items():
            server.answers[f"/{name}"] = list(case.second)
            if (path := first[name]["path"]) is None:
                continue
            file = folder / "out" / path
            stats[name] = file.stat()
            if case.spoil is not None:
                file.write_bytes(case.spoil)
                os.utime(file, ns=(stats[name].st_atime_ns, stats[name].st_mtime_ns))
            if case.spoil == b"":
                file.unlink()
        since = len(server.asked)
        second, stderr = refresh(folder, *way)
        asked = conditions(server, since)
        yield Nights(folder, server, first, second, asked, stats, stderr)


@pytest.mark.parametrize("name", CASES)
def test_record_says_what_has_become_of_a_url(nights: Nights, name: str) -> None:
    case, record = CASES[name], nights.second[name]
    asked = nights.asked[name]
    # A kept connection that closes doesn't count: the same is sent again.
    assert asked == list(case.conditions) or (
        name == "hangs-up" and set(asked) <= {*case.conditions}
    )
    assert (record["ok"], record.get("change")) == (case.ok, case.change)
    file = None if record["path"] is None else nights.folder / "out" / record["path"]
    if case.ok:
        assert file is not None
        assert record["sha256"] is not None
        assert record["bytes"] == len(file.read_bytes())
    if case.body is not None and nights.first[name]["path"] is not None:
        assert nights.file(name).read_bytes() == case.body
    if case.change == "same" and case.spoil is None:
        assert file is not None
        was, now = nights.stats[name], file.stat()
        assert (was.st_ino, was.st_mtime_ns) == (now.st_ino, now.st_mtime_ns)
        assert record["content_type"] == nights.first[name]["content_type"]
    if record["status"] == 304:
        assert record["wire_bytes"] == 0


def test_the_changes_are_counted(nights: Nights) -> None:
    found = [case.change for case in CASES.values()]
    counts = ", ".join(
        f"{found.count(change)} {change}" for change in ("new", "changed", "same", "gone")
    )
    assert counts in nights.stderr


def test_files_have_the_time_of_last_modified(nights: Nights) -> None:
    expected = parsedate_to_datetime(YESTERDAY).timestamp()
    assert nights.stats["date"].st_mtime == nights.stats["etag-before-date"].st_mtime == expected
    assert nights.stats["etag"].st_mtime != expected


def test_status_lists_what_has_changed(nights: Nights) -> None:
    result = run_fetchpool(["status", "out", "--changed"], cwd=nights.folder)
    rows = [line.split() for line in result.stdout.splitlines()]
    found = {(row[0], row[1].rpartition("/")[2]) for row in rows}
    assert found == {
        (case.change, name) for name, case in CASES.items() if case.change not in (None, "same")
    }
    lines = run_fetchpool(["status", "out", "--changed", "--json"], cwd=nights.folder).stdout
    objects = map(json.loads, lines.splitlines())
    assert {(each["change"], each["url"].rpartition("/")[2]) for each in objects} == found
    as_json = json.loads(run_fetchpool(["status", "out", "--json"], cwd=nights.folder).stdout)
    assert as_json["changes"]["gone"] == 2


def test_what_failed_last_night_is_compared_with_the_night_before(tmp_path: Path) -> None:
    answers = [TAGGED, bare("HTTP/1.1 500 No"), hang_up, not_modified()]
    gone = [TAGGED, bare("HTTP/1.1 500 No"), bare("HTTP/1.1 404 No"), bare("HTTP/1.1 404 No")]
    with RangeServer({"/x": answers, "/gone": gone}) as server:
        write_list(tmp_path / "list.txt", [server.url("/x"), server.url("/gone")])
        changes = [
            tuple(records[name].get("change") for name in ("x", "gone"))
            for records, _ in (refresh(tmp_path) for _ in range(4))
        ]
        asked = conditions(server, 0)
    assert changes == [("new", "new"), (None, None), (None, "gone"), ("same", None)]
    assert asked["x"] == [None, *[if_none('"1"')] * 3]
    assert asked["gone"] == [None, *[if_none('"1"')] * 2, None]


def test_redirect_is_asked_plainly_and_its_goal_conditionally(tmp_path: Path) -> None:
    moved = bare("HTTP/1.1 302 There", "Location: /there", 'ETag: "1"')
    answers = {"/moved": [moved], "/there": [TAGGED, not_modified()], "/cut": [TAGGED, moved]}
    answers["/there"].append(not_modified())
    with RangeServer(answers) as server:
        write_list(tmp_path / "list.txt", [server.url("/moved")])
        refresh(tmp_path)
        records, _ = refresh(tmp_path)
        asked = conditions(server, 0)
    assert records["moved"]["change"] == "same"
    assert asked == {"moved": [None, None], "there": [None, if_none('"1"')]}


def test_what_left_the_list_is_told_and_pruned_if_that_is_asked(tmp_path: Path) -> None:
    names = ["stays", "leaves", "altered", "comes-back"]
    with RangeServer({f"/{name}": [whole(name.encode(), '"1"')] for name in names}) as server:
        write_list(tmp_path / "list.txt", [server.url(f"/{name}") for name in names])
        # A plain run has no hashes: whether a body is as it was, the time of its change tells.
        before = by_name(run_fetchpool(["get", "list.txt", "-o", "out"], cwd=tmp_path).records)
        for name in names:
            server.answers[f"/{name}"] = [not_modified()]
        write_list(tmp_path / "list.txt", [server.url("/stays")])
        _, said = refresh(tmp_path)
        assert "3 left the list" in said
        listed = run_fetchpool(["status", "out", "--changed"], cwd=tmp_path).stdout
        assert listed.count("left ") == 3
        write_list(tmp_path / "list.txt", [server.url("/stays"), server.url("/comes-back")])
        (tmp_path / "out" / before["altered"]["path"]).write_bytes(b"ALTERED")
        after, said = refresh(tmp_path, "--prune")
    assert "1 pruned" in said
    assert after["comes-back"]["change"] == "same"
    kept = {before[name]["path"] for name in ("stays", "altered", "comes-back")}
    assert stored_files(tmp_path / "out") == kept
    pruned = tmp_path / "out" / ".fetchpool" / "pruned" / before["leaves"]["path"]
    assert pruned.read_bytes() == b"leaves"


def test_stopped_refresh_goes_on_as_one(tmp_path: Path) -> None:
    names = [f"u{number}" for number in range(6)]
    with RangeServer({f"/{name}": [TAGGED, not_modified()] for name in names}) as server:
        write_list(tmp_path / "list.txt", [server.url(f"/{name}") for name in names])
        refresh(tmp_path)
        refresh(tmp_path)
        ledger = tmp_path / "out" / "results.jsonl"
        lines = ledger.read_bytes().splitlines(keepends=True)
        ledger.write_bytes(b"".join(lines[:2]) + lines[2][:30])
        since = len(server.asked)
        again = run_fetchpool(["get", "list.txt", "-o", "out"], cwd=tmp_path)
        asked = conditions(server, since)
    assert len(asked) == 4
    assert all(each == [if_none('"1"')] for each in asked.values())
    assert [record["change"] for record in again.records] == ["same"] * 6
    assert "6 same" in again.stderr


@pytest.mark.parametrize(
    ("expression", "status"),
    [("changed>0", 1), ("changed>1", 0), ("gone>0,errors>50%", 1), ("new>0,left>0", 1),
     ("never", 0)],
)  # fmt: skip
def test_changes_may_fail_a_run(tmp_path: Path, expression: str, status: int) -> None:
    nights = {"/a": [TAGGED, whole(NEW, '"2"')], "/b": [TAGGED, bare("HTTP/1.1 404 No")],
              "/c": [TAGGED]}  # fmt: skip
    with RangeServer(nights) as server:
        write_list(tmp_path / "list.txt", [server.url(path) for path in nights])
        refresh(tmp_path)
        write_list(tmp_path / "list.txt", [server.url("/a"), server.url("/b")])
        arguments = ["get", "list.txt", "-o", "out", "--refresh", "--fail-if", expression]
        assert run_fetchpool(arguments, cwd=tmp_path).returncode == status


@needs_nginx
def test_nginx_that_packs_on_the_fly_is_asked_for_news_only(tmp_path: Path) -> None:
    root = tmp_path / "www"
    root.mkdir()
    for number in range(3):
        (root / f"{number}.txt").write_text(f"body {number} " * 2000)
        os.utime(root / f"{number}.txt", (1_600_000_000, 1_600_000_000))
    packed = "gzip on; gzip_types text/plain; gzip_min_length 1;"
    with nginx(tmp_path, f"location / {{ root {root}; {packed} }}") as origin:
        write_list(tmp_path / "list.txt", [f"{origin}/{number}.txt" for number in range(3)])
        first, _ = refresh(tmp_path, "--mtime")
        (root / "1.txt").write_text("another body")
        (root / "2.txt").unlink()
        second, _ = refresh(tmp_path, "--mtime")
    assert first["0.txt"]["etag"].startswith("W/")
    assert first["0.txt"]["wire_bytes"] < first["0.txt"]["bytes"]
    records = [second[f"{number}.txt"] for number in range(3)]
    assert [(each["status"], each["change"]) for each in records] == [
        (304, "same"),
        (200, "changed"),
        (404, "gone"),
    ]
    assert (tmp_path / "out" / first["0.txt"]["path"]).stat().st_mtime == 1_600_000_000
    for name in ("0.txt", "1.txt"):
        file = tmp_path / "out" / second[name]["path"]
        assert sha256(file.read_bytes()).hexdigest() == second[name]["sha256"]
