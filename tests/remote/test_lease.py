"""Two runs are never at one prefix, by the store's word alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from fetchpool.model.bodies import RemoteStoreError
from fetchpool.model.remote import Remote
from fetchpool.output.ledger.errors import DirectoryBusyError, LeaseLostError, OutputError
from fetchpool.output.remote import leave
from fetchpool.output.remote.bucket import Bucket
from fetchpool.output.remote.lease import LOCK, Lease, is_taken
from fetchpool.output.remote.leave import Leave
from tests.remote.store import Objects
from tests.servers.store_proxy import Asked, Fault, StoreProxy

pytestmark = pytest.mark.usefixtures("in_process")

KEY = f"p/{LOCK}"


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bucket(objects: Objects) -> Bucket:
    return Bucket(Remote("s3", objects.bucket, "p"), 1)


def lease_of(bucket: Bucket, holder: str, **options: Any) -> Lease:
    return Lease(bucket, holder, Path(f"{holder}.lease"), **options)


def taken(bucket: Bucket, holder: str, **options: Any) -> Lease:
    lease = lease_of(bucket, holder, **options)
    lease.take()
    return lease


def test_only_one_of_two_has_it(bucket: Bucket, objects: Objects) -> None:
    first = taken(bucket, "first")
    with pytest.raises(DirectoryBusyError, match=r"another run holds s3://\S+/p: process \d+ on "):
        lease_of(bucket, "second").take()
    first.release()
    assert objects.json(KEY)["holder"] is None
    second = taken(bucket, "second")
    first.release()
    assert objects.json(KEY)["holder"] == "second"
    second.release()


def test_of_many_that_take_a_free_one_at_the_same_time_one_gets_it(bucket: Bucket) -> None:
    for before in (None, "released"):
        if before:
            taken(bucket, before).release()
        got: list[str] = []

        def take(name: str, got: list[str] = got) -> None:
            try:
                taken(bucket, name)
                got.append(name)
            except DirectoryBusyError:
                return

        threads = [threading.Thread(target=take, args=(f"{before}-{n}",)) for n in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(got) == 1
        bucket.remove(LOCK)


def test_one_that_ran_out_is_taken_over_and_its_holder_learns_of_it(
    bucket: Bucket, objects: Objects
) -> None:
    dead = taken(bucket, "dead")
    told = objects.json(KEY)
    objects.write(KEY, b'{"holder":"dead","lease_s":0}')
    heir = taken(bucket, "heir")
    assert objects.json(KEY)["holder"] == "heir"
    with pytest.raises(LeaseLostError, match="has taken"):
        dead.renew()
    dead.release()
    assert objects.json(KEY)["holder"] == "heir"
    heir.renew()
    heir.renew()
    assert told["lease_s"] == 60


def test_who_is_known_to_be_dead_is_not_waited_for(bucket: Bucket, objects: Objects) -> None:
    taken(bucket, "killed")
    with pytest.raises(DirectoryBusyError):
        lease_of(bucket, "next").take(dead=["somebody else"])
    lease_of(bucket, "next").take(dead=["killed"])
    assert objects.json(KEY)["holder"] == "next"


def test_a_holder_renews_it_until_it_is_lost(bucket: Bucket, objects: Objects) -> None:
    lost: list[LeaseLostError] = []
    said = threading.Event()

    def on_lost(error: LeaseLostError) -> None:
        lost.append(error)
        said.set()

    lease = taken(bucket, "holder", renew_s=0.01)
    lease.keep(on_lost)
    beats = threading.Event()
    while objects.json(KEY)["beat"] < 3:
        assert not beats.wait(0.01)
    objects.write(KEY, b'{"holder":"thief"}')
    assert said.wait(30)
    assert "has taken" in str(lost[0])
    lease.release()
    assert objects.json(KEY)["holder"] == "thief"


def test_a_holder_that_cannot_renew_it_goes_on_until_the_store_says_that_it_is_lost(
    objects: Objects, bucket: Bucket, proxy: StoreProxy
) -> None:
    said = threading.Event()
    failed = threading.Semaphore(0)

    def fail(asked: Asked) -> Fault:
        failed.release()
        return Fault.SLOW_DOWN

    lease = lease_of(Bucket(bucket.remote, 0.01), "holder", renew_s=0.01)
    lease.take()
    proxy.fault = fail
    lease.keep(lambda error: said.set())
    for _ in range(4):  # more than one renewal has failed
        assert failed.acquire(timeout=30)
    assert not said.is_set()
    objects.write(KEY, b'{"holder":"thief"}')
    proxy.fault = lambda asked: None
    assert said.wait(30)


def test_nothing_is_put_without_a_lease_that_is_known_to_last(
    bucket: Bucket, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Bucket(bucket.remote, 0.01, Leave(Path("holder.lease")))

    def put() -> None:
        writer.put("body", lambda: iter([b"x"]), 1)

    with pytest.raises(RemoteStoreError, match="the lease could not be renewed"):
        put()
    lease = taken(bucket, "holder")
    put()
    later = leave.now() + 56
    monkeypatch.setattr(leave, "now", lambda: later)
    with pytest.raises(RemoteStoreError, match="the lease could not be renewed"):
        put()
    monkeypatch.setattr("fetchpool.output.remote.lease.now", lambda: later)
    lease.renew()
    put()
    objects.write(KEY, b'{"holder":"thief"}')
    with pytest.raises(LeaseLostError):
        lease.renew()
    monkeypatch.setattr(leave, "now", lambda: later + 56)
    with pytest.raises(LeaseLostError, match="has taken"):
        put()


def test_a_store_that_passes_over_conditions_is_refused(
    bucket: Bucket, objects: Objects, proxy: StoreProxy
) -> None:
    proxy.fault = lambda asked: Fault.UNCONDITIONAL
    with pytest.raises(OutputError, match="passes over If-None-Match and If-Match"):
        taken(bucket, "first")
    assert objects.names() == set()


def test_an_answer_that_was_lost_makes_no_stranger_of_us(
    bucket: Bucket, proxy: StoreProxy, objects: Objects
) -> None:
    patient = Bucket(bucket.remote, 60)
    seen: set[str] = set()

    def first_of_each_method(asked: Asked) -> Fault | None:
        if asked.method in seen:
            return None
        seen.add(asked.method)
        return Fault.LOST

    for work in ("take", "renew", "release"):
        seen.clear()
        proxy.fault = first_of_each_method
        if work == "take":
            lease = taken(patient, "holder")
        else:
            getattr(lease, work)()
        assert objects.json(KEY)["holder"] == (None if work == "release" else "holder")


def test_nor_does_a_renewal_of_which_nothing_is_ever_heard(
    bucket: Bucket, proxy: StoreProxy, objects: Objects
) -> None:
    lease = lease_of(Bucket(bucket.remote, 0.001), "holder")
    lease.take()
    proxy.fault = lambda asked: Fault.LOST if asked.method == "PUT" else Fault.RESET
    with pytest.raises(RemoteStoreError):
        lease.renew()
    assert objects.json(KEY)["beat"] == 1
    proxy.fault = lambda asked: None
    lease.renew()
    assert objects.json(KEY)["beat"] == 2
    lease.release()
    assert objects.json(KEY)["holder"] is None


def test_trouble_that_passes_does_not_keep_it_from_being_released(
    bucket: Bucket, proxy: StoreProxy, objects: Objects
) -> None:
    lease = taken(bucket, "holder")
    faults = [Fault.RESET, Fault.RESET]
    proxy.fault = lambda asked: faults.pop() if faults else None
    lease.release()
    assert objects.json(KEY)["holder"] is None


def test_it_is_shown_while_it_is_held(bucket: Bucket, objects: Objects) -> None:
    assert not is_taken(bucket, 0.0)
    lease = taken(bucket, "holder")
    found = bucket.read(LOCK)
    assert found is not None
    assert is_taken(bucket, found.modified + 59)
    assert not is_taken(bucket, found.modified + 61)
    lease.release()
    assert not is_taken(bucket, found.modified)
