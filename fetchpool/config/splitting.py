"""How the settings divide a list among shards: by host where limits ask for it, else by URL."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from fetchpool.config.host_rules import REMEMBERED, ConfigAt
from fetchpool.model.split import SPLIT, Split

if TYPE_CHECKING:
    from fetchpool.config.settings import Config


def rules_of(config: Config) -> str:
    """Return what decides whose line is whose, as a text to be compared."""
    split = split_of(config)
    if split is None:
        return ""
    if split.divides_by_host:
        return f"split {SPLIT} by {'site' if config.keeps_cookies else 'host'}"
    return f"split {SPLIT} by URL where hosts have no limit: {limits_of(config)}"


def limits_of(config: Config) -> dict[str, str]:
    """Return the limits that hold over all shards, by their options, for a person."""
    limits = {
        "--per-host": str(config.per_host),
        "--host-rate": f"{config.host_rate:g}",
        "--rate": f"{config.rate:g}",
    }
    for table in sorted(config.host.tables, key=lambda table: table.pattern):
        for name in ("per_host", "host_rate", "robots"):
            if name in table.values:
                limits[f"{name.replace('_', '-')} of {table}"] = str(table.values[name])
    return limits


def split_of(config: Config) -> Split | None:
    """Return which lines and hosts are those of the run; None where all are.

    Hosts without a limit of their own are divided by URL, unless their robots.txt is obeyed, which
    may have a pace and is asked for once. With cookies, a site's hosts are one shard's.
    """
    shards = config.shard
    if not shards:
        return None
    if config.keeps_cookies:
        return Split(shards, by_site=True)
    limits = config.host.all_of("per_host", config.per_host)
    rates = config.host.all_of("host_rate", config.host_rate)
    if all(limits) or all(rates) or all(config.host.all_of("robots", config.robots)):
        return Split(shards)
    at = ConfigAt(config)

    @lru_cache(REMEMBERED)
    def has_limit(host_key: str) -> bool:
        here = at(host_key)
        return bool(here.per_host or here.host_rate or here.robots)

    return Split(shards, has_limit=has_limit)
