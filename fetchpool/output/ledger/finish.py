"""How a run came to its end: when how much was done, and which URLs were the last."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from fetchpool.model.urls import InvalidURLError, parse_url
from fetchpool.output.ledger.entries import Entry, read_blocks

LAST_AT_MOST = 1000
"""Records that count as the last ones: a hundredth of all, and no more than that."""

POINTS = 4096
"""Moments kept of a long ledger, of which each says when so many records were there."""

SHARES = (0.5, 0.9, 0.99)


class _Attempts(msgspec.Struct, frozen=True, gc=False):
    attempts: int = 0


class LastURL(msgspec.Struct, frozen=True):
    """One of the last URLs that ended."""

    url: str
    ended_s: float
    """Seconds after the command began."""
    elapsed_s: float
    """From its first attempt's start to its end."""
    attempts: int


class Finish(msgspec.Struct, frozen=True):
    """The end of a command's requests."""

    urls: int
    """With a record of this command that were asked for."""
    done_s: dict[float, float]
    """By a share of *urls*, seconds after the command began; 1 = all of them."""
    last: int
    """How many count as the last ones."""
    hosts: list[tuple[str, int]]
    """Hosts of these, the most frequent first, at most five."""
    slowest: LastURL
    """The URL that ended last."""


_decode = msgspec.json.Decoder(_Attempts).decode


def read_finish(ledger: Path, began_at: float) -> Finish | None:
    """Return how the command that began then, in seconds since the epoch, came to its end.

    None if no URL ended since. Records stand in *ledger* in the order in which they ended. Takes
    flat memory. Raises OSError.
    """
    count, every = 0, 1
    points: list[float] = []
    last: deque[tuple[float, Entry, bytes]] = deque(maxlen=LAST_AT_MOST)
    for block in read_blocks(ledger):
        for entry, line in zip(block.entries, block.lines(), strict=True):
            if entry is None or entry.started_at is None:
                continue
            started = _epoch(entry.started_at)
            if started is None or started < began_at - 1e-3:
                continue
            ended_s = started + entry.elapsed_s - began_at
            if count % every == 0:
                points.append(ended_s)
                if len(points) >= POINTS:
                    del points[1::2]
                    every *= 2
            count += 1
            last.append((ended_s, entry, line))
    if not count:
        return None
    ending = list(last)[-max(1, count // 100) :]
    ended_s, entry, line = max(ending, key=lambda each: each[0])
    hosts = Counter(_host_of(each.url) for _, each, _ in ending)
    done = {share: points[min(len(points) - 1, int(count * share / every))] for share in SHARES}
    return Finish(
        urls=count,
        done_s={**done, 1.0: ended_s},
        last=len(ending),
        hosts=hosts.most_common(5),
        slowest=LastURL(entry.url, ended_s, entry.elapsed_s, _attempts(line)),
    )


def _attempts(line: bytes) -> int:
    with suppress(msgspec.DecodeError):
        return _decode(line).attempts
    return 0


def _epoch(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _host_of(url: str) -> str:
    try:
        return parse_url(url).host_key
    except InvalidURLError:
        return url
