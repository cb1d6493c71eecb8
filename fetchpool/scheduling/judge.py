"""What follows an attempt: an outcome, another attempt, the next hop, or a wait for better times.

    Response | FailedAttempt ──▶ Judge.decide ──▶ outcomes to deliver
                           │
                           └──▶ scheduler: again at …, host parked, window moved

Pure but for the scheduler it tells: time and random numbers are handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec.structs import replace

from fetchpool.model.again import LATER_STATUS, PASSING_STATUSES
from fetchpool.model.attempts import FailedAttempt, Fault, Response
from fetchpool.model.urls import conceals
from fetchpool.model.values import HANDED_OVER, Failure, FailureKind, Outcome, is_redirect
from fetchpool.model.versions import NOT_MODIFIED
from fetchpool.scheduling.host_terms import TermsAt
from fetchpool.scheduling.outage import Outage
from fetchpool.scheduling.redirects import follow
from fetchpool.scheduling.retry import (
    RetryPolicy,
    Trouble,
    may_repeat,
    parse_retry_after,
)
from fetchpool.scheduling.throttling import Refusal

if TYPE_CHECKING:
    from fetchpool.model.robots import RobotsRead
    from fetchpool.scheduling.job import Job
    from fetchpool.scheduling.proxy_pool import ProxyPool
    from fetchpool.scheduling.scheduler import Scheduler

DESCRIPTOR_PAUSE_S = 0.5
"""How long a request waits that found no descriptor free."""

STARVED_AT_MOST_S = 30.0
"""How long a run goes on while not even one request at a time finds a descriptor."""

OWN_REDIRECTS = 5
"""Redirects of a policy's own request that are followed (RFC 9309 §2.3.1.2)."""

REFUSED_HERE = frozenset({FailureKind.INPUT, FailureKind.BLOCKED, FailureKind.INTERNAL})
"""Kinds that come about without a word from outside."""


class Rules(msgspec.Struct, frozen=True):
    """The settings that decide what follows a response."""

    retries: int = 2
    max_redirects: int = 10
    outage_patience_s: float | None = None
    """How long our own network may be down; see `Outage`."""
    retry_all_methods: bool = False
    """Try again also what isn't idempotent, whatever became of it."""
    retry: RetryPolicy | None = None
    """What is tried again; None = what is by default, *retries* times."""
    terms_at: TermsAt | None = None
    """The settings of a host; None = no host has any of its own."""
    timings: bool = False
    """Whether outcomes say what their time was spent on."""
    hands_over: Callable[[str], bool] | None = None
    """Tells of a host whether another run goes on where redirects lead there; None = no host."""


class Held(msgspec.Struct, frozen=True):
    """A job that waits until it is known whose trouble it had."""

    job: Job
    outcome: Outcome | None
    """Its outcome, if the trouble was its host's; None: it is tried again in any case."""


class Observer(Protocol):
    """Who counts what happens beside outcomes."""

    def retried(self) -> None: ...
    def parked(self, host: str, seconds: float, why: str) -> None: ...
    def robots_read(self, robots: RobotsRead) -> None: ...
    def rested(self, proxy: str, seconds: float, why: str) -> None: ...


class Judge:
    """Turns what an attempt brought into what happens next."""

    def __init__(
        self,
        scheduler: Scheduler[Job],
        rules: Rules,
        observer: Observer,
        random: Callable[[], float],
        hand_over: Callable[[Job, float], bool] | None = None,
        on_outage: Callable[[bool], None] | None = None,
        proxies: ProxyPool | None = None,
    ) -> None:
        """Ask *hand_over*, where there are others to go on with a job, whether one of them does.

        *proxies* are those of the run, where there are several.
        """
        self._scheduler = scheduler
        self._rules = rules
        self._policy = rules.retry or RetryPolicy(rules.retries)
        self._own_policy = RetryPolicy(rules.retries)
        self._observer = observer
        self._random = random
        self._hand_over = hand_over
        self._proxies = proxies
        self.outage: Outage[Held] = Outage(rules.outage_patience_s, on_outage)
        self.lowered_to: int | None = None
        """What `--limit` was lowered to because descriptors ran out; None = it wasn't."""
        self.starved_since: float | None = None
        """Since when not even one request at a time finds a descriptor free; None = it does."""
        self._has_answers = False
        self._back_since = float("-inf")  # the end of the last outage: what began before it is free

    def decide(
        self, job: Job, result: Response | FailedAttempt, started: float, now: float, epoch: float
    ) -> list[Outcome]:
        """Take in what an attempt begun at *started* brought; return the outcomes it leads to.

        Usually one or none; more when it proves that others' silence was their hosts' own.
        *now* and *started* are monotonic, *epoch* is the time of day, in seconds.
        """
        job.note(result.measures, result.exchanged)
        if self._proxies is not None and self._lost_one_of(self._proxies, result, now):
            if not self._may_repeat(job, result):
                assert isinstance(result, FailedAttempt)
                return [self._untold(job, result, now)]
            self._unmade(job, now)  # it goes on with another
            return []
        if self.starved_since is not None and _had_descriptor(result):
            self.starved_since = None
        outcomes: list[Outcome] = []
        if isinstance(result, Response):
            self._has_answers = True
            if not job.public_only:
                self.outage.answered(job.target)
            if result.measures.route is not None:
                self.outage.proxy_served()
            if not self.outage.calm and not self.outage.local_error and not _may_be_proxys(result):
                outcomes += self.sign_of_life(now)
            outcome = self._answered(job, result, started, now, epoch)
            if outcome is not None and not outcome.ok and self._ask_for_whole(job, now):
                outcome = None
        else:
            self._remember(job, result)
            if _is_sign_of_life(result) and not self.outage.local_error:
                outcomes += self.sign_of_life(now)
            outcome = self._failed_attempt(job, result, started, now)
        if outcome is not None:
            if self._rules.timings:
                outcome = replace(outcome, timings=result.measures.timeline.timings())
            outcomes.append(outcome)
        return outcomes

    def _remember(self, job: Job, failed: FailedAttempt) -> None:
        """Have the outage know whom to probe; never hosts reached by a public redirect."""
        if failed.fault is Fault.PROXY:
            self.outage.behind_lost_proxy(job.target, failed.failure.detail)
        elif not job.public_only and failed.fault in (Fault.SILENT, Fault.OURS, Fault.DOUBTED):
            self.outage.unanswered(job.target, failed.failure.detail)

    def _lost_one_of(
        self, proxies: ProxyPool, result: Response | FailedAttempt, now: float
    ) -> bool:
        """Return whether a proxy failed, and another is there: that is no trouble of ours."""
        is_lost = isinstance(result, FailedAttempt) and result.fault is Fault.PROXY
        return is_lost and proxies.has(result.measures.route) and proxies.has_usable(now)

    # -- answers -------------------------------------------------------------------------------

    def _answered(
        self, job: Job, response: Response, started: float, now: float, epoch: float
    ) -> Outcome | None:
        head, host = response.head, job.target.host_key
        job.status = head.status
        if head.status in PASSING_STATUSES:
            return self._told_to_wait(job, response, started, now, epoch)
        # The host works, whatever the user has tried again.
        self._scheduler.answered(
            host, now, was_refused=job.refused, timeline=response.measures.timeline
        )
        job.refused = False
        if 200 <= head.status < 300 and head.status != LATER_STATUS:
            return job.answered(response, now)
        most = self._rules.max_redirects if job.own is None else OWN_REDIRECTS
        if most and is_redirect(head):
            return self._redirected(job, response, most, now)
        # A 304 that leaves an earlier body as it is, is ok.
        is_same = head.status == NOT_MODIFIED and response.stored is not None
        if not is_same and self._policy_for(job).wants(head):
            return self._told_to_wait(job, response, started, now, epoch)
        return job.answered(response, now)

    def _redirected(self, job: Job, response: Response, most: int, now: float) -> Outcome | None:
        """Go on where *response* points; if that leads nowhere, decide whether to start over.

        A chain of more than *most* hops leads nowhere.
        """
        failure = follow(job, response.head, response.measures.peer, most)
        if failure is None and self._is_handed_over(job):
            return job.failed(Failure(FailureKind.REDIRECT, HANDED_OVER), now, response.measures)
        if failure is None:
            self._go_on(job, now, now)
            return None
        pause_s = self._policy_for(job).pause_s(
            Trouble(failure.kind), job.counted_attempts, self._random
        )
        if pause_s is None or not self._may_repeat(job, response):
            return job.failed(failure, now, response.measures)
        self._again(job, pause_s, now)
        return None

    def _is_handed_over(self, job: Job) -> bool:
        """Return whether *job*, a plain GET of which nothing is secret, is another run's now."""
        hands_over = self._rules.hands_over
        if hands_over is None or job.own is not None or job.request.is_sitemap:
            return False
        if job.method != "GET" or job.body is not None or conceals(job.target.url):
            return False
        return hands_over(job.target.host_key)

    def _told_to_wait(
        self, job: Job, response: Response, started: float, now: float, epoch: float
    ) -> Outcome | None:
        """Decide after a response that says "not now"."""
        head, host = response.head, job.target.host_key
        self._scheduler.health(host).spoke = True
        retry_after_s = parse_retry_after(head.get("retry-after"), head.get("date"), epoch)
        trouble = Trouble(FailureKind.STATUS, head.status, retry_after_s)
        policy = self._policy_for(job)
        pause_s = policy.pause_s(trouble, job.counted_attempts, self._random)
        if not self._may_repeat(job, response):
            pause_s = None
        if self._goes_on_elsewhere(host, response, trouble, started, now):
            pause_s = None if pause_s is None else 0.0
        elif trouble.throttling:
            host_pause_s = self._throttled(job, trouble, started, now)
            if pause_s is not None and host_pause_s is not None:
                pause_s = max(host_pause_s, policy.delay_s or 0.0)
        if pause_s is None:
            return job.answered(response, now)
        self._again(job, pause_s, now)
        return None

    def _goes_on_elsewhere(
        self, host: str, response: Response, trouble: Trouble, started: float, now: float
    ) -> bool:
        """Return whether *host* throttles the proxy of *response* alone, as far as is known."""
        proxies, proxy = self._proxies, response.measures.route
        if proxies is None or not proxies.has(proxy) or not trouble.throttling:
            return False
        return proxies.throttled(host, proxy, trouble.retry_after_s, now, started)

    def _throttled(self, job: Job, trouble: Trouble, started: float, now: float) -> float | None:
        """Leave the host alone that refused *job*; return for how many seconds.

        None if nobody else waits: the host serves others well, and has refused this URL before.
        """
        host = job.target.host_key
        health = self._scheduler.health(host)
        is_first, job.refused = not job.refused, True
        if not is_first and not trouble.retry_after_s and health.refuses_one_more():
            return None
        assert trouble.status is not None
        refusal = Refusal(trouble.status, is_first, trouble.retry_after_s)
        before = health.parked_until
        pause_s = self._scheduler.throttled(host, now, started, refusal, self._random())
        self._note_parked(host, before, now, str(trouble.status))
        return pause_s

    # -- misses --------------------------------------------------------------------------------

    def _failed_attempt(
        self, job: Job, failed: FailedAttempt, started: float, now: float
    ) -> Outcome | None:
        may_repeat = self._may_repeat(job, failed)
        if failed.fault is Fault.PROXY:
            if started >= self._back_since:  # else it is the last outage's, which is over
                self.outage.lose_proxy(now)
            if not may_repeat:
                return self._untold(job, failed, now)
            self._unmade(job, now)
            return None
        if failed.fault is Fault.DOUBTED and may_repeat:
            self.outage.silent(job.target.host_key)
            self.outage.hold(Held(job, None))
            return None
        if failed.head is not None:
            job.status = failed.head.status
        job.attempts += failed.measures.requests - 1
        job.unanswered = job.unanswered or failed.measures.first_byte_s() is None
        silent = failed.fault in (Fault.OURS, Fault.SILENT)
        if silent and may_repeat and (self.outage.going_on or started < self._back_since):
            self._unspent(job, now, now)
            return None
        match failed.fault:
            case Fault.DESCRIPTORS:
                return self.out_of_descriptors(job, now, failed)
            case Fault.OURS:
                self.outage.suspect(local_error=True)
            case Fault.SILENT:
                self.outage.silent(job.target.host_key)
            case _:
                pass
        health = self._scheduler.health(job.target.host_key)
        if failed.measures.first_byte_s() is not None:
            health.spoke = True
        if failed.transient and failed.fault is not Fault.URL:
            self._unreachable(job, failed, started, now)
            # A host is given up for its silence only when we have looked that it's not ours: with
            # few hosts there are never enough silent ones in a row to make us look.
            given_up = health.fails_fast(now)
            if silent and given_up and self._has_answers:
                self.outage.suspect()
        policy = self._policy_for(job)
        if job.progress is not None and job.advanced and policy.retries:
            job.progress.uncounted += 1
        trouble = Trouble(failed.failure.kind, transient=failed.transient)
        pause_s = policy.pause_s(trouble, job.counted_attempts, self._random)
        if policy.passing(trouble) and not may_repeat:
            return (
                job.attempt_failed(failed, now)
                if pause_s is None
                else self._untold(job, failed, now)
            )
        if pause_s is not None:
            self._again(job, pause_s, now)
            return None
        if self._ask_for_whole(job, now):
            return None
        outcome = job.attempt_failed(failed, now)
        if silent:
            self.outage.hold(Held(job, outcome))
            return None
        return outcome

    def _policy_for(self, job: Job) -> RetryPolicy:
        """Return what is tried again of *job*, and how often: as its host's settings say.

        What a policy asks for is tried again as by default.
        """
        if job.own is not None:
            return self._own_policy
        terms_at = self._rules.terms_at
        return self._policy if terms_at is None else terms_at(job.target.host_key).retry

    def _may_repeat(self, job: Job, result: Response | FailedAttempt | None = None) -> bool:
        """Tell whether *job*, of which an attempt brought *result*, may be begun once more."""
        if self._rules.retry_all_methods:
            return True
        return may_repeat(job.request.method, result, answered=job.turned_get)

    def _untold(self, job: Job, failed: FailedAttempt, now: float) -> Outcome:
        """Return the outcome of a request that may have been done, though nothing came of it."""
        detail = (
            f"{failed.failure.detail}; not sent again, as {job.request.method} isn't idempotent"
        )
        return job.attempt_failed(
            replace(failed, failure=replace(failed.failure, detail=detail)), now
        )

    def _unreachable(self, job: Job, failed: FailedAttempt, started: float, now: float) -> None:
        """Count an attempt that got no connection, or nothing over it."""
        host, failure = job.target.host_key, failed.failure
        before = self._scheduler.health(host).parked_until
        if failed.measures.peer is None:
            self._scheduler.unreachable(host, now, started, failure)
        elif failed.measures.first_byte_s() is None:
            self._scheduler.silent(host, now, started, job.target.url, failure)
        self._note_parked(host, before, now, failure.detail)

    def _note_parked(self, host: str, before: float, now: float, why: str) -> None:
        """Tell of a pause of *host* beyond the one it was in until *before*."""
        pause_s = self._scheduler.health(host).parked_until - max(before, now)
        if pause_s > 0:
            self._observer.parked(host, pause_s, why)

    def out_of_descriptors(
        self, job: Job, now: float, failed: FailedAttempt | None = None
    ) -> Outcome | None:
        """Put *job* back unspent, and do fewer at a time from now on.

        Without *failed* it had a response. Returns the outcome of one that may not be sent again.
        """
        if self._scheduler.limit == 1 and self.starved_since is None:
            self.starved_since = now
        running = self._scheduler.running
        self._scheduler.limit = self.lowered_to = max(1, min(self._scheduler.limit, running) - 1)
        if not self._may_repeat(job, failed):
            detail = f"no file could be opened for its answer; a {job.request.method} is sent once"
            return job.failed(Failure(FailureKind.CONNECT, detail), now)
        self._unspent(job, now + DESCRIPTOR_PAUSE_S, now)
        return None

    # -- again ---------------------------------------------------------------------------------

    def _again(self, job: Job, pause_s: float, now: float) -> None:
        if job.own is None:
            self._observer.retried()
        job.start_over()
        self._go_on(job, now + pause_s, now)

    def _ask_for_whole(self, job: Job, now: float) -> bool:
        """Have *job*, about to fail, asked once more if it failed in asking for a body's rest.

        That is no failure of the URL: a request without Range may well be answered.
        """
        progress = job.progress
        if progress is None or not progress.asked_rest:
            return False
        progress.whole = True
        progress.uncounted += 1
        self._observer.retried()
        job.start_over()
        self._go_on(job, now, now)
        return True

    def _unspent(self, job: Job, at: float, now: float) -> None:
        job.uncounted_attempts += 1
        job.start_over()
        self._go_on(job, at, now)

    def _unmade(self, job: Job, now: float) -> None:
        """Put *job* back as if its attempt had never begun: its host has not heard of it."""
        job.attempts -= 1
        job.start_over()
        self._go_on(job, now, now)

    def _go_on(self, job: Job, at: float, now: float) -> None:
        """Have *job* started again from *at* on, here or by whoever owns its host."""
        # What a policy asked for stays here: its policy is in this process.
        ask = self._hand_over if job.own is None else None
        if ask is None or not ask(job, at):
            self.take_over(job, at, now)

    def take_over(self, job: Job, at: float, now: float) -> None:
        """Have *job* started from *at* on, whoever began it."""
        refused, is_own = job.refused and not job.redirects, job.own is not None
        job.queued_at = at
        self._scheduler.again(job.target.host_key, job, at, now, refused=refused, is_own=is_own)

    # -- our own trouble -----------------------------------------------------------------------

    def settle_held(self, now: float) -> list[Outcome]:
        """Once nothing else runs or may start: have probed whether what is held is our own trouble.

        Where no host has ever answered nothing says so: returns its outcomes, all there are. But a
        proxy that hung up at every request is ours.
        """
        if not self.outage.held or self.outage.paused or not self._scheduler.stuck:
            return []
        if self.outage.latest is None and all(each.outcome for each in self.outage.held):
            return self.sign_of_life(now)
        self.outage.suspect()
        return []

    def sign_of_life(self, now: float) -> list[Outcome]:
        """Something came from outside: return the outcomes that were held for the lack of it.

        After an outage there are none: what was held is tried again, uncounted.
        """
        held, ours = self.outage.sign_of_life()
        if not ours:
            for each in held:
                if each.outcome is None:
                    self._unmade(each.job, now)
            return [each.outcome for each in held if each.outcome is not None]
        self._back_since = now
        self._scheduler.forgive(now)
        for each in held:
            if each.outcome is None:
                self._unmade(each.job, now)
            else:
                self._unspent(each.job, now, now)
        return []


def _had_descriptor(result: Response | FailedAttempt) -> bool:
    """Return True if *result* shows that a descriptor was free for it."""
    if isinstance(result, Response):
        return True
    return result.fault is not Fault.DESCRIPTORS and result.failure.kind not in REFUSED_HERE


GATEWAY_TROUBLE = frozenset({502, 503, 504})
"""Statuses by which a proxy says that it doesn't get through."""


def _may_be_proxys(response: Response) -> bool:
    """Return True if *answer*, to a request through a proxy, may be the proxy's own word."""
    return response.measures.route is not None and response.head.status in GATEWAY_TROUBLE


def _is_sign_of_life(failed: FailedAttempt) -> bool:
    """Return True if *failed* shows that something outside was heard."""
    return failed.fault in (Fault.URL, Fault.HOST) and failed.failure.kind not in REFUSED_HERE
