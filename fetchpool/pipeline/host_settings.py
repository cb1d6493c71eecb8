"""What the settings come to for a request: of the run, and of each host that has its own.

Config ──ConfigAt──▶ a host's Config ──▶ HostTerms (when), HostManners (how), its proxy
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from time import monotonic
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fetchpool.config import Config
from fetchpool.config.host_rules import REMEMBERED, ConfigAt, HostConfigs
from fetchpool.config.splitting import split_of
from fetchpool.model.asking import over
from fetchpool.model.attempts import Proxy, Timeouts
from fetchpool.model.decoding import ACCEPT_ENCODING
from fetchpool.model.limits import AUTO, most_per_host
from fetchpool.model.values import Target
from fetchpool.network.proxies import Choose, given_proxies, named, proxy_chooser
from fetchpool.policies import Policy
from fetchpool.policies.credentials import Credentials, basic, with_authorization
from fetchpool.policies.fields import UserFields
from fetchpool.policies.hosts import HostManners
from fetchpool.scheduling.host_terms import HostTerms, TermsAt
from fetchpool.scheduling.proxy_pool import ProxyPool
from fetchpool.scheduling.retry import RetryPolicy

if TYPE_CHECKING:
    from fetchpool.model.asking import Fields


def own_fields(config: Config) -> Fields:
    """Return the header fields that every request has, whoever it goes to."""
    fields = (
        ("Accept", "*/*"),
        ("Accept-Encoding", ACCEPT_ENCODING),
        ("User-Agent", config.user_agent_text),
    )
    return tuple(field for field in fields if field[1])


def users_policies(config: Config) -> list[Policy]:
    """Return what adds the user's fields and credentials to requests for a line's own origin."""
    return [UserFields(own_fields(config), config.header), Credentials(config.user)]


def timeouts_of(config: Config) -> Timeouts:
    """Return the time limits of an attempt."""
    return Timeouts(config.connect_timeout, config.read_timeout, config.min_speed)


def retry_policy(config: Config) -> RetryPolicy:
    """Return what is tried again, how often and when."""
    return RetryPolicy.chosen(
        config.retries, config.retry_delay, config.retry_on, config.no_retry_on
    )


def terms_at(config: Config) -> TermsAt | None:
    """Return what finds the terms of a host; None where no host has any of its own.

    Hosts of other shards, where redirects lead, are asked one request at a time, at an Nth of their
    rate: so all N shards together ask a host N more at once, and twice as often, at most.
    """
    split = split_of(config)
    has_others = split is not None and len(split.own) < split.count
    if not (config.host or has_others):
        return None
    configs = ConfigAt(config).configs
    made = lru_cache(REMEMBERED)(_terms_of)
    if split is None or not has_others:
        return lambda host_key: made(configs(host_key))
    foreign = lru_cache(REMEMBERED)(partial(_terms_abroad, split.count))

    def find(host_key: str) -> HostTerms:
        terms = made(configs(host_key))
        return foreign(terms) if split.is_foreign(host_key) else terms

    return find


def hands_over(config: Config) -> Callable[[str], bool] | None:
    """Return what tells of a host key whether redirects to it aren't followed; None: all are."""
    split = split_of(config) if config.hand_over else None
    return None if split is None else split.is_foreign


def manners_at(config: Config) -> Callable[[str], HostManners]:
    """Return what finds how a host is asked."""
    configs = ConfigAt(config).configs
    made = lru_cache(REMEMBERED)(_manners_of)
    return lambda host_key: made(configs(host_key))


def robots_at(config: Config) -> Callable[[str], bool]:
    """Return what tells whether a host's robots.txt is obeyed."""
    at = ConfigAt(config)
    return lambda host_key: at(host_key).robots


def choice_of_proxies(config: Config) -> tuple[ProxyPool | None, Choose | None]:
    """Return the pool of proxies, if there are several, and how a URL's proxy is chosen, if any.

    A host whose own settings name a proxy, or none, goes by them.
    """
    given = given_proxies(config)
    pool: ProxyPool | None = None
    if given is not None and len(given) > 1:
        pool = ProxyPool(named(given), spread=config.per_host_and_proxy)
    of_run = proxy_chooser(given) if pool is None else partial(_of_pool, pool)
    if not any("proxy" in table.values for table in config.host.tables):
        return pool, of_run
    at = ConfigAt(config)
    chooser = lru_cache(REMEMBERED)(proxy_chooser)

    def choose(target: Target) -> Proxy | None:
        own = at(target.host_key).proxy
        found = of_run
        if own != config.proxy:
            found = chooser((own,) if isinstance(own, str) and own else ())
        return None if found is None else found(target)

    return pool, choose


def _of_pool(pool: ProxyPool, target: Target) -> Proxy:
    return pool.choose(target.host_key, monotonic())


def _terms_of(configs: HostConfigs) -> HostTerms:
    config = configs.here
    return HostTerms(
        most_per_host(config.per_host),
        config.per_host == AUTO,
        config.host_rate,
        config.timeout or None,
        retry_policy(config),
    )


def _terms_abroad(count: int, terms: HostTerms) -> HostTerms:
    return replace(terms, per_host=1, finds_per_host=False, host_rate=terms.host_rate / count)


def _manners_of(configs: HostConfigs) -> HostManners:
    here, hop = configs.here, configs.on_hop
    ours = own_fields(here)
    on_hop = over(ours, hop.header)
    if hop.user is not None:
        on_hop = with_authorization(on_hop, basic(hop.user))
    return HostManners(ours, on_hop, timeouts_of(here), tuple(users_policies(here)))
