"""The page in a real browser: it asks for nothing, complains of nothing, and can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchpool.reporting.report.html import render
from tests.browser import Browser, needs_browser
from tests.report.making import account, hostile_dest, make_dest, record, report_of

pytestmark = needs_browser

CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const back = light(parse(getComputedStyle(document.body).backgroundColor));
  return Math.min(...["body", ".faint", "a", "th", ".tiles dt"].map((what) => {
    const text = light(parse(getComputedStyle(document.querySelector(what)).color));
    return (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
  }));
})()
"""
"""How well texts stand out from the page: 4.5 is what WCAG 2.2 (1.4.3) asks for."""

DRAWN = """
[...document.querySelectorAll("canvas")].map((canvas) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(data.buffer)).size;
})
"""
"""How many colours each chart has."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    records = [
        record(
            seq,
            f"https://h{seq % 7}.example.org/{seq}",
            label="404" if seq % 9 == 0 else None,
            elapsed_s=0.01 * (seq % 50 + 1),
        )
        for seq in range(1, 400)
    ]
    path = root / "report.html"
    path.write_text(render(report_of(make_dest(root / "run", records, accounts=[account()]))))
    return path


async def test_page_is_read_on_any_screen(page: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.html"
    hostile.write_text(render(report_of(hostile_dest(tmp_path))))
    async with Browser(tmp_path / "browser") as browser:
        for width, dark in ((1280, False), (390, True)):
            async with browser.page(page, width=width, dark=dark) as tab:
                assert await tab.evaluate("document.documentElement.scrollWidth") <= width
                assert await tab.evaluate(CONTRAST) >= 4.5
                colours = await tab.evaluate(DRAWN)
                assert len(colours) == 6
                assert min(colours) > 3, colours
                lightness = await tab.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (lightness == "rgb(255, 255, 255)") != dark
                assert tab.requests == [page.as_uri()]
                assert tab.complaints == []

        async with browser.page(page) as tab:
            first = "document.querySelector('table.sortable tbody tr td').textContent"
            column = "document.querySelectorAll('table.sortable th button')"
            assert await tab.evaluate(first) == "h2.example.org"
            await tab.evaluate(f"{column}[0].click()")
            assert await tab.evaluate(first) == "h0.example.org"
            await tab.evaluate(f"{column}[0].click()")
            assert await tab.evaluate(first) == "h6.example.org"
            await tab.evaluate(f"{column}[3].click()")
            rows = "[...document.querySelectorAll('table.sortable tbody tr')]"
            counts = await tab.evaluate(f"{rows}.map((row) => Number(row.cells[3].dataset.v))")
            assert counts == sorted(counts, reverse=True)
            assert tab.complaints == []

        async with browser.page(page, scripts=False) as tab:
            assert await tab.evaluate("document.querySelectorAll('canvas').length") == 0
            text = await tab.evaluate("document.body.innerText")
            for said in ("Charts need JavaScript", "h2.example.org", "hosts at --per-host", "404"):
                assert said in text
            assert tab.complaints == []

        async with browser.page(hostile) as tab:
            assert await tab.evaluate("document.querySelectorAll('canvas').length") >= 5
            assert await tab.evaluate("document.scripts.length") == 2
            assert (
                await tab.evaluate("document.querySelectorAll('img, b, a[href^=java]').length") == 0
            )
            assert await tab.evaluate("document.documentElement.scrollWidth") <= 1280
            assert tab.requests == [hostile.as_uri()]
            assert tab.complaints == []


async def test_policy_stops_what_would_have_come_through(page: Path, tmp_path: Path) -> None:
    """The policy is the second wall: a browser keeps to it where the first one had a hole."""
    holed = tmp_path / "holed.html"
    attack = "<img src='http://127.0.0.1:1/x'><script>document.title = 'owned'</script>"
    text = page.read_text()
    holed.write_text(text.replace("<main>", f"<main>{attack}", 1))
    async with Browser(tmp_path / "browser") as browser, browser.page(holed) as tab:
        assert await tab.evaluate("document.title") != "owned"
        assert len(tab.requests) - tab.blocked == 1
        said = "\n".join(tab.complaints)
        assert "img-src" in said
        assert "script-src" in said
