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
    from fetchpool.model.host_keys import host_key as host_key
    from fetchpool.model.shards import Shard as Shard
    from fetchpool.model.values import Failure as Failure
    from fetchpool.model.values import FailureKind as FailureKind
    from fetchpool.model.values import Outcome as Outcome
    from fetchpool.model.values import Request as Request
    from fetchpool.pipeline.batch_kinds import partition_schema as partition_schema
    from fetchpool.pipeline.outcomes import Outcomes as Outcomes
    from fetchpool.pipeline.partition import fetch_partition as fetch_partition
    from fetchpool.pipeline.pool import FetchPool as FetchPool
    from fetchpool.reporting.stats import Summary as Summary
    from fetchpool.run.ray_executor import RayExecutor as RayExecutor
    from fetchpool.run.runner import run as run
    from fetchpool.run.shards import ShardResult as ShardResult
    from fetchpool.run.shards import ShardsSummary as ShardsSummary
    from fetchpool.run.shards import run_shards as run_shards

__version__ = "0.1.0"

_HOMES = {
    "Config": "fetchpool.config",
    "ConfigError": "fetchpool.config",
    "Failure": "fetchpool.model.values",
    "FailureKind": "fetchpool.model.values",
    "FetchPool": "fetchpool.pipeline.pool",
    "Outcome": "fetchpool.model.values",
    "Outcomes": "fetchpool.pipeline.outcomes",
    "RayExecutor": "fetchpool.run.ray_executor",
    "Request": "fetchpool.model.values",
    "Shard": "fetchpool.model.shards",
    "ShardResult": "fetchpool.run.shards",
    "ShardsSummary": "fetchpool.run.shards",
    "Summary": "fetchpool.reporting.stats",
    "fetch_partition": "fetchpool.pipeline.partition",
    "host_key": "fetchpool.model.host_keys",
    "partition_schema": "fetchpool.pipeline.batch_kinds",
    "run": "fetchpool.run.runner",
    "run_shards": "fetchpool.run.shards",
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
