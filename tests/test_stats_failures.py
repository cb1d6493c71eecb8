"""`FailureTable`: exact counts by reason, and a sample that doesn't grow with the list."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.values import FailureKind
from fetchpool.reporting.stats import (
    FailedLine,
    FailureTable,
    another_try_may_help,
    failure_label,
    failure_reason,
)
from fetchpool.reporting.stats.failures import share_out


def line(seq: int, reason: str | None = None) -> FailedLine:
    return FailedLine(seq, f"line {seq}", f"http://h/{seq}", reason)


def table_of(failures: Sequence[tuple[str, str | None]], limit: int) -> FailureTable:
    """Return a table of *failures*, labels and reasons, on lines 1, 2, 3 …"""
    table = FailureTable(limit)
    for seq, (label, reason) in enumerate(failures, 1):
        table.add(label, reason, seq, partial(line, seq, reason))
    return table


@given(
    st.lists(st.sampled_from("abcde"), max_size=300),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
def test_sample_is_what_one_with_all_lines_in_memory_would_choose(
    labels: list[str], limit: int, random: object
) -> None:
    order = list(enumerate(labels, 1))
    random.shuffle(order)  # type: ignore[attr-defined]
    table = FailureTable(limit)
    made = 0

    def make(seq: int) -> FailedLine:
        nonlocal made
        made += 1
        return line(seq)

    for seq, label in order:
        table.add(label, None, seq, partial(make, seq))
    lines = sorted((label, seq) for seq, label in order)
    expected = {label: [s for _, s in rows] for label, rows in groupby(lines, lambda row: row[0])}
    groups = table.groups()
    assert {group.label: group.count for group in groups} == {
        label: len(rows) for label, rows in expected.items()
    }
    assert [group.count for group in groups] == sorted((g.count for g in groups), reverse=True)
    assert sum(group.listed for group in groups) == min(limit, len(labels))
    for group in groups:
        listed = [each.seq for each in group.lines]
        assert listed == expected[group.label][: group.listed]
    if not limit:
        assert made == 0


def test_sample_stays_small_however_many_fail() -> None:
    table = table_of([(str(400 + seq % 9), None) for seq in range(20_000)], 20)
    assert sum(len(group.lines) for group in table._groups.values()) <= 2 * 20 + 2 * 9


@given(st.lists(st.integers(0, 50), max_size=9), st.integers(0, 60))
def test_shares_are_as_even_as_the_counts_allow(counts: list[int], limit: int) -> None:
    parts = share_out(counts, limit)
    assert sum(parts) == min(limit, sum(counts))
    assert all(part <= count for part, count in zip(parts, counts, strict=True))
    cut = [part for part, count in zip(parts, counts, strict=True) if part < count]
    assert not cut or max(parts) <= min(cut) + 1


def test_reasons_that_differ_in_numbers_and_names_are_one_group() -> None:
    groups = table_of(
        [("truncated", "10 of 20 bytes"), ("truncated", "7 of 31 bytes"), ("dns", "no 'a.b'")], 9
    ).groups()
    assert [(group.label, group.reason, group.count) for group in groups] == [
        ("truncated", None, 2),
        ("dns", "no 'a.b'", 1),
    ]
    assert [each.reason for each in groups[0].lines] == ["10 of 20 bytes", "7 of 31 bytes"]


def test_reasons_without_end_are_few_groups() -> None:
    failures = [("protocol", "".join(chr(97 + int(d)) for d in str(n))) for n in range(500)]
    table = table_of(failures, 20)
    groups = table.groups()
    assert len(groups) == 9
    assert sum(group.count for group in groups) == 500
    assert groups[0].reason is None
    assert {table.index_of(*failure) for failure in failures} == set(range(9))


@pytest.mark.parametrize(
    ("error", "status", "detail", "label", "reason"),
    [
        (FailureKind.STATUS, 404, "HTTP status 404; redirected", "404", None),
        (FailureKind.STATUS, None, "given up: 503 for long", "given up", "503 for long"),
        (FailureKind.TIMEOUT, None, "no byte for 30 s", "timeout", "no byte for 30 s"),
        ("timeout", 200, None, "timeout", None),
        ("input", None, "no scheme: https://h/", "input", "no scheme"),
        ("input", None, None, "input", None),
    ],
)
def test_reason_says_what_the_label_does_not(
    error: str, status: int | None, detail: str | None, label: str, reason: str | None
) -> None:
    assert failure_label(error, status) == label
    assert failure_reason(error, status, detail) == reason


@pytest.mark.parametrize(
    ("labels", "may_help"),
    [
        ([], False),
        (["input"], False),
        (["input", "blocked", "too_big", "internal"], False),
        (["input", "404"], True),
        (["given up"], True),
        (["timeout"], True),
    ],
)
def test_another_try_is_no_use_for_what_is_wrong_with_the_line(
    labels: list[str], may_help: bool
) -> None:
    assert another_try_may_help(labels) == may_help
