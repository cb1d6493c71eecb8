"""Which shards a run takes: `3/64`, several as one run, or what the scheduler says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from fetchpool.config.values import Kind, Unfit, quoted
from fetchpool.model.shards import MOST_SHARDS, Shard

AUTO = "auto"

_WRITTEN = re.compile(r"([0-9]{1,6}(?:,[0-9]{1,6})*)/([0-9]{1,6})")
_AUTO = re.compile(r"auto(?:/([0-9]{1,6}))?")

ENGINES = (
    ("JOB_COMPLETION_INDEX", None),  # Kubernetes, which doesn't say of how many
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
    ("BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
)
"""Variables in which schedulers say which task this is, and of how many."""


class Shards(Kind):
    """`I/N`, `I,I,…/N`, `auto` or `auto/N`; numbers from 0 to N-1."""

    accepts = "I/N with I from 0 to N-1, several as 3,19,35/64, auto or auto/64"
    metavar = "I/N"

    def check(self, value: object) -> tuple[Shard, ...]:
        """Return the shards in order, each once; a text, a `Shard` or several are accepted.

        `auto` is looked up in the environment here: what is kept names shards.
        """
        if isinstance(value, str):
            shards = self._read(value.strip().lower())
        elif isinstance(value, Shard):
            shards = [value]
        elif isinstance(value, Sequence) and all(isinstance(each, Shard) for each in value):
            shards = list(value)
        else:
            raise self.unfit(value)
        for each in shards:
            if not (type(each.index) is type(each.count) is int):
                raise self.unfit(str(each))
            if not 0 <= each.index < each.count:
                raise Unfit(
                    f"takes I from 0 to N-1, not {each}", "the first of 64 is 0/64, the last 63/64"
                )
        if len({each.count for each in shards}) > 1:
            raise Unfit("takes shards of one N", "give all of them the same")
        if shards and shards[0].count > MOST_SHARDS:
            raise Unfit(f"takes N up to {MOST_SHARDS:,}", "hundreds do for any list")
        return tuple(sorted(set(shards)))

    def _read(self, text: str) -> list[Shard]:
        if (found := _AUTO.fullmatch(text)) is not None:
            return [shard_here(os.environ, int(found[1]) if found[1] else None)]
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise self.unfit(text)
        return [Shard(int(index), int(found[2])) for index in found[1].split(",")]

    def show(self, value: tuple[Shard, ...]) -> str:
        return f"{','.join(str(each.index) for each in value)}/{value[0].count}"


def shard_here(environ: Mapping[str, str], count: int | None = None) -> Shard:
    """Return which shard *environ*, set by a scheduler, says this task is; *count* is N, if given.

    Raises `Unfit` where it says nothing, not all, or something else than *count*.
    """
    found = [each for each in ENGINES if each[0] in environ]
    if not found:
        raise Unfit(
            "auto finds no task's number in the environment", "give it as I/N, such as 3/64"
        )
    index_name, count_name = found[0]
    index = _number(environ, index_name)
    total = count
    if count_name is not None and (count_name in environ or count is None):
        total = _number(environ, count_name)
    if total is None:
        raise Unfit(f"auto can't tell of how many {index_name} is one", "add N, as in auto/64")
    if index_name.startswith("SLURM"):
        index = _place_in_array(environ, index, total)
    if count is not None and count != total:
        raise Unfit(
            f"auto/{count} is one of {total} tasks by {count_name}",
            f"start {count} tasks, or give those that are to run again as I/{count}",
        )
    if index >= total:
        raise Unfit(
            f"auto is number {index} by {index_name}, beyond {total - 1}, the last of {total}",
            f"start {total} tasks, numbered from 0",
        )
    return Shard(index, total)


def _place_in_array(environ: Mapping[str, str], number: int, count: int) -> int:
    """Return the place, from 0, of task *number* in SLURM's array of *count* tasks.

    Raises `Unfit` for an array with gaps, of which the places can't be told.
    """
    names = ("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX")
    first, last = (_number(environ, name) for name in names)
    step = max(1, _number(environ, "SLURM_ARRAY_TASK_STEP", 1))
    place, odd = divmod(number - first, step)
    if odd or place < 0 or (last - first) // step + 1 != count:
        raise Unfit(
            "auto can't tell a task's place in an array with gaps",
            f"begin it as --array=0-{count - 1}, or give --shard I/N",
        )
    return place


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, "").strip()
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Unfit(f"auto needs a number in {name}, not {quoted(text)}", "give --shard I/N")
    return int(text)
