"""The report as Markdown: read back by a parser, as a CI server would."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from fetchpool.model.slot_time import FREE
from fetchpool.reporting.report.markdown import code, render
from fetchpool.reporting.report.texts import shown
from tests.report.making import HOSTILE, account, hostile_dest, make_dest, record, report_of

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def inline(text: str) -> list[tuple[str, str]]:
    """Return kind and content of everything that stands in the paragraphs and cells of *text*."""
    return [
        (child.type, child.content)
        for token in READER.parse(text)
        for child in token.children or ()
        if child.type not in ("softbreak", "strong_open", "strong_close")
    ]


def test_markdown_tells_the_run(tmp_path: Path) -> None:
    records = [record(seq) for seq in range(1, 99)]
    records += [record(99, "https://other.example/a", label="404")]
    records += [record(100, "https://other.example/b", label="dns", detail="no such name")]
    text = render(report_of(make_dest(tmp_path / "run", records, accounts=[account()]), "markdown"))
    assert text.startswith("## ❌ fetchpool: ")
    for line in (
        "| ok | 98 | 98.0 % |",
        "| **failed** | **2** | 2.0 % |",
        "| &emsp;`404` | 1 | 1.0 % |",
        "- `line 99` `https://other.example/a`",
        "**1 × `dns`**: `no such name`",
        "| `other.example` | 2 | 2 | 259 ms | 259 ms |",
        "| hosts at --per-host | 35.0 s | 35 % |",
        "Bound by `waiting for the first byte` 55 %, `example.org at 4 per host` 35 %, "
        f"`{FREE['tail']}` 10 %.",
    ):
        assert line in text.splitlines(), line


def test_run_without_failures_or_without_records_is_short(tmp_path: Path) -> None:
    good = render(report_of(make_dest(tmp_path / "good", [record(1)]), "markdown"))
    assert good.startswith("## ✅")
    assert "What failed" not in good
    assert "Where the time went" not in good
    empty = render(report_of(make_dest(tmp_path / "empty"), "markdown"))
    assert empty.startswith("## ▫️")
    assert "| ok | 0 |  |" in empty


def test_no_text_from_outside_is_obeyed(tmp_path: Path) -> None:
    text = render(report_of(hostile_dest(tmp_path), "markdown"))
    found = inline(text)
    assert {kind for kind, _ in found} == {"text", "code_inline", "html_inline"}
    assert {what for kind, what in found if kind == "html_inline"} == {"<code>", "</code>"}
    kinds = {token.type for token in READER.parse(text)}
    assert "html_block" not in kinds
    assert "fence" not in kinds
    # Each row has as many cells as its table's head.
    for block in text.split("\n\n"):
        rows = block.splitlines()
        if rows[0].startswith("|"):
            cells = READER.render(block)
            assert cells.count("<td") == len(re.findall("<th[ >]", cells)) * (len(rows) - 2)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_is(text: str) -> None:
    table = f"| a | b |\n| --- | --- |\n| {code(text)} | x |"
    found = inline(table)
    assert found[-1] == ("text", "x")
    between = "".join(what for kind, what in found[2:-1] if kind != "html_inline")
    assert between.strip() == shown(text).strip()


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_is_one_cell(text: str) -> None:
    html = READER.render(f"| a | b |\n| --- | --- |\n| {code(text)} | x |")
    assert html.count("<td>") == 2
    assert html.count("<code>") == 1
    assert html.endswith("</code></td>\n<td>x</td>\n</tr>\n</tbody>\n</table>\n")


def test_summary_of_any_run_is_below_a_mebibyte(tmp_path: Path) -> None:
    records = [
        record(seq, f"https://h{seq}.example/{'|' * 3000}", label=label, detail="`" * 3000)
        for seq, label in enumerate(["404", "dns", "tls", "connect", "503"] * 500, 1)
    ]
    dest = make_dest(tmp_path / "run", records, sources=["|" * 3000] * 50)
    assert len(render(report_of(dest, "markdown")).encode()) < 1 << 20
