"""Forms of lists: what each is taken for, the requests of its rows, what is asked in doubt.

Every form that lists were met in is a row of `FORMS`.
"""

from __future__ import annotations

import asyncio
import bz2
import csv
import gzip
import io
import json
import lzma
import os
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.config import Config
from fetchpool.model.reading import INPUT_FORMATS, Reading
from fetchpool.model.values import Outcome, Request, Target
from fetchpool.scheduling.job import target_of
from fetchpool.sources import (
    Codec,
    InputError,
    RequestCounter,
    SourceReadError,
    open_sources,
    requests_from,
)
from fetchpool.sources.forms import FORMS as TABLE_OF_FORMS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROOT = Path(__file__).parent.parent

H = "https://h.example"

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd.compress,
    "gz.gz": lambda data: gzip.compress(gzip.compress(data)),
    "two members": lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]),
}


def reading(**options: Any) -> Reading:
    return Config(**options).reading


def read(data: bytes | Path, *, pipe: bool = False, **options: Any) -> list[Request]:
    """Return the requests of a list in a file, or of one that comes through a pipe."""
    if isinstance(data, Path):
        names, stdin = [str(data)], None
    else:
        names, stdin = ["-"], Pipe([data]) if pipe else None
    with open_sources(names, stdin, reading=reading(**options)) as sources:  # type: ignore[arg-type]
        return [request for batch in sources.batches() for request in batch.requests]


class Pipe(io.RawIOBase):
    """A stream in memory that gives its pieces one by one."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [p[at : at + 65536] for p in pieces for at in range(0, len(p), 65536)]

    def read(self, size: int = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


class Case(NamedTuple):
    """A list, and what it comes to."""

    text: str
    urls: dict[int, str]
    title: str = ""
    """Of what is said of it; empty: nothing."""
    rows: tuple[dict[str, Any] | None, ...] | None = None
    options: tuple[tuple[str, str], ...] = ()


def plain(*urls: str) -> dict[int, str]:
    return dict(enumerate(urls, 1))


FORMS = {
    "a URL a line": Case(f"# list\n{H}/a\n\n{H}/b\n", {2: f"{H}/a", 4: f"{H}/b"}),
    "one column with a header": Case(f"url\n{H}/a\n", {2: f"{H}/a"}, 'a URL a line, below "url"'),
    "one column, quoted": Case(
        f'"{H}/a, b (2017)/x.pdf"\n{H}/c d.pdf\n<{H}/e>\n\'{H}/f\'\n',
        plain(f"{H}/a, b (2017)/x.pdf", f"{H}/c d.pdf", f"{H}/e", f"{H}/f"),
    ),
    "CSV, URL first": Case(
        f"url,cat,note\n{H}/,NEWS,some words\n{H}/b,,\n",
        {2: f"{H}/", 3: f"{H}/b"},
        'table, 3 columns, URLs from "url"',
        ({"cat": "NEWS", "note": "some words"}, {"cat": "", "note": ""}),
    ),
    "semicolons": Case(
        f"\ufeffurl;cat\r\n{H}/;x,y\r\n", {2: f"{H}/"}, 'table, 2 columns, URLs from "url"',
        ({"cat": "x,y"},),
    ),
    "CSV with an index column": Case(
        f",url\n0,{H}/a\n1,{H}/b\n", {2: f"{H}/a", 3: f"{H}/b"},
        'table, 2 columns, URLs from "url"', ({"1": "0"}, {"1": "1"}),
    ),
    "CSV without a header": Case(
        f"name7,{H}/\nname8,{H}/8\n", plain(f"{H}/", f"{H}/8"),
        "table without a header, 2 columns, URLs from column 2", ({"1": "name7"}, {"1": "name8"}),
    ),
    "cells of several lines": Case(
        f'id,note,cdn_link\n1,"two\nlines, ""quoted""",{H}/a\n2,x,{H}/b\n',
        {2: f"{H}/a", 4: f"{H}/b"}, 'table, 3 columns, URLs from "cdn_link"',
        ({"id": "1", "note": 'two\nlines, "quoted"'}, {"id": "2", "note": "x"}),
    ),
    "two columns of URLs, one named so": Case(
        f"homepage,Image URL\n{H}/,{H}/a\n{H}/,{H}/b\n", {2: f"{H}/a", 3: f"{H}/b"},
        'table, 2 columns, URLs from "Image URL"',
    ),
    "commas within the URLs": Case(
        f"{H}/s.json?p=310,Town-26\n{H}/s.json?p=311,Town-27\n",
        plain(f"{H}/s.json?p=310,Town-26", f"{H}/s.json?p=311,Town-27"),
    ),
    "commas in paths": Case(
        f"{H}/iiif/full/600,/0/default.jpg\n{H}/iiif/full/700,/0/default.jpg\n",
        plain(f"{H}/iiif/full/600,/0/default.jpg", f"{H}/iiif/full/700,/0/default.jpg"),
    ),
    "TSV": Case(
        f"Ann Example\t7\t{H}/a.jpg\t10,20,30,40\tSHA256\n", plain(f"{H}/a.jpg"),
        "table without a header, 5 columns, URLs from column 3",
        ({"1": "Ann Example", "2": "7", "4": "10,20,30,40", "5": "SHA256"},),
    ),
    "TSV with its header in a comment": Case(
        f"#name\turl\nA\t{H}/a\n", {2: f"{H}/a"},
        'table without a header, 2 columns, URLs from "url"', ({"name": "A"},),
    ),
    "a URL and a note behind a bar": Case(
        f"{H}/ | Land\n{H}/b | Sea\n", plain(f"{H}/", f"{H}/b"),
        "table without a header, 2 columns, URLs from column 1",
    ),
    "bare hosts": Case(
        "www.h.example\nh.example/a\nhttp://x/\n",
        plain("https://www.h.example", "https://h.example/a", "http://x/"),
        options=(("default_scheme", "https"),),
    ),
    "bare hosts in a table": Case(
        "name,site\nA,www.h.example\nB,b.example\n",
        {2: "http://www.h.example", 3: "http://b.example"},
        'table, 2 columns, URLs from "site"',
        options=(("default_scheme", "http"),),
    ),
    "paths": Case(
        "crawl-data/x.warc.gz\n/y?z\nhttps://o.example/\n",
        plain(f"{H}/d/crawl-data/x.warc.gz", f"{H}/y?z", "https://o.example/"),
        options=(("base", f"{H}/d/"),),
    ),
    "other schemes": Case("ftp://h/a\ns3://b/c\n", plain("ftp://h/a", "s3://b/c")),
    "JSON lines": Case(
        f'{{"company": "X", "n": 1.50, "url": "{H}/a"}}\n\n{{"url": "{H}/b", "more": [1, {{}}]}}\n',
        {1: f"{H}/a", 3: f"{H}/b"}, 'JSON lines, URLs from "url"',
        ({"company": "X", "n": 1.5}, {"more": [1, {}]}),
    ),
    "a JSON array": Case(
        json.dumps([{"id": 1, "link": f"{H}/a"}, {"id": 2, "link": f"{H}/b"}], indent=2),
        plain(f"{H}/a", f"{H}/b"), 'a JSON array, URLs from "link"', ({"id": 1}, {"id": 2}),
    ),
    "a JSON array of URLs": Case(
        json.dumps([f"{H}/a", f"{H}/b"]), plain(f"{H}/a", f"{H}/b"), "a JSON array, URLs"
    ),
    "aria2": Case(
        f"{H}/m.bin\n  out=m.bin\n  dir=d\n{H}/n\thttps://mirror.example/n\n",
        {1: f"{H}/m.bin", 4: f"{H}/n"}, "an aria2 input file",
    ),
    "conda": Case(
        f"# platform\n@EXPLICIT\n{H}/p-1.conda#0123456789abcdef0123456789abcdef\n",
        {3: f"{H}/p-1.conda#0123456789abcdef0123456789abcdef"}, 'a URL a line, below "@EXPLICIT"',
    ),
    "sha256sum": Case(
        f"{'a' * 64}  {H}/a\n{'b' * 64} *{H}/b\n", plain(f"{H}/a", f"{H}/b"),
        "checksums, each with its URL", ({"checksum": "a" * 64}, {"checksum": "b" * 64}),
    ),
    "apt": Case(
        f"'{H}/n%2b.deb' n_1%2b_amd64.deb 527000 SHA256:{'a' * 64}\n'{H}/r' h_InRelease 0 \n",
        plain(f"{H}/n%2b.deb", f"{H}/r"), "URLs as apt prints them",
        ({"name": "n_1%2b_amd64.deb", "size": "527000", "checksum": "a" * 64},
         {"name": "h_InRelease", "size": "0"}),
    ),
    "sitemap": Case(
        '<?xml version="1.0"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        ' xmlns:image="i">\n<url><loc> '
        f"{H}/a?x&amp;y </loc><image:image><image:loc>{H}/no</image:loc></image:image></url>"
        f"<url><loc>{H}/b</loc></url></urlset>",
        plain(f"{H}/a?x&y", f"{H}/b"), "a sitemap, URLs from <loc>",
    ),
    "OPML": Case(
        '<?xml version="1.0"?><opml version="2.0"><body><outline text="f">'
        f'<outline xmlUrl="{H}/rss" htmlUrl="{H}/"/></outline></body></opml>',
        plain(f"{H}/rss"), "OPML, URLs from its outlines",
    ),
    "bookmarks": Case(
        '<!DOCTYPE NETSCAPE-Bookmark-file-1>\n<DL><p>\n'
        f'<DT><A HREF="{H}/a?x&amp;y" ADD_DATE="1">A</A>'
        f'<DT><A HREF="javascript:void(0)">b</A><DT><A HREF="{H}/c">C</A>\n</DL>',
        plain(f"{H}/a?x&y", f"{H}/c"), "HTML, URLs from its links",
    ),
}  # fmt: skip


def asked(case: Case, requests: list[Request]) -> None:
    """Assert that *requests* are those of *case*."""
    assert {request.seq: request.url for request in requests} == case.urls
    assert len(requests) == len(case.urls)
    assert {request.problem for request in requests} == {None}
    if case.rows is not None:
        rows = tuple(json.loads(each.row) if each.row else None for each in requests)
        assert rows == case.rows


@pytest.mark.parametrize("case", FORMS.values(), ids=FORMS.keys())
def test_form_is_known_in_a_file(tmp_path: Path, case: Case) -> None:
    path = tmp_path / "list"
    path.write_text(case.text, newline="")
    with open_sources([str(path)], None, reading=reading(**dict(case.options))) as sources:
        requests = [request for batch in sources.batches() for request in batch.requests]
        asked(case, requests)
        titles = [form.removeprefix(f"{path}: ") for form in sources.forms]
        assert titles == ([case.title] if case.title else [])
        again = [request for batch in sources.batches() for request in batch.requests]
        assert again == requests
        counter = RequestCounter(sources)
        counter.run()
        assert counter.total == len(requests)
        batches = list(sources.batches())
        assert batches[-1].lines >= max(case.urls)
    codec = Codec()
    assert [codec.unpack(codec.pack(request)) for request in requests] == requests


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize("case", FORMS.values(), ids=FORMS.keys())
def test_form_is_known_in_a_pipe_however_it_comes(case: Case, size: int) -> None:
    data = case.text.encode()
    pieces = Pipe([data[at : at + size] for at in range(0, len(data), size)])
    options = dict(case.options)
    if "aria2" in case.title and size < 100:  # the first line alone is a URL as any
        options["input_format"] = "aria2"
    with open_sources(["-"], pieces, reading=reading(**options)) as sources:  # type: ignore[arg-type]
        asked(case, [request for batch in sources.batches() for request in batch.requests])


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("name", ["a URL a line", "CSV, URL first", "JSON lines", "sitemap"])
def test_packed_list_is_unpacked_by_its_first_bytes(
    tmp_path: Path, packing: str, name: str
) -> None:
    data = PACKERS[packing](FORMS[name].text.encode())
    path = tmp_path / "list"
    path.write_bytes(data)
    asked(FORMS[name], read(path))
    asked(FORMS[name], read(data, pipe=True))


def test_requests_of_a_later_list_are_numbered_on(tmp_path: Path) -> None:
    names = []
    for number, case in enumerate(FORMS.values()):
        if not case.options:
            names.append(str(tmp_path / f"{number}"))
            Path(names[-1]).write_text(case.text, newline="")
    with open_sources(names, None, reading=reading()) as sources:
        requests = [request for batch in sources.batches() for request in batch.requests]
    numbers = [request.seq for request in requests]
    assert numbers == sorted(set(numbers))
    lines = {(name, number) for name in names for number in numbers_of(Path(name))}
    assert {(request.source, request.line) for request in requests} == lines


def numbers_of(path: Path) -> Iterator[int]:
    yield from list(FORMS.values())[int(path.name)].urls


def test_every_format_of_the_option_has_its_form() -> None:
    assert set(TABLE_OF_FORMS) | {"auto"} == set(INPUT_FORMATS)
    documented = (ROOT / "docs" / "lists.md").read_text(encoding="utf-8")
    for name in TABLE_OF_FORMS:
        assert f"| `{name}` |" in documented


# --- what is asked where it can't be told


REFUSED = {
    "two columns of URLs": (f"https://s.example/x,{H}/long?a=1\n", "--column url=1"),
    "two columns of one rank": (f"a_url,b_url\n{H}/a,{H}/b\n", '--column url="a_url"'),
    "rows or URLs": (f"{H}/a.jpg,cat\n{H}/b.jpg,dog\n", "--input-format csv"),
    "bare hosts": ("www.h.example\nb.example\n", "--default-scheme https"),
    "bare hosts in a table": ("name,site\nA,www.h.example\n", "--default-scheme https"),
    "cells of several URLs": (
        f"id\turl\n1\t{H}/a;{H}/b\n2\t{H}/c\n3\t{H}/d;{H}/e\n",
        "mlr --tsv nest --evar ';' -f url",
    ),
    "cells of several URLs with blanks": (
        f'id,my url\n1,"{H}/a, {H}/b"\n2,"{H}/d, {H}/e"\n',
        "mlr --csv nest --evar ', ' -f 'my url'",
    ),
    "cells of several URLs on lines": (
        f'id,url\n1,"{H}/a\n{H}/b"\n2,"{H}/d\n{H}/e"\n',
        "give each a row of its own",
    ),
    "cells of several hosts": (
        "run;fastq_ftp\nE1;h.example/a|h.example/b\nE2;h.example/c|i.example/d\n",
        "mlr --csv --fs ';' nest --evar '|' -f fastq_ftp",
    ),
    "cells of several paths, without a header": (
        "E1\tvol1/a.gz vol1/b.gz\nE2\tvol1/c.gz vol1/d.gz\n",
        "column 2 holds several URLs",
    ),
    "paths": ("crawl-data/x/y.warc.gz\n/z\n", "--base URL"),
    "labels": (f"Part 1 - {H}/\nPart 2 - {H}/b\n", "--input-format lines"),
    "old line ends": (f"a {H}/a\r{H}/b\r", "tr '\\r' '\\n'"),
    "RSS": ("<rss><channel/></rss>", "--input-format bookmarks"),
    "an object over several lines": ('{\n"a": 1\n}\n', "jq -c"),
    "JSON without URLs": ('{"a": 1}\n', "--column url=KEY"),
    "a workbook": ("PK\x03\x04[Content_Types].xml", "save the sheet as CSV"),
    "a Git LFS pointer": ("version https://git-lfs.github.com/spec/v1\noid x\n", "git lfs pull"),
    "SQLite": ("SQLite format 3\0", "sqlite3"),
}


@pytest.mark.parametrize(("text", "remedy"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_told_is_asked_with_the_option_that_settles_it(
    tmp_path: Path, text: str, remedy: str
) -> None:
    path = tmp_path / "list"
    path.write_text(text, newline="")
    with pytest.raises(InputError) as caught:
        read(path)
    assert remedy in str(caught.value)
    assert str(caught.value).isprintable()
    if remedy.startswith("--"):
        assert caught.value.samples
        assert len(caught.value.samples) <= 3


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_array_that_pauses_behind_its_first_element_is_known(end: str) -> None:
    pieces = [f'[{{"url": "{H}/a"}}{end}'.encode(), f', {{"url": "{H}/b"}}]'.encode()]
    with open_sources(["-"], Pipe(pieces), reading=reading()) as sources:  # type: ignore[arg-type]
        requests = [request for batch in sources.batches() for request in batch.requests]
    assert [(each.url, each.problem) for each in requests] == [(f"{H}/a", None), (f"{H}/b", None)]


SEVERAL = f"{H}/a;{H}/b", f"{H}/a, {H}/b", f"{H}/a|{H}/b", f"{H}/a {H}/b", f"{H}/a\n{H}/b"


@pytest.mark.parametrize("cell", [*SEVERAL, "h.example/a;h.example/b", "/x/a.gz;/x/b.gz"])
@pytest.mark.parametrize("options", [{}, {"default_scheme": "https"}, {"base": f"{H}/"}])
def test_cell_of_several_urls_is_never_requested_as_one(
    tmp_path: Path, cell: str, options: dict[str, Any]
) -> None:
    path = tmp_path / "list"
    rows = [cell, f"{H}/c", f"{H}/d"]
    path.write_text("id,url\n" + "".join(f'1,"{row}"\n' for row in rows), newline="")
    several, *others = map(target_of, read(path, **options))
    assert isinstance(several, Outcome)
    assert (several.detail or "").startswith(("several URLs", "a line feed in the URL"))
    assert [isinstance(other, Target) and other.url for other in others] == rows[1:]
    path.write_text("\n".join(json.dumps({"url": row}) for row in rows))
    several, *others = map(target_of, read(path, **options))
    assert isinstance(several, Outcome)
    assert all(isinstance(other, Target) for other in others)
    # Who names the column has it, whatever it holds.
    path.write_text(f'id,url\n1,"{cell}"\n', newline="")
    (alone,) = map(target_of, read(path, column="url=url", **options))
    assert isinstance(alone, Outcome)


def test_array_in_place_of_a_url_is_refused_with_what_helps(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(f'{{"url": "{H}/a"}}\n{{"url": ["{H}/b", "{H}/c"]}}\n')
    good, several = read(path)
    assert good.problem is None
    assert "jq -c '.KEY = .KEY[]'" in (several.problem or "")


@pytest.mark.parametrize(
    ("text", "options", "urls"),
    [
        (f"{H}/a.jpg,cat\n", {"input_format": "csv"}, plain(f"{H}/a.jpg")),
        (f"{H}/a.jpg,cat\n", {"input_format": "lines"}, plain(f"{H}/a.jpg,cat")),
        (f"a_url,b_url\n{H}/a,{H}/b\n", {"column": {"url": "b_url"}}, {2: f"{H}/b"}),
        (f"a_url,b_url\n{H}/a,{H}/b\n", {"column": "url=B_URL"}, {2: f"{H}/b"}),
        (f"https://s/x,{H}/l?a=1\n", {"column": "url=2"}, plain(f"{H}/l?a=1")),
        (f'{{"a": "{H}/a", "b": "{H}/b"}}\n', {"column": "url=b"}, plain(f"{H}/b")),
    ],
)
def test_the_option_settles_it(
    tmp_path: Path, text: str, options: dict[str, Any], urls: dict[int, str]
) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    assert {request.seq: request.url for request in read(path, **options)} == urls


def test_urls_that_a_program_gives_are_completed_too() -> None:
    async def drain() -> list[str]:
        found = []
        reader = requests_from(["h.example/a", f"{H}/b"], reading=reading(default_scheme="https"))
        while (batch := await reader.next_batch()) is not None:
            found += [request.url for request in batch.requests]
        return found

    assert asyncio.run(drain()) == ["https://h.example/a", f"{H}/b"]


def test_pipe_of_rows_below_a_header_waits_for_the_first_row() -> None:
    pieces = Pipe([b"url,cat,note\n", f"{H}/,NEWS,some words\n".encode()])
    with open_sources(["-"], pieces, reading=reading()) as sources:  # type: ignore[arg-type]
        requests = [request for batch in sources.batches() for request in batch.requests]
    assert [request.url for request in requests] == [f"{H}/"]


def test_header_and_comments_of_a_table_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f'# a note\nid,url\n"1\n2",{H}/a\n\n#3,{H}/b\n"#4",{H}/c\n,\n')
    with open_sources([str(path)], None, reading=reading()) as sources:
        batches = list(sources.batches())
    assert [each.url for batch in batches for each in batch.requests] == [f"{H}/a", f"{H}/c"]
    assert sum(batch.skipped for batch in batches) == 5


def test_pipe_of_lines_is_not_waited_for() -> None:
    pieces = Pipe([f"{H}/a\n".encode(), b"never read"])
    with open_sources(["-"], pieces, reading=reading()) as sources:  # type: ignore[arg-type]
        assert [each.url for each in next(sources.batches()).requests] == [f"{H}/a"]
        assert pieces.read() == b"never read"


def test_row_of_a_pipe_comes_before_the_next_one_is_there() -> None:
    pieces = Pipe([f"n,url\n1,{H}/a\n".encode(), f'2,{H}/b\n"3\n'.encode(), f'",{H}/c\n'.encode()])
    with open_sources(["-"], pieces, reading=reading()) as sources:  # type: ignore[arg-type]
        batches = sources.batches()
        seen = [[(each.seq, each.url) for each in batch.requests] for batch in batches]
    assert [each for each in seen if each] == [[(2, f"{H}/a")], [(3, f"{H}/b")], [(4, f"{H}/c")]]


# --- fields of columns


def test_columns_give_what_a_request_asks(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["url", "verb", "fields", "payload", "file", "sum", "note"])
        writer.writerow([f"{H}/1", "put", '{"X-A": "1"}', "text", "a.txt", "a" * 64, "n"])
        writer.writerow([f"{H}/2", "", "X-A: 1\nX-B: 2", "", "", "", ""])
        writer.writerow([f"{H}/3", "FETCH", "", "", "", "", ""])
        writer.writerow([f"{H}/4", "", "no field", "", "", "", ""])
        writer.writerow([f"{H}/5", "", "Host: other", "", "", "", ""])
        writer.writerow([f"{H}/6", "", "", "text", "", "", ""])
        writer.writerow([f"{H}/7", "", "", "", "", "none", ""])
    column = "method=verb\nheaders=fields\nbody=payload\nname=file\nchecksum=6"
    put, two, three, four, five, six, seven = read(path, column=column, carry="note,file")
    assert (put.method, put.headers, put.body) == ("PUT", (("X-A", "1"),), b"text")
    assert (put.name, put.checksum) == ("a.txt", "a" * 64)
    assert put.row == b'{"note":"n","file":"a.txt"}'
    assert (two.method, two.headers) == ("GET", (("X-A", "1"), ("X-B", "2")))
    assert (two.body, two.name, two.checksum) == (None, None, None)
    assert "method" in (three.problem or "")
    assert "header fields" in (four.problem or "")
    assert "Host" in (five.problem or "")
    assert (six.method, six.body) == ("POST", b"text")
    assert "checksum" in (seven.problem or "")


def test_keys_of_json_give_what_a_request_asks(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(f'{{"u": "{H}/1", "h": {{"X-A": "1"}}, "b": {{"q": [1]}}, "k": 1e2}}\n')
    (request,) = read(path, column="headers=h\nbody=b")
    assert (request.method, request.headers) == ("POST", (("X-A", "1"),))
    assert request.body == b'{"q": [1]}'
    assert request.row == b'{"k":1e2}'  # as it was written


def test_aria2s_options_are_honoured(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(
        f"{H}/m?x\n  out=o.bin\n  dir=/d/e\n  checksum=sha-256={'A' * 64}\n"
        f"  header=X-A: 1\n  header=X-B: 2\n  referer={H}/\n  split=5\n{H}/p/n.bin\n  dir=d\n"
    )
    one, two = read(path)
    assert (one.name, one.checksum) == ("d/e/o.bin", f"sha-256={'A' * 64}")
    assert one.headers == (("X-A", "1"), ("X-B", "2"), ("Referer", f"{H}/"))
    assert (two.name, two.checksum, two.headers) == ("d/n.bin", None, ())


def test_checksum_of_a_conda_list_is_taken_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(FORMS["conda"].text)
    assert [each.checksum for each in read(path)] == [None]
    assert [each.checksum for each in read(path, column="checksum=#")] == [
        "0123456789abcdef0123456789abcdef"
    ]


def test_secrets_of_other_columns_do_not_come_along(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"url,mirror,auth\n{H}/,https://u:canary@m.example/,Authorization: canary\n")
    (request,) = read(path, column="headers=auth")
    assert request.row == b'{"mirror":"https://***@m.example/"}'


@pytest.mark.parametrize(
    "written", [r"https:\/\/u:canary@m.example\/", r"https://u:canary\u0040m.example/"]
)
def test_secrets_of_json_do_not_come_along_however_they_are_written(
    tmp_path: Path, written: str
) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(f'{{"url": "{H}/", "mirror": "{written}"}}\n')
    (request,) = read(path, column="url=url")
    assert request.row == b'{"mirror":"https://***@m.example/"}'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"id,url\n1,{H}/a\n2,\n", "no URL"),
        (f"url,id\n{H}/a,1\n,2\n", "no URL"),
        (f"id,note,url\n1,,{H}/a\n2\n", "no column 3"),
        (f'{{"id": "1", "url": "{H}/a"}}\n{{"id": "2", "url": null}}\n', "no URL"),
        (f'{{"id": "1", "url": "{H}/a"}}\n{{"id": "2"}}\n', "no URL"),
        (f'{{"id": "1", "url": "{H}/a"}}\n{{"id": "2", "url": 7}}\n', "no text"),
    ],
)
def test_row_without_a_url_comes_along_too(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    form = "jsonl" if text.startswith("{") else "csv"
    _, without = read(path, column="url=url", input_format=form)
    assert problem in (without.problem or "")
    assert json.loads(without.row or b"")["id"] == "2"


def test_column_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"id,url\n1,{H}/\n")
    cases: list[dict[str, Any]] = [{"column": "url=link"}, {"column": "body=9"}, {"carry": "title"}]
    for options in cases:
        with pytest.raises(InputError, match='it has "id", "url"'):
            read(path, **options)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1", "no column 2"),
        ("1,", "the row has no URL"),
        (f"1,{H}/\x00", "a NUL"),
        (f"1,{H}/{'x' * 70_000}", "longer than 65,536"),
    ],
)
def test_row_that_is_none_is_one_problem_and_the_next_is_read(
    tmp_path: Path, row: str, problem: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"id,url\n0,{H}/a\n{row}\n2,{H}/b\n3,{H}/c\n4,{H}/d\n")
    requests = read(path, input_format="csv")
    assert [request.seq for request in requests] == [2, 3, 4, 5, 6]
    assert problem in (requests[1].problem or "")
    assert [each.problem for each in requests if each.seq != 3] == [None] * 4


def test_quote_that_is_never_closed_costs_its_own_row(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    rows = [f"{n},x,{H}/{n}" for n in range(2000)]
    rows[1] = f'1,"stray,{H}/1'
    path.write_text("\n".join(["id,note,url", *rows]) + "\n")
    requests = read(path)
    assert [request.seq for request in requests] == list(range(2, 2002))
    assert [request.seq for request in requests if request.problem] == [3]
    assert "quote" in (requests[1].problem or "")


def test_cells_that_are_no_utf8_are_read_as_windows_has_them(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(f"url,name\n{H}/caf\xe9,caf\xe9\n".encode("latin-1"))
    (request,) = read(path)
    assert request.url == f"{H}/caf%E9"
    assert json.loads(request.row or b"") == {"name": "café"}


CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(deadline=None)
@given(
    st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=30),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 50),
)
def test_table_that_the_csv_module_wrote_comes_back_row_by_row(
    rows: list[list[str]], delimiter: str, end: str, quoting: Any, size: int
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["id", "a", "b", "url"])
    if end == "\n":  # the writer quotes a carriage return only where it ends lines
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    for number, (a, b) in enumerate(rows):
        writer.writerow([number, a, b, f"{H}/{number}"])
    data = out.getvalue().encode()
    pieces = Pipe([data[at : at + size] for at in range(0, len(data), size)])
    options = {"input_format": "tsv" if delimiter == "\t" else "csv", "column": "url=url"}
    with open_sources(["-"], pieces, reading=reading(**options)) as sources:  # type: ignore[arg-type]
        found = [request for batch in sources.batches(7) for request in batch.requests]
    assert [request.url for request in found] == [f"{H}/{number}" for number in range(len(rows))]
    assert [json.loads(request.row or b"") for request in found] == [
        {"id": str(number), "a": a, "b": b} for number, (a, b) in enumerate(rows)
    ]
    ends = [0]
    for cells in rows:
        ends.append(ends[-1] + 1 + sum(cell.count("\n") for cell in cells))
    assert [request.seq for request in found] == [2 + end for end in ends[:-1]]


ODD = st.sampled_from(
    [
        *(
            f"{H}/a",
            f" {H}/b ",
            f"{H}/a b",
            f"{H}/é",
            f"{H}/\u200b",
            f"{H}/\x01",
            f"{H}/\t",
            "",
            "x",
        ),
        *(f"{H}/{'x' * 66_000}", "https://u:p@h.example/", "\ud800", "#", f"{H}/#"),
    ]
)
CARRIED = st.sampled_from(["", "é", "#", "u:p@h", "https://u:p@h/", "\\", '"', "two\nlines", "1"])


@pytest.mark.parametrize("carry", ["all", "none", "a"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
@settings(deadline=None)
@given(st.lists(st.tuples(CARRIED, ODD, CARRIED), min_size=1, max_size=6))
def test_row_means_the_same_alone_and_among_others(
    form: str, carry: str, rows: list[tuple[str, str, str]]
) -> None:
    first, pieces = ("-", f"{H}/", "-"), []
    for number, row in enumerate([first, *rows]):
        if form in ("jsonl", "json"):
            cells = zip(("a", "url", "b"), row, strict=True)
            text = json.dumps({name: cell for name, cell in cells if cell or not number}) + "\n"
            if form == "json":
                text = f"[{text}" if not number else f", {text}"
        else:
            out = io.StringIO(newline="")
            csv.writer(out, lineterminator="\n").writerow(row)
            text = ("a,url,b\n" if not number else "") + out.getvalue()
        pieces.append(text.encode("utf-8", "surrogatepass"))
    pieces[-1] += b"]" if form == "json" else b""
    found = []
    for some in (pieces, [pieces[0], b"".join(pieces[1:])], [b"".join(pieces)]):
        options = reading(input_format=form, column="url=url", carry=carry)
        with open_sources(["-"], Pipe(some), reading=options) as sources:  # type: ignore[arg-type]
            found.append([request for batch in sources.batches() for request in batch.requests])
    assert found[0] == found[1] == found[2]


# --- Parquet


def parquet(path: Path, columns: dict[str, list[Any]], **options: Any) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def test_parquet_is_read_by_row_groups(tmp_path: Path) -> None:
    urls = [f"{H}/{number}" for number in range(3000)]
    columns: dict[str, list[Any]] = {
        "id": list(range(3000)),
        "image_url": urls,
        "raw": [b"x"] * 3000,
    }
    path = parquet(tmp_path / "list", columns, row_group_size=700)
    with open_sources([str(path)], None, reading=reading(carry="id")) as sources:
        requests = [request for batch in sources.batches() for request in batch.requests]
        assert sources.forms[0].endswith('Parquet, 3 columns, URLs from "image_url"')
        counter = RequestCounter(sources)
        counter.run()
    assert [(request.seq, request.url) for request in requests] == list(enumerate(urls, 1))
    assert [request.row for request in requests[:2]] == [b'{"id":0}', b'{"id":1}']
    assert counter.total == 3000


def test_parquet_that_is_broken_is_one_line(tmp_path: Path) -> None:
    path = parquet(tmp_path / "list", {"url": [f"{H}/"]})
    data = path.read_bytes()
    path.write_bytes(data[:-20] + b"\xff" * 12 + data[-8:])
    with pytest.raises(InputError, match="no Parquet that can be read"):
        read(path)


def test_parquet_from_a_pipe_or_packed_once_more_says_what_to_do(tmp_path: Path) -> None:
    data = parquet(tmp_path / "list", {"url": [f"{H}/"]}).read_bytes()
    with pytest.raises(InputError, match="give it as a file"):
        read(data, pipe=True)
    (tmp_path / "packed").write_bytes(gzip.compress(data))
    with pytest.raises(InputError, match="give it as a file"):
        read(tmp_path / "packed")


# --- hostile lists


def bomb(size: int) -> bytes:
    packer = zstd.ZstdCompressor()
    zeros = b"\0" * (1 << 20)
    return b"".join([*(packer.compress(zeros) for _ in range(size >> 20)), packer.flush()])


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a bomb": (lambda: bomb(64 << 20), "don't begin with a URL"),
    "a cell of 40 MB": (
        lambda: f"id,url,t\n1,{H}/,x\n2,{H}/,".encode() + b"x" * (40 << 20),
        "longer than 1,048,576",
    ),
    "a quoted cell of lines": (
        lambda: f"id,url\n{f'1,{H}/{chr(10)}' * 20}2,\"".encode() + (b"x" * 30 + b"\n") * 6000,
        "the row can't be read: field larger than field limit",
    ),
    "100,000 columns": (lambda: b"," * 100_000 + f"{H}/\n".encode(), "16,384 at most"),
    "nested JSON": (lambda: b"[" * 1_000_000, "nested too deeply"),
    "a nested JSON line": (
        lambda: f'{{"url": "{H}/"}}\n{{"url": '.encode() + b"[" * 500_000, "nested too deeply"
    ),
    "XML with entities": (
        lambda: b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><urlset>&a;</urlset>',
        "declares a document type",
    ),
    "a deep sitemap": (lambda: b"<urlset>" + b"<a>" * 1_000_000, "nested more than"),
    "a long tag": (lambda: b"<urlset><a b='" + b"x" * (20 << 20), "a tag in it has no end"),
    "an HTML tag without end": (
        lambda: b"<html><a href='x'>" + b"<!--" + b"x" * (20 << 20), "a tag in it has no end"
    ),
    "NULs": (lambda: b"\0" * 1000, "don't begin with a URL"),
    "gzip that ends early": (lambda: gzip.compress(os.urandom(100_000))[:-50_000], "ends early"),
    "gzip that is broken": (
        lambda: b"".join((gzip.compress(os.urandom(9000))[:4000], b"\xff" * 6000)), "damaged"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "said"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_list_is_one_clear_line_in_bounded_memory(
    tmp_path: Path, make: Callable[[], bytes], said: str
) -> None:
    path = tmp_path / "list"
    path.write_bytes(make())
    tracemalloc.start()
    try:
        problems = [request.problem or "" for request in read(path)]
        told = " ".join(dict.fromkeys(problems))
    except (InputError, SourceReadError) as error:
        told = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert said in told
    assert told.isprintable()
    assert len(told) < 1000
    assert peak < 24 << 20


def test_memory_does_not_grow_with_a_table(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"

    def peak(rows: int) -> int:
        with path.open("w") as file:
            file.write("id,url,note\n")
            file.writelines(f"{number},{H}/{number},some words\n" for number in range(rows))
        tracemalloc.start()
        with open_sources([str(path)], None, reading=reading()) as sources:
            count = sum(len(batch.requests) for batch in sources.batches())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == rows
        return found

    assert peak(20_000) < peak(5_000) + (1 << 20)
