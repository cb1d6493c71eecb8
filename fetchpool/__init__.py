"""fetchpool: a list of URLs goes in, one honest outcome per line comes out.

async with fetchpool.FetchPool(fetchpool.Config(limit=50)) as pool:
    async for outcome in pool.fetch(urls):
        print(outcome.request.url, outcome.ok)

summary = fetchpool.run(fetchpool.Config(), sources=["urls.txt"], output="pages")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fetchpool.config import Config as Config
    from fetchpool.config import ConfigError as ConfigError
    from fetchpool.models import Failure as Failure
    from fetchpool.models import FailureKind as FailureKind
    from fetchpool.models import Outcome as Outcome
    from fetchpool.models import Request as Request
    from fetchpool.outcomes import Outcomes as Outcomes
    from fetchpool.pool import FetchPool as FetchPool
    from fetchpool.runner.runner import run as run
    from fetchpool.stats import Summary as Summary

__version__ = "0.1.0"

_HOMES = {
    "Config": "fetchpool.config",
    "ConfigError": "fetchpool.config",
    "Failure": "fetchpool.models",
    "FailureKind": "fetchpool.models",
    "FetchPool": "fetchpool.pool",
    "Outcome": "fetchpool.models",
    "Outcomes": "fetchpool.outcomes",
    "Request": "fetchpool.models",
    "Summary": "fetchpool.stats",
    "run": "fetchpool.runner.runner",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `fetchpool --help` doesn't pay for aiohttp."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'fetchpool' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
