"""Which shards a run takes: what may be written, and what schedulers' variables mean."""

from __future__ import annotations

from typing import Any

import pytest

from fetchpool.config import Config, ConfigError, load_settings
from fetchpool.config.shard_values import ENGINES, Shards, shard_here
from fetchpool.config.values import Unfit
from fetchpool.model.shards import Shard


def make(**settings: Any) -> Config:
    """Make a Config as a program without types would."""
    return Config(**settings)


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (name for pair in ENGINES for name in pair if name is not None):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "indexes", "count"),
    [
        ("3/64", [3], 64),
        ("0/1", [0], 1),
        (" 35,3,19,3/64 ", [3, 19, 35], 64),
        (Shard(3, 64), [3], 64),
        ([Shard(5, 8), Shard(2, 8)], [2, 5], 8),
        ("99999/100000", [99_999], 100_000),
    ],
)
def test_shards_may_be_written_so(given: object, indexes: list[int], count: int) -> None:
    config = make(shard=given)
    assert config.shard == tuple(Shard(index, count) for index in indexes)
    shown = Shards().show(config.shard)
    assert make(shard=shown).shard == config.shard


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("64/64", "the first of 64 is 0/64, the last 63/64"),
        ("0/0", "takes I from 0 to N-1"),
        ("3", "takes I/N"),
        ("-1/4", "takes I/N"),
        ("1/4,2/4", "takes I/N"),
        ("1//4", "takes I/N"),
        ("1/200000", "takes N up to 100,000"),
        (3, "takes I/N"),
        (Shard(4, 4), "takes I from 0 to N-1"),
        (Shard("1", 4), "takes I/N"),  # type: ignore[arg-type]
        ([Shard(1, 4), Shard(2, 5)], "takes shards of one N"),
        ("auto", "auto finds no task's number in the environment"),
    ],
)
def test_what_names_no_shard_is_refused(given: object, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(shard=given)
    assert why in str(caught.value)
    assert "shard (--shard)" in str(caught.value)


def slurm(number: int, first: int, last: int, step: int, count: int) -> dict[str, str]:
    names = ("ID", "MIN", "MAX", "STEP", "COUNT")
    values = (number, first, last, step, count)
    return {f"SLURM_ARRAY_TASK_{n}": str(v) for n, v in zip(names, values, strict=True)}


@pytest.mark.parametrize(
    ("environ", "count", "shard"),
    [
        ({"JOB_COMPLETION_INDEX": "3"}, 64, "3/64"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "3", "AWS_BATCH_JOB_ARRAY_SIZE": "64"}, None, "3/64"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "3"}, 64, "3/64"),
        ({"CLOUD_RUN_TASK_INDEX": "0", "CLOUD_RUN_TASK_COUNT": "8"}, 8, "0/8"),
        ({"BATCH_TASK_INDEX": "7", "BATCH_TASK_COUNT": "8"}, None, "7/8"),
        (slurm(3, 0, 63, 1, 64), None, "3/64"),
        (slurm(1, 1, 64, 1, 64), None, "0/64"),
        (slurm(64, 1, 64, 1, 64), 64, "63/64"),
        (slurm(30, 10, 50, 10, 5), None, "2/5"),
        (slurm(31, 10, 34, 7, 4), 4, "3/4"),
    ],
)
def test_scheduler_says_which_shard_it_is(
    environ: dict[str, str], count: int | None, shard: str
) -> None:
    assert str(shard_here(environ, count)) == shard


@pytest.mark.parametrize(
    ("environ", "count", "why"),
    [
        ({}, 64, "finds no task's number"),
        ({"JOB_COMPLETION_INDEX": "3"}, None, "can't tell of how many JOB_COMPLETION_INDEX is one"),
        ({"JOB_COMPLETION_INDEX": "64"}, 64, "is number 64 by JOB_COMPLETION_INDEX, beyond 63"),
        ({"JOB_COMPLETION_INDEX": ""}, 64, "needs a number in JOB_COMPLETION_INDEX"),
        ({"JOB_COMPLETION_INDEX": "-1"}, 64, "needs a number in JOB_COMPLETION_INDEX"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "3"}, None, "needs a number in AWS_BATCH_JOB_ARRAY_SIZE"),
        (
            {"CLOUD_RUN_TASK_INDEX": "3", "CLOUD_RUN_TASK_COUNT": "8"},
            64,
            "auto/64 is one of 8 tasks by CLOUD_RUN_TASK_COUNT",
        ),
        (slurm(5, 3, 9, 1, 3), None, "can't tell a task's place in an array with gaps"),
        (slurm(3, 3, 5, 1, 3), 64, "auto/64 is one of 3 tasks"),
    ],
)
def test_what_a_scheduler_leaves_open_is_refused(
    environ: dict[str, str], count: int | None, why: str
) -> None:
    with pytest.raises(Unfit, match="auto") as caught:
        shard_here(environ, count)
    assert why in caught.value.problem


def test_auto_is_what_it_was_where_the_config_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "5")
    settings = load_settings({"shard": "auto/8"}, {}, file="")
    assert settings.config.shard == (Shard(5, 8),)
    assert not load_settings({}, {}, file="").config.shard, "never without the word"


def test_failed_urls_fail_no_shard_unless_that_is_asked_for() -> None:
    assert make().fails(1, 10)
    assert not make(shard="0/2").fails(10, 10)
    assert make(shard="0/2", fail_if="errors>0").fails(1, 10)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"fresh": True}, "--shard can't be combined with --fresh"),
        ({"add": True}, "--shard can't be combined with --add"),
        ({"refresh": True}, "--shard can't be combined with --refresh"),
        ({"save_cookies": "c.txt"}, "--shard can't be combined with --save-cookies"),
    ],
)
def test_what_shards_can_not_do_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        make(shard="0/2", **settings)


def test_records_of_several_shards_are_merged_and_not_written_by_each() -> None:
    assert make(shard="0/2", records="r.jsonl").shard
    with pytest.raises(ConfigError, match="fetchpool merge DEST --records FILE"):
        make(shard="0,1/2", records="r.jsonl")
