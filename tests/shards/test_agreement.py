"""`_shards.json`: of many that begin at once one is first, and all others agree or are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fetchpool.output.ledger.errors import CannotGoOnError, OutputError
from fetchpool.output.ledger.layout import SHARDS, Layout
from fetchpool.output.shards import agreement
from fetchpool.output.shards.agreement import Agreement, ListedSource, digest_of

LIST = ListedSource("urls.txt", 100)
AGREED = Agreement(4, "split 1 by host", 1, (LIST,), digest_of([LIST]), {}, {"--per-host": "10"})


def without_links(*args: Any, **options: Any) -> None:
    raise PermissionError(1, "no links here")


@pytest.mark.parametrize("links", [True, False])
def test_of_many_at_once_one_is_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", without_links)

    def begin(number: int) -> int | None:
        try:
            agreement.check(Layout(tmp_path / "out"), replace(AGREED, shards=number % 4 + 1))
        except CannotGoOnError:
            return None
        return number % 4 + 1

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(begin, range(64)))
    there = agreement.read(tmp_path / "out" / SHARDS)
    assert there is not None
    assert {each for each in found if each is not None} == {there.shards}
    assert found.count(None) == 48
    assert [path.name for path in (tmp_path / "out").iterdir()] == [SHARDS]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (lambda: replace(AGREED, shards=5), "N is 4; this command has 5"),
        (lambda: replace(AGREED, rules="split 2"), "the rule is split 1 by host; "),
        (
            lambda: replace(AGREED, first_lists=(ListedSource("urls.txt", 1234),)),
            "the list is urls.txt of 100 bytes; this command has urls.txt of 1,234 bytes",
        ),
        (lambda: replace(AGREED, lists=3), "the list is urls.txt of 100 bytes; "),
        (lambda: replace(AGREED, digest="other"), "the digest of all lists is "),
        (lambda: replace(AGREED, reading={"--base": "x"}), "--base is not given; "),
        (lambda: replace(AGREED, limits={}), "--per-host is 10; this command has not given"),
    ],
)
def test_what_differs_is_told(tmp_path: Path, changed: Callable[[], Agreement], told: str) -> None:
    layout = Layout(tmp_path / "out")
    agreement.check(layout, AGREED)
    agreement.check(layout, AGREED)
    with pytest.raises(CannotGoOnError) as refused:
        agreement.check(layout, changed())
    assert told in str(refused.value)
    with pytest.raises(CannotGoOnError):
        agreement.check(layout, changed(), only_look=True)


def test_what_can_not_be_understood_is_told(tmp_path: Path) -> None:
    (tmp_path / SHARDS).write_text('{"shards":"many"}\n')
    with pytest.raises(OutputError, match="none that this version understands"):
        agreement.check(Layout(tmp_path), AGREED)


def test_order_of_lists_is_part_of_it() -> None:
    other = ListedSource("b.txt", 1)
    assert digest_of([LIST, other]) != digest_of([other, LIST])
