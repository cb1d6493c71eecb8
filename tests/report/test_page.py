"""The page: what stands in it, that it stays small, and that no text in it is obeyed."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fetchpool.model.slot_time import HostTime
from fetchpool.output.ledger import encode
from fetchpool.reporting.report.charts import as_json
from fetchpool.reporting.report.html import MOST_BYTES, UPLOT, UPLOT_VERSION, asset, render
from fetchpool.reporting.report.texts import shown
from tests.report.making import HOSTILE, account, hostile_dest, make_dest, record, report_of

VOID = {"meta", "rect", "br"}


class Reader(HTMLParser):
    """Reads a page: its elements, its attributes, the text of each element by its id."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"style": [], "script": []}
        self.unbalanced: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] = self.elements.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.raw:
            self.raw[self.open[-1]].append(data)
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All that is to be read."""
        return "".join(self.texts)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(report_of(hostile_dest(tmp_path_factory.mktemp("hostile"))))


def page_of(dest: Path) -> str:
    return render(report_of(dest))


# -- what stands in it


def test_page_tells_the_whole_run(tmp_path: Path) -> None:
    records = [record(seq) for seq in range(1, 99)]
    records += [record(99, "https://other.example/a", label="404", attempts=3)]
    records += [record(100, "https://other.example/b", label="dns", detail="no such name")]
    page = Reader(page_of(make_dest(tmp_path / "run", records, accounts=[account()])))
    assert not page.unbalanced
    assert not page.open
    for text in (
        *("finished", "urls.txt", "2027-01-15 08:00:00 UTC", "98.0 %", "404", "other.example"),
        *("line 99", "https://other.example/b", "no such name", "hosts at --per-host", "35 %"),
        *("25 % of the time", "--limit", "waiting for the first byte", "9 full, 3 resumed"),
        *("example.org at 4 per host 35 %", "--per-host 8: more at once, up to 18 % less time"),
    ):
        assert text in page.text, text
    charts = json.loads(page.raw["script"][0])
    assert [c["id"] for c in charts] == ["speed", "running", "received", "took", "latency", "slots"]
    for chart in charts:
        assert {len(series["data"]) for series in chart["series"]} == {len(chart["x"])}
        assert chart["x"] == sorted(set(chart["x"]))


def test_run_without_an_account_says_so_and_has_no_chart_of_it(tmp_path: Path) -> None:
    page = Reader(page_of(make_dest(tmp_path / "run", [record(1)])))
    assert "There is no account of this run’s slots" in page.text
    assert "slots" not in [chart["id"] for chart in json.loads(page.raw["script"][0])]
    assert "waited for" not in page.text


def test_directory_without_records_has_a_page(tmp_path: Path) -> None:
    page = Reader(page_of(make_dest(tmp_path / "run")))
    assert json.loads(page.raw["script"][0]) == []
    assert "finished" in page.text
    assert not page.unbalanced


def test_lines_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    dest = make_dest(tmp_path / "run", [record(1)], damage=b"\0\0\n[]\n" + encode(record(2))[:30])
    assert "2 lines of results.jsonl can’t be read" in Reader(page_of(dest)).text


def test_changes_since_the_run_before_are_listed(tmp_path: Path) -> None:
    records = [
        record(seq, f"https://example.org/{change}-{seq}", change=change)
        for seq, change in enumerate(["new", "changed", "same", "gone"] * 60, 1)
    ]
    left = [record(seq, f"https://example.org/left-{seq}") for seq in range(1, 4)]
    text = Reader(page_of(make_dest(tmp_path / "run", records, left=left))).text
    for url in ("new-1", "changed-2", "gone-4", "left-3"):
        assert f"https://example.org/{url}" in text
    assert "same-3" not in text
    assert "no more in the list3" in text


def test_short_times_and_small_shares_are_text(tmp_path: Path) -> None:
    records = [record(seq, elapsed_s=0.0001) for seq in range(1, 3000)]
    page = page_of(make_dest(tmp_path / "run", [*records, record(3000, label="404")]))
    text = Reader(page).text
    assert "<1 ms" in text
    assert "<0.1 %" in text
    assert not re.search("<[0-9]|>>", page.partition("<script")[0])


def test_host_that_the_run_waited_for_says_how_long(tmp_path: Path) -> None:
    hosts = [HostTime("example.org", 1.0, {"per_host": 90.0, "paused": 30.0})]
    page = page_of(make_dest(tmp_path / "run", [record(1)], accounts=[account(hosts=hosts)]))
    assert 'data-v="120">2 min 00 s</td>' in page


# -- how large it is


def test_page_of_many_hosts_and_long_names_is_small(tmp_path: Path) -> None:
    long = "&\"'<>\x1b" * 200
    failing = ("404", "timeout", "dns", "connect", "503", "tls")
    records = [
        record(
            seq,
            f"https://{seq:06}.{'sub.' * 40}example.org/{long}",
            label=failing[seq % 6] if seq % 3 else None,
            detail=long,
            elapsed_s=0.001 * (seq % 5000 + 1),
            change=("new", "changed", "gone")[seq % 3],
        )
        for seq in range(1, 4001)
    ]
    dest = make_dest(tmp_path / "run", records, accounts=[account()] * 20, sources=[long] * 30)
    with (dest / "results.jsonl").open("ab") as ledger:
        for start in range(4001, 100_000, 1000):
            ledger.write(
                b"".join(
                    b'{"seq":%d,"url":"https://h%d.example/","ok":false,"status":null,"error":"k%d",'
                    b'"bytes":1,"wire_bytes":1,"started_at":"2027-01-%02dT08:00:00.000Z",'
                    b'"elapsed_s":0.5}\n' % (seq, seq, seq % 200, seq % 28 + 1)
                    for seq in range(start, start + 1000)
                )
            )
    page = page_of(dest).encode()
    assert len(page) < MOST_BYTES
    assert "more hosts" in page.decode()
    assert "more reasons" in page.decode() or page.count(b"<details") > 20


def test_library_is_the_one_that_was_published() -> None:
    for name, digest in UPLOT.items():
        assert hashlib.sha256(asset(name).encode()).hexdigest() == digest, name
    assert f"(v{UPLOT_VERSION})" in asset("uPlot.iife.min.js")[:80]
    assert "Permission is hereby granted" in asset("LICENSE-uPlot")


# -- what it obeys


def test_policy_allows_our_style_and_script_and_nothing_else(hostile: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', hostile)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    page = Reader(hostile)
    (style,), (_, script) = page.raw["style"], page.raw["script"]
    for kind, text in (("style-src", style), ("script-src", script)):
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules.pop(kind) == f"'sha256-{digest}'"
    assert rules == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}


def test_no_text_from_outside_becomes_markup(hostile: str, tmp_path: Path) -> None:
    page = Reader(hostile)
    plain = Reader(page_of(make_dest(tmp_path / "run", [record(1)], accounts=[account()])))
    assert not page.unbalanced
    assert not page.open
    assert page.elements.keys() - plain.elements.keys() <= {"ul", "li", "span"}
    assert page.elements["script"] == 2
    assert page.attributes - plain.attributes <= {"open"}
    assert all(link.startswith("#") for link in page.links)
    for text in HOSTILE:
        assert shown(text) in page.text, text


def test_no_character_of_a_text_commands_anything(hostile: str) -> None:
    assert [char for char in Reader(hostile).text if not char.isprintable() and char != "\n"] == []


def test_numbers_of_charts_cannot_end_their_element() -> None:
    assert as_json([{"label": "</script><!--&"}]) == (
        '[{"label":"\\u003c/script\\u003e\\u003c!--\\u0026"}]'
    )


def test_page_names_nothing_to_be_fetched() -> None:
    for name in ("page.css", "page.js", "uPlot.min.css"):
        assert not re.search(r"@import|url\(|https?:|fetch\(|import\(", asset(name)), name
