"""`FetchPool`: the library's front. Makes the parts from a `Config` and lends them to fetches."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fetchpool.config import Config, ConfigError
from fetchpool.config.http_values import ProxyUrl, looks_names_up_itself
from fetchpool.config.store_settings import MOST_IN_A_ROW
from fetchpool.config.values import Unfit
from fetchpool.http import Engine
from fetchpool.http.direct import DirectExchange
from fetchpool.http.exchange import Exchange
from fetchpool.http.receiver import BodyPolicy
from fetchpool.http.session import SessionExchange
from fetchpool.model.attempts import Destination
from fetchpool.model.bodies import Sink
from fetchpool.model.limits import AUTO, most_per_host
from fetchpool.model.urls import hiding
from fetchpool.model.values import Target
from fetchpool.network.connector import (
    FetchConnector,
    UnfitLibraryError,
    make_connector,
    why_not_lendable,
    why_unfit,
)
from fetchpool.network.descriptors import Budget, make_budget, why_too_few
from fetchpool.network.proxies import environment_proxies, given_proxies, why_no_socks
from fetchpool.network.tls import why_no_certificate, why_no_roots
from fetchpool.output.cookies import check_cookie_target, save_cookies
from fetchpool.output.ledger.layout import ROBOTS
from fetchpool.output.sinks import open_sink
from fetchpool.output.sinks.scratch import ScratchStore
from fetchpool.pipeline.fetching import Border, Counters, Fetching, RunObserver
from fetchpool.pipeline.host_settings import (
    choice_of_proxies,
    hands_over,
    manners_at,
    own_fields,
    retry_policy,
    robots_at,
    terms_at,
    timeouts_of,
    users_policies,
)
from fetchpool.pipeline.outcomes import Outcomes, RunningList
from fetchpool.policies import Policy
from fetchpool.policies.addresses import PublicOnly
from fetchpool.policies.conditional import Conditional
from fetchpool.policies.credentials import CredentialFiles
from fetchpool.policies.hosts import ByHost
from fetchpool.policies.route import PooledRoute, Route
from fetchpool.reporting.stats import Stats
from fetchpool.scheduling.backlog import Spill
from fetchpool.scheduling.job import Job, target_of
from fetchpool.scheduling.judge import Rules
from fetchpool.scheduling.scheduler import Limits, Scheduler
from fetchpool.sources import MOST_BYTES, Codec, RequestReader, requests_from

if TYPE_CHECKING:
    from fetchpool.model.asking import Fields
    from fetchpool.model.bodies import Store
    from fetchpool.model.cookies import Cookie
    from fetchpool.model.values import Request
    from fetchpool.policies.cookies.jar import Jar
    from fetchpool.policies.robots_cache import Cache

log = logging.getLogger("fetchpool")


class FetchPool:
    """Fetches lists of URLs through one shared set of connections.

        async with FetchPool(Config(limit=50)) as pool:
            async for outcome in pool.fetch(urls):
                print(outcome.request.url, outcome.ok)

    Raises `ConfigError` for a *config* of several workers, or one the environment is at odds with.

    Without a *store* bodies are returned as `outcome.body`. Limits hold over the pool; it
    fetches one list at a time. A loop that is left early leaves the pool free for the next list.
    Leaving the block ends everything: no task, no socket remains. It writes the cookies, where they
    are to be saved: `OutputError` if that fails.
    """

    def __init__(self, config: Config | None = None, *, store: Store | None = None) -> None:
        self.config = config or Config()
        check_surroundings(self.config)
        if self.config.workers != 1:
            raise ConfigError("--workers is for fetchpool.run(): a FetchPool is one process")
        self._store: Store = open_sink(self.config) if store is None else store
        self._proxies, self._choose = choice_of_proxies(self.config)
        self._engine: Engine | None = None
        self._budget: Budget | None = None
        self._lists: list[RunningList] = []
        """Of lists that have not been put away; at most one of them goes on."""
        self._robots: Cache | None = None
        self._closing = ExitStack()
        self._jar = make_jar(self.config)
        self._writes_cookies = False

    async def __aenter__(self) -> Self:
        config = self.config
        self._budget = make_budget(config.limit)
        connector = make_connector(config, limit=self.budget.limit, idle_limit=self.budget.idle)
        self._engine = Engine(
            make_exchange(config, connector),
            connector,
            timeouts_of(config),
            _policy_of(config),
            self._store,
        )
        self._closing.enter_context(hiding(config.secret_param))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.make_way(None)
        finally:
            if self._engine is not None:
                await self._engine.close()
                self._engine = None
            self._closing.close()
            self._robots = None
            if self._writes_cookies:
                await asyncio.to_thread(save_cookies, self.config, self.cookies())

    def cookies(self) -> list[Cookie]:
        """Return the cookies of `Config.cookies` and those that responses have set since."""
        return [] if self._jar is None else self._jar.cookies()

    @property
    def budget(self) -> Budget:
        """How many requests and idle connections the process' descriptors allow."""
        if self._budget is None:
            raise RuntimeError("use the pool in 'async with FetchPool(...) as pool:'")
        return self._budget

    def fetch(self, urls: Iterable[str | Request] | AsyncIterable[str | Request]) -> Outcomes:
        """Return an asynchronous iterator with exactly one outcome for each of *urls*.

        Raises `ConfigError` for a pool of `Config.shard`: here nothing is divided.

        They may be endless: what is read is bounded by what is consumed. Strings are taken as lines
        of a list: blank ones and those that begin with `#` are skipped. Outcomes come in the order
        they end. What goes wrong with a URL is in its outcome; only our side's trouble is raised.
        The loop may be left early (see `Outcomes`).
        """
        self._opened()
        if self.config.shard:
            raise ConfigError(
                "--shard is for fetchpool.run(): a FetchPool fetches what it is given"
            )
        self._writes_cookies = self.config.save_cookies is not None
        return Outcomes(self, requests_from(urls, self.config.ask, self.config.reading))

    def begin(self, reader: RequestReader) -> RunningList:
        """Begin the list that *reader* reads: `Outcomes` calls this.

        What a loop has left behind ends; RuntimeError where another task's list goes on.
        """
        self.fetch_from(reader)
        return self._lists[-1]

    async def make_way(self, running: RunningList | None) -> None:
        """Wait until all lists but that of *running* have ended, and nothing of them is left."""
        if self._lists == [running]:
            return
        others = [each for each in self._lists if each is not running]
        if others:
            # Not gathered: what an abandoned iterable raises at its end is told by the event loop.
            await asyncio.wait([each.end() for each in others])
            self._lists = [each for each in self._lists if each not in others]

    def fetch_from(
        self,
        reader: RequestReader,
        *,
        stats: Counters | None = None,
        observer: RunObserver | None = None,
        spill_directory: str | None = None,
        border: Border | None = None,
        buffer: int = 16,
        finds_limit: bool = False,
    ) -> Fetching:
        """Like `fetch`, for a reader; what doesn't fit into memory waits in *spill_directory*.

        Without one it waits in the system's own for temporary files, which is often memory. Where
        it *finds* its limit, `Config.limit` is the most that this may come to.
        """
        engine, stats = self._opened(), stats or Stats(monotonic())
        if any(running.in_use for running in self._lists):
            raise RuntimeError(
                "this pool is fetching a list for another task: wait until its loop has ended, "
                "await aclose() on what fetch() returned there, or use another pool"
            )
        config = self.config
        codec = Codec(config.ask)
        spill: Spill[Job] = Spill(
            lambda job: codec.pack(job.request),
            lambda data: _job(codec.unpack(data)),
            spill_directory,
        )
        terms = terms_at(config)
        scheduler = Scheduler(
            Limits(
                self.budget.limit,
                most_per_host(config.per_host),
                config.rate_here,
                config.host_rate,
                config.limit == AUTO or finds_limit,
                config.per_host == AUTO,
            ),
            spill,
            terms,
        )
        if self._proxies is not None and config.per_host_and_proxy:
            self._proxies.on_good = scheduler.widen
            self._proxies.on_good(self._proxies.good)
        policies = policies_of(config, self._robots_of(spill_directory, observer or stats))
        policies += cookie_policies(self._jar)
        if self._choose is not None:
            policies.append(
                Route(self._choose)
                if self._proxies is None
                else PooledRoute(self._choose, self._proxies)
            )
        fetching = Fetching(
            engine,
            scheduler,
            reader,
            stats,
            observer=observer,
            rules=Rules(
                config.retries,
                config.max_redirects,
                config.outage_patience or math.inf,
                config.retry_all_methods,
                retry_policy(config),
                terms,
                config.timings,
                hands_over(config),
            ),
            headers=own_fields(config),
            policies=policies,
            choose=self._choose,
            proxies=self._proxies,
            budget_s=config.timeout or None,
            insecure=config.insecure,
            border=border,
            sink=self._store if isinstance(self._store, Sink) else None,
            sitemaps=Destination(ScratchStore(spill_directory), MOST_BYTES + 1),
            buffer=buffer,
        )
        self._lists.append(RunningList(fetching, spill))
        return fetching

    def _robots_of(self, directory: str | None, observer: RunObserver | Counters) -> Policy | None:
        """Return what obeys robots.txt, remembered in *directory* and for this pool's other lists.

        None where that isn't asked for: then nothing of it is imported.
        """
        config = self.config
        if not config.asks_robots:
            return None
        from fetchpool.policies.robots import Robots
        from fetchpool.policies.robots_cache import Cache

        if self._robots is None:
            path = None if directory is None else Path(directory, ROBOTS)
            self._robots = Cache(path, time())
            self._closing.callback(self._robots.close)
        obeys = robots_at(config) if config.host else None
        return Robots(self._robots, observer.robots_read, obeys=obeys)

    def _opened(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("use the pool in 'async with FetchPool(...) as pool:'")
        return self._engine


def policies_of(config: Config, robots: Policy | None = None) -> list[Policy]:
    """Return what is added to requests and learnt from responses, in this order."""
    policies: list[Policy] = [ByHost(manners_at(config))]
    if not config.asks_by_host:
        policies = users_policies(config)
    policies += file_policies(config)
    if config.public_only:
        policies.append(PublicOnly())
    if robots is not None:
        policies.append(robots)
    if config.refresh:
        policies.append(Conditional())
    return policies


def file_policies(config: Config) -> list[Policy]:
    """Return what adds credentials of files, to stand behind the user's fields."""
    if config.bearer_file is None and config.netrc is None:
        return []
    return [CredentialFiles(config.bearer_file, config.netrc)]


def fields_of_files(config: Config) -> Callable[[Request, Target], Fields]:
    """Return what returns the fields of a request that come from files with secrets."""
    policies = [*file_policies(config), *cookie_policies(make_jar(config))]

    def fields_of(request: Request, target: Target) -> Fields:
        job = Job(request, target)
        plan = job.plan((), 0, repeats_all=False)
        for policy in policies:
            policy.before(job, plan)
        return plan.headers

    return fields_of


def make_jar(config: Config) -> Jar | None:
    """Return the jar for the cookies of *config* and of responses; None: there are to be none."""
    if not config.keeps_cookies:
        return None
    from fetchpool.policies.cookies.jar import Jar

    return Jar(() if config.cookies is None else config.cookies.cookies)


def cookie_policies(jar: Jar | None) -> list[Policy]:
    """Return the policy about the cookies in *jar*, to stand behind the others."""
    if jar is None:
        return []
    from fetchpool.policies.cookies import Cookies

    return [Cookies(jar)]


def check_surroundings(config: Config) -> None:
    """Raise `ConfigError` where what is around makes a promise of *config* one nobody can keep.

    `UnfitLibraryError` where that is the aiohttp that is installed.
    """
    if (missing := why_unfit(lending=config.exchange == "direct")) is not None:
        raise UnfitLibraryError(missing)
    given = given_proxies(config)
    if given is None:
        check_environment_proxies(public_only=config.public_only)
    if config.proxy == "" and config.proxy_file is not None:
        raise ConfigError(
            "--proxy '' can't be combined with --proxy-file: it means no proxy. Drop one of them."
        )
    if config.per_host_and_proxy and not config.has_proxy_pool:
        raise ConfigError(
            "--per-host-and-proxy is for several proxies: add --proxy-file or another --proxy, or "
            "drop it"
        )
    of_hosts = [table.values.get("proxy") for table in config.host.tables]
    if any(isinstance(own, tuple) for own in of_hosts):
        raise ConfigError("a host's own proxy is one URL: several are a pool for all other hosts")
    for url in (*(given or ()), *map(str, filter(None, of_hosts))):
        if missing := why_no_socks(url):
            raise ConfigError(f"--proxy {missing}")
    if config.cacert is not None and (problem := why_no_roots(config.cacert)) is not None:
        raise ConfigError(f"--cacert takes a file of certificates in PEM form: {problem}")
    if config.asks_robots and find_spec("_sqlite3") is None:
        raise ConfigError("--robots needs SQLite, which this Python was built without")
    if config.cert and (problem := why_no_certificate(config.cert, config.key)) is not None:
        raise ConfigError(problem)
    check_cookie_target(config)
    if (problem := why_too_few()) is not None:
        raise ConfigError(problem)


def check_environment_proxies(*, public_only: bool) -> None:
    """Raise `ConfigError` for a proxy of the environment that `--proxy` would not take."""
    kind = ProxyUrl()
    for variable, url in environment_proxies().values():
        try:
            kind.check_one(url)
        except Unfit as mistake:
            remedy = mistake.remedy or "mend it, or add --proxy '' to go without"
            raise ConfigError(f"{variable} {mistake.problem}: {remedy}") from None
        if missing := why_no_socks(url):
            raise ConfigError(f"{variable} {missing}, or add --proxy '' to go without")
        if public_only and looks_names_up_itself(url):
            raise ConfigError(
                "--public-only can't be combined with the proxy that the environment names: a "
                "proxy looks addresses up by itself, so nothing here could hold the promise. Add "
                "--proxy '' to go without it, or drop --public-only."
            )


def make_exchange(config: Config, connector: FetchConnector) -> Exchange:
    """Return the way to exchange requests for answers that `--exchange` asks for.

    The direct way needs more of aiohttp's inside to be as it was when it was written: another
    aiohttp is used through its sessions, unless the direct way was asked for by name, or whole
    messages are wanted.
    """
    if config.exchange == "session":
        return SessionExchange(connector)
    changed = why_not_lendable(connector)
    if changed is not None and (config.exchange == "direct" or config.store == "warc"):
        raise UnfitLibraryError(changed)
    if changed is None:
        return DirectExchange(connector)
    log.info("no direct exchange with this aiohttp (%s is another): using sessions", changed)
    return SessionExchange(connector)


def _job(request: Request) -> Job:
    """Return *request* as it was before it had to wait: a URL, by then."""
    target = target_of(request)
    assert isinstance(target, Target)
    return Job(request, target)


def _policy_of(config: Config) -> BodyPolicy:
    most = MOST_IN_A_ROW.get(config.store)
    capped_by_store = most is not None and most < config.max_size
    return BodyPolicy(
        most if most is not None and capped_by_store else config.max_size,
        config.keep_errors,
        config.hash or config.refresh,  # bodies are compared by it
        config.max_redirects > 0,
        config.as_received,
        f"--store {config.store}" if capped_by_store else "--max-size",
    )
