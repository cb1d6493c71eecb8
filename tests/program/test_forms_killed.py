"""Every form of list, over two processes and killed on the way: the next run is exact."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.harness import read_records
from tests.program.helpers import eventually, hits, side_by_side, start
from tests.servers.counting import CountingServer

COUNT = 16
KILLED_AFTER = 4
"""Records, from which on the first run is killed."""


class Form(NamedTuple):
    """How a list of URLs, the n-th with the text `n`, is written."""

    write: Callable[[list[str]], bytes]
    row: Callable[[int], dict[str, object] | None]
    """What the record of the n-th has beside."""


def table(delimiter: str, mark: str, urls: list[str]) -> bytes:
    text = io.StringIO(mark)
    text.seek(0, io.SEEK_END)
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["id", "link", "note"])
    writer.writerows([n, url, f"{n}, a\nnote"] for n, url in enumerate(urls))
    return text.getvalue().encode()


def parquet(urls: list[str]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    columns = {"id": list(range(len(urls))), "link": urls}
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def lines(pattern: str, urls: list[str], *, around: tuple[str, str] = ("", "")) -> bytes:
    rows = "".join(f"{pattern.format(url=url)}\n" for url in urls)
    return f"{around[0]}{rows}{around[1]}".encode()


def cells(n: int) -> dict[str, object]:
    return {"id": str(n), "note": f"{n}, a\nnote"}


def values(n: int) -> dict[str, object]:
    return {"id": n}


def nothing(n: int) -> None:
    return None


FORMS = {
    "lines": Form(partial(lines, "{url}"), nothing),
    "csv": Form(partial(table, ",", ""), cells),
    "tsv": Form(partial(table, "\t", ""), cells),
    "semicolons": Form(partial(table, ";", "\ufeff"), cells),
    "jsonl": Form(
        lambda urls: b"".join(
            json.dumps({"id": n, "link": url}).encode() + b"\n" for n, url in enumerate(urls)
        ),
        values,
    ),
    "json": Form(
        lambda urls: json.dumps([{"id": n, "link": u} for n, u in enumerate(urls)]).encode(),
        values,
    ),
    "parquet": Form(parquet, values),
    "sitemap": Form(
        partial(lines, "<url><loc>{url}</loc></url>", around=("<urlset>\n", "</urlset>\n")),
        nothing,
    ),
    "opml": Form(
        partial(lines, '<outline xmlUrl="{url}"/>', around=("<opml>\n", "</opml>\n")), nothing
    ),
    "bookmarks": Form(
        partial(lines, '<a href="{url}">x</a>', around=("<html>\n", "</html>\n")), nothing
    ),
    "aria2": Form(partial(lines, "{url}\n  split=2"), nothing),
    "apt": Form(partial(lines, "'{url}' name 7 "), lambda n: {"name": "name", "size": "7"}),
}
PIPED = ("lines", "csv", "jsonl")
"""Once more through a pipe, where each run reads today's lines."""
PACKED = ("tsv", "json", "sitemap")
"""Those that are packed as well."""


def test_killed_on_the_way_the_next_run_is_exact(tmp_path: Path) -> None:
    with CountingServer() as server:
        cases = [(form, False) for form in FORMS] + [(form, True) for form in PIPED]
        side_by_side(lambda case: kill_and_go_on(tmp_path, server, *case), cases)


def kill_and_go_on(tmp_path: Path, server: CountingServer, name: str, is_piped: bool) -> None:
    form, key = FORMS[name], f"{name}-{'pipe' if is_piped else 'file'}"
    folder = tmp_path / key
    folder.mkdir()
    urls = [server.url(f"/{key}/{n}.txt?delay=0.05") for n in range(COUNT)]
    data = form.write(urls)
    (folder / "list").write_bytes(gzip.compress(data) if name in PACKED else data)
    args = ["get", "-" if is_piped else "list", "-o", "out", "-q", "--per-host", "2"]
    args += ["--limit", "2", "--workers", "1" if is_piped else "2", "--no-body"]
    ledger = folder / "out/results.jsonl"

    def is_under_way() -> bool:
        return ledger.exists() and ledger.read_bytes().count(b"\n") >= KILLED_AFTER

    with (folder / "list").open("rb") as stdin, start(args, cwd=folder, stdin=stdin) as process:
        eventually(is_under_way, "some records")
        process.kill()
        process.wait()
    kept = {record["url"] for record in read_records(folder / "out")}
    assert KILLED_AFTER <= len(kept) < COUNT, key
    since = len(server.counts.hits)
    with (folder / "list").open("rb") as stdin, start(args, cwd=folder, stdin=stdin) as process:
        assert process.ended() == (0, ""), key
    again = {url for url in hits(server, since) if f"/{key}/" in url}
    assert again == set(urls) - kept, key
    records = sorted(read_records(folder / "out"), key=lambda record: record["seq"])
    assert [record["url"] for record in records] == urls, key
    assert [record.get("row") for record in records] == [form.row(n) for n in range(COUNT)], key
