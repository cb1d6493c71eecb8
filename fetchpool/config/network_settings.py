"""Settings of how requests are sent: how many at once, over which connections, how many retries.

Declared as in `settings`; its `Config` inherits them.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from fetchpool.config.options import Also, Panel
from fetchpool.config.values import Choice, Switch, Whole, WholeOr, requests_per_second, seconds


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NetworkSettings:
    """Limits, connections and retries."""

    limit: Annotated[
        int | Literal["auto"],
        Panel.LIMITS,
        WholeOr("auto", 0, 65_535),
        "Requests in progress at most, over all hosts; 0 = as many as descriptors allow, auto = as "
        "many as bring more",
        Also(
            more="`TCPConnector.limit`. 0 means 4,096 at most. fetchpool never lets more requests "
            "run; aiohttp's own limit doesn't bound them. `auto` begins with 100 and finds while "
            "running how many bring more: see [concurrency.md](concurrency.md)."
        ),
    ] = 100
    per_host: Annotated[
        int | Literal["auto"],
        Panel.LIMITS,
        WholeOr("auto", 0, 65_535),
        "Requests in progress at most, to one host; 0 = only --limit, auto = as many as bring more",
        Also(
            more="`TCPConnector.limit_per_host`, whose default is 0. A host is a host name, with "
            "its port unless that is the scheme's default: http and https share. `auto` begins "
            "with 2 and finds for each host, up to 64, how many bring more: see "
            "[concurrency.md](concurrency.md)."
        ),
    ] = 10
    per_host_and_proxy: Annotated[
        bool,
        Panel.LIMITS,
        Switch(),
        "With several proxies, --per-host for each of them; hosts are spread over all",
        Also(more="Else a host stays with one proxy. `--host-rate` holds over all in any case."),
    ] = False
    rate: Annotated[
        float,
        Panel.LIMITS,
        requests_per_second(),
        "Requests per second over all hosts",
        Also(default="0: off", example="100"),
    ] = 0.0
    host_rate: Annotated[
        float,
        Panel.LIMITS,
        requests_per_second(),
        "Requests per second to one host",
        Also(default="0: off", example="2"),
    ] = 0.0
    workers: Annotated[
        int,
        Panel.LIMITS,
        Whole(0, 256),
        "Processes, each with a share of the hosts and of the limits; 0 = one per core",
        Also(
            more="`--limit` and `--rate` are divided among them. Each host belongs to one of them; "
            "with `--per-host 0`, no `--host-rate` and no `--robots` the URLs of a host are "
            "divided. Not for the library's `FetchPool`, which is one process."
        ),
    ] = 1

    keepalive: Annotated[
        float | None,
        Panel.CONNECTIONS,
        seconds(),
        "How long an idle connection stays open for the next URL of its host",
        Also(default="15", more="`keepalive_timeout`. Can't be combined with `--force-close`."),
    ] = None
    force_close: Annotated[
        bool,
        Panel.CONNECTIONS,
        Switch(),
        "A new connection for every request; else connections are reused",
        Also(more="`force_close`."),
    ] = False
    cleanup_closed: Annotated[
        bool,
        Panel.CONNECTIONS,
        Switch(),
        "Abort TLS connections whose peer doesn't confirm the close within 2 s",
        Also(
            more="`enable_cleanup_closed`, off in aiohttp too. No effect on Python from 3.12.8 and "
            "3.13.1 on, where the leak it works around is fixed; one warning says so."
        ),
    ] = False
    dns_ttl: Annotated[
        float,
        Panel.CONNECTIONS,
        seconds(),
        "How long a resolved address is kept; 0 = not at all",
        Also(more="`ttl_dns_cache`, 10 s in aiohttp."),
    ] = 300.0
    ipv4: Annotated[
        bool, Panel.CONNECTIONS, Switch(), "Connect to IPv4 addresses only", Also(short="-4")
    ] = False
    ipv6: Annotated[
        bool, Panel.CONNECTIONS, Switch(), "Connect to IPv6 addresses only", Also(short="-6")
    ] = False
    exchange: Annotated[
        Literal["auto", "session", "direct"],
        Panel.CONNECTIONS,
        Choice("WAY", "auto", "session", "direct"),
        "How requests are made: auto, session or direct",
        Also(
            more="`session` calls `ClientSession.request`; `direct` writes to the connector's "
            "connections itself, those to a proxy included."
        ),
    ] = "auto"
    event_loop: Annotated[
        Literal["auto", "uvloop", "asyncio"],
        Panel.CONNECTIONS,
        Choice("LOOP", "auto", "uvloop", "asyncio"),
        "The event loop: auto (uvloop where it runs), uvloop or asyncio",
    ] = "auto"

    retries: Annotated[
        int, Panel.RETRIES, Whole(0, 1000), "Further attempts after a temporary failure"
    ] = 2
    outage_patience: Annotated[
        float,
        Panel.RETRIES,
        seconds(),
        "How long our network or the proxy may be down before the run exits 75; 0 = for ever",
        Also(
            more="Meanwhile nothing starts, and no URL is recorded as failed because of it; run "
            "the same command later to go on."
        ),
    ] = 180.0
