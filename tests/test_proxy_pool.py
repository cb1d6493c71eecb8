"""Which proxy a host goes through, with numbers for clocks."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.attempts import FailedAttempt, Fault, Proxy
from fetchpool.model.values import FailureKind
from fetchpool.scheduling.judge import Rules
from fetchpool.scheduling.proxy_pool import FIRST_REST_S, LONGEST_REST_S, ProxyPool
from fetchpool.scheduling.scheduler import Limits
from tests.judging import Court, failed_attempt, job, response

PROXIES = [Proxy(f"http://p{number}.test:1", f"http://p{number}.test:1") for number in range(4)]
HOSTS = [f"h{number}.test" for number in range(200)]


def own_of(pool: ProxyPool, now: float = 0.0) -> dict[str, Proxy]:
    return {host: pool.choose(host, now) for host in HOSTS}


def test_hosts_are_shared_out_and_stay_the_same_in_every_process() -> None:
    first = own_of(ProxyPool(PROXIES))
    assert first == own_of(ProxyPool(PROXIES[::-1]))
    assert min(Counter(first.values()).values()) > 25
    fewer = own_of(ProxyPool(PROXIES[:3]))
    assert all(fewer[host] is first[host] for host in HOSTS if first[host] is not PROXIES[3])


def test_hosts_of_a_proxy_that_fails_go_on_with_others_and_come_back() -> None:
    pool = ProxyPool(PROXIES)
    own = own_of(pool)
    lost = own[HOSTS[0]]
    pool.failed(lost, "gone", 10.0, 9.0)
    meanwhile = own_of(pool, 10.5)
    assert lost not in meanwhile.values()
    assert all(meanwhile[host] is own[host] for host in HOSTS if own[host] is not lost)
    assert len({meanwhile[host] for host in HOSTS if own[host] is lost}) == 3
    now = 10.0 + FIRST_REST_S
    assert pool.choose(HOSTS[0], now) is lost, "one request tries it"
    assert lost not in own_of(pool, now).values(), "others wait for what comes of that"
    pool.served(HOSTS[0], lost, now)
    assert own_of(pool, now) == own


def test_rests_grow_and_what_was_under_way_says_nothing_new() -> None:
    rests: list[float] = []
    pool = ProxyPool(PROXIES, on_rest=lambda proxy, seconds, why: rests.append(seconds))
    now = 100.0
    for _ in range(9):
        pool.failed(PROXIES[0], "gone", now, now)
        pool.failed(PROXIES[0], "gone", now + 0.1, now - 1.0)
        pool.served(HOSTS[0], PROXIES[0], now - 1.0)
        assert not any(each is PROXIES[0] for each in own_of(pool, now + 0.2).values())
        now += rests[-1]
    assert rests == [*(FIRST_REST_S * 2**n for n in range(7)), LONGEST_REST_S, LONGEST_REST_S]


def test_host_that_throttles_a_proxy_goes_on_with_another_for_that_while() -> None:
    pool = ProxyPool(PROXIES[:2])
    host, other = HOSTS[:2]
    own = pool.choose(host, 0.0)
    before = pool.choose(other, 0.0)
    assert pool.throttled(host, own, 5.0, 10.0, 9.0)
    second = pool.choose(host, 14.9)
    assert second is not own
    assert pool.choose(other, 14.9) is before
    assert pool.choose(host, 15.0) is own
    assert pool.throttled(host, own, None, 20.0, 19.0)
    assert not pool.throttled(host, second, 60.0, 20.0, 19.0)
    assert pool.choose(host, 20.1) is own, "the one that is free first"
    pool.failed(own, "gone", 20.1, 20.1)
    assert pool.choose(host, 20.2) is second, "none that rests while another is there"


def test_all_good_ones_are_used_where_hosts_are_spread() -> None:
    pool = ProxyPool(PROXIES, spread=True)
    for proxy in (pool.choose("h", 0.0) for _ in range(8)):
        pool.begin("h", proxy)
    counts = Counter({proxy: pool._running["h", proxy] for proxy in PROXIES})
    assert set(counts.values()) == {2}
    pool.end("h", PROXIES[2])
    assert pool.choose("h", 0.0) is PROXIES[2]


steps = st.lists(
    st.tuples(
        st.sampled_from(["failed", "served", "throttled", "choose"]),
        st.sampled_from(HOSTS[:3]),
        st.integers(0, 3),
        st.floats(0.0, 3.0),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_no_proxy_at_rest_is_chosen_while_another_is_good(
    steps: list[tuple[str, str, int, float]],
) -> None:
    pool, now = ProxyPool(PROXIES), 0.0
    rests = dict.fromkeys(PROXIES, 0.0)

    def rest(proxy: str, seconds: float, why: str) -> None:
        rests[next(each for each in PROXIES if each.name == proxy)] = now + seconds

    pool.on_rest = rest
    for what, host, number, later in steps:
        now += later
        proxy = PROXIES[number]
        if what == "failed":
            pool.failed(proxy, "gone", now, now)
        elif what == "served":
            pool.served(host, proxy, now)
            rests[proxy] = 0.0
        elif what == "throttled":
            pool.throttled(host, proxy, None, now, now)
        chosen = pool.choose(host, now)
        if any(pool._health[each].rests_until <= now for each in PROXIES if each is not chosen):
            assert rests[chosen] <= now
    for proxy in PROXIES:
        pool.found(proxy)
    assert own_of(pool, now + 1e6) == own_of(ProxyPool(PROXIES))


# -- what the judge makes of it --------------------------------------------------------------------


def lost(proxy: Proxy) -> FailedAttempt:
    return failed_attempt(FailureKind.CONNECT, Fault.PROXY, route=proxy)


def test_request_that_a_lost_proxy_cost_goes_on_at_once_and_uncounted() -> None:
    court = Court(Rules(retries=0), proxies=ProxyPool(PROXIES[:2]))
    pool = court.proxies
    assert pool is not None
    it = job()
    court.add(it)
    for proxy in PROXIES[:2]:
        assert court.take() is it
        pool.failed(proxy, "gone", court.now, court.now)
        assert court.end(it, lost(proxy), took_s=0.0) == []
    assert court.judge.outage.going_on, "all of them are gone"
    assert it.attempts == 0


def test_throttled_proxy_parks_no_host_while_there_is_another() -> None:
    court = Court(Rules(retries=3), Limits(per_host=4), proxies=ProxyPool(PROXIES[:2]))
    it = job()
    court.add(it)
    health = court.scheduler.health(it.target.host_key)
    for proxy, parked in ((PROXIES[0], False), (PROXIES[1], True)):
        assert court.take() is it
        refused = response(429, {"retry-after": "7"}, peer=None, route=proxy)
        assert court.end(it, refused, took_s=0.0) == []
        assert (health.parked_until > court.now) is parked
    assert it.attempts == 2
