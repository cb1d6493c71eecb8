"""Which URLs of a list are tried."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fetchpool.config import Config
from fetchpool.model.values import Outcome, Request
from fetchpool.scheduling.job import target_of
from fetchpool.sources import Sources

READ_AT_MOST = 1_000_000
"""Requests of a list that are looked at; of a plain file these are spread over all of it."""

_SHARE = 0.05
"""How much of a plain file is read; a megabyte at least."""


def sample_of(lists: Sources, config: Config, count: int) -> list[Request]:
    """Return up to *count* requests of *lists* that may be made for trial, in a random order.

    That are plain GETs of URLs with a host; each as likely as another, always the same ones. Raises
    what `Sources.batches` does.
    """
    draw = random.Random(0)  # noqa: S311 - the same list gets the same sample
    chosen: list[Request] = []
    seen = 0
    if config.ask.method not in ("GET", "HEAD"):
        return []
    for batch, _ in lists.sampled(_SHARE):
        for request in batch.requests:
            if request.is_sitemap or not _is_harmless(request):
                continue
            seen += 1
            if len(chosen) < count:
                chosen.append(request)
            elif (place := draw.randrange(seen)) < count:
                chosen[place] = request
        if seen >= READ_AT_MOST:
            break
    draw.shuffle(chosen)
    return chosen


def _is_harmless(request: Request) -> bool:
    """Tell whether making it changes nothing at its host, and whether it is one at all."""
    is_plain = request.method in ("GET", "HEAD") and request.body is None
    return is_plain and not isinstance(target_of(request), Outcome)


def hosts_of(requests: Sequence[Request]) -> set[str]:
    """Return the keys of the hosts that *requests* are to."""
    targets = (target_of(request) for request in requests)
    return {target.host_key for target in targets if not isinstance(target, Outcome)}
