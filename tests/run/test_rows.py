"""What lines bring along, through a whole run: their row, their file's name, their checksum."""

from __future__ import annotations

import csv
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

import fetchpool
from fetchpool.run.runner import run as fetch
from fetchpool.sources import Sources
from fetchpool.sources.lines import Batch
from tests.stores.bodies import files_in


class _Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    failing: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(404 if self.path in self.failing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    _Site.failing = set()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def lines_with_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a line be a URL and, behind a blank, a JSON object of what it brings along."""
    plain = Sources.batches

    def batches(self: Sources, *args: Any) -> Iterator[Batch]:
        for batch in plain(self, *args):
            batch.requests = [_full(each) for each in batch.requests]
            yield batch

    monkeypatch.setattr(Sources, "batches", batches)


def _full(request: fetchpool.Request) -> fetchpool.Request:
    url, _, more = request.url.partition(" ")
    fields = json.loads(more) if more else {}
    if "row" in fields:
        fields["row"] = json.dumps(fields["row"], separators=(",", ":")).encode()
    return msgspec.structs.replace(request, url=url, **fields)


def run(tmp_path: Path, lines: list[tuple[str, dict[str, Any]]], **settings: Any) -> list[Any]:
    """Fetch *lines* into `out`; return the records by their number."""
    source = tmp_path / "list"
    source.write_text("".join(f"{url} {json.dumps(more)}\n" for url, more in lines))
    config = fetchpool.Config(**settings)
    fetch(config, [str(source)], tmp_path / "out")
    records = map(json.loads, (tmp_path / "out/results.jsonl").read_text().splitlines())
    return sorted(records, key=lambda record: record["seq"])


@pytest.mark.parametrize("workers", [1, 2])
def test_row_goes_through_to_records_and_table(site: str, tmp_path: Path, workers: int) -> None:
    rows = [{"b": f"x{n}", "url": "of the list", "a": '"q"; ü\n2'} for n in range(60)]
    lines = [(f"{site}/{n}", {"row": row}) for n, row in enumerate(rows)]
    last: dict[str, Any] = {"b": "last", "c": 5}
    lines.append(("nonsense", {"row": last}))
    out = tmp_path / "out.csv"
    records = run(tmp_path, lines, workers=workers, records=str(out), per_host=3)
    assert [record["row"] for record in records] == [*rows, last]
    with out.open(newline="") as file:
        table = sorted(csv.DictReader(file), key=lambda row: int(row["seq"]))
    assert {"b", "url", "a", "c"} == set(list(table[0])[:4])
    assert [row["b"] for row in table] == [*(row["b"] for row in rows), "last"]
    assert table[5]["a"] == rows[5]["a"]
    assert table[5]["fetchpool_url"] == f"{site}/5"
    assert (table[-1]["c"], table[-1]["error"]) == ("5", "input")
    again = run(tmp_path, lines, workers=workers, once=True)
    assert again == records


@pytest.mark.parametrize("workers", [1, 2])
def test_files_are_called_as_lines_wish(site: str, tmp_path: Path, workers: int) -> None:
    names = ["a.jpg", "A.JPG", "a.jpg", "d/e.txt", "../../etc/x", "results.jsonl", "", "README"]
    lines = [(f"{site}/{n}", {"name": name}) for n, name in enumerate(names)]
    lines.append((f"{site}/0", {"name": "a.jpg"}))
    records = run(tmp_path, lines, workers=workers)
    paths = [record["path"] for record in records]
    first, upper, second, *rest = paths[:6]
    assert first == paths[8] == "a.jpg"
    assert upper.startswith("A~")
    assert second.startswith("a~")
    assert second.endswith(".jpg")
    assert rest == ["d/e.txt", "etc/x", "_results.jsonl"]
    assert paths[6].startswith("127.0.0.1")
    assert paths[7] == "README"
    files = files_in(tmp_path / "out")
    assert {path: f"/{n}".encode() for n, path in enumerate(paths[:8])}.items() <= files.items()
    # A list in another order whose records are kept takes nobody's name.
    lines.insert(0, (f"{site}/new", {"name": "a.jpg"}))
    again = run(tmp_path, lines, workers=workers, once=True)
    assert [record["path"] for record in again[1:]] == paths
    assert again[0]["path"] not in paths
    assert files_in(tmp_path / "out")["a.jpg"] == b"/0"


def test_file_that_was_called_otherwise_goes_once_its_line_has_a_new_one(
    site: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def bodies(*names: str | None) -> set[str]:
        lines = [(f"{site}/{n}", {"name": name} if name else {}) for n, name in enumerate(names)]
        run(tmp_path, lines, fail_if="never")
        return set(files_in(out)) - {"results.jsonl"}

    by_url = bodies(None, None)
    assert len(by_url) == 2
    assert bodies("a.txt", "b.txt") == {"a.txt", "b.txt"}
    assert bodies("b.txt", "a.txt") == {"a.txt", "b.txt"}
    assert files_in(out)["a.txt"] == b"/1"
    _Site.failing = {"/1"}
    assert bodies("c.txt", "d.txt") == {"c.txt", "a.txt"}  # what failed keeps its old body
    _Site.failing = set()
    assert bodies(None, None) == by_url | {"a.txt"}


def test_names_in_each_others_way_are_all_kept(site: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    names = ["a", "a/b", "a/b/c", "x.y/z", "x.y", "mine.txt"]
    lines = [(f"{site}/{n}", {"name": name}) for n, name in enumerate(names)]
    paths = [record["path"] for record in run(tmp_path, lines)]
    files = files_in(tmp_path / "out")
    assert [files[path] for path in paths] == [f"/{n}".encode() for n in range(len(names))]
    assert files["mine.txt"] == b"mine"


def test_body_that_was_not_promised_is_tried_again_and_not_stored(
    site: str, tmp_path: Path
) -> None:
    good, bad = hashlib.md5(b"/0", usedforsecurity=False).hexdigest(), "0" * 64
    lines = [(f"{site}/0", {"checksum": good}), (f"{site}/1", {"checksum": bad})]
    lines.append((f"{site}/2", {"checksum": "none"}))
    first, second, third = run(tmp_path, lines, retries=1)
    assert (first["ok"], first["sha256"]) == (True, None)
    assert (second["error"], second["path"], second["attempts"]) == ("checksum", None, 2)
    assert bad in second["detail"]
    assert third["error"] == "input"
    assert "sha256:HEX" in third["detail"]
    assert len(files_in(tmp_path / "out")) == 2  # with the ledger
