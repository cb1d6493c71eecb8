"""What is asked of a store is done once and whole, whatever becomes of requests and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fetchpool.config import ConfigError
from fetchpool.model.bodies import RemoteStoreError
from fetchpool.model.remote import Remote
from fetchpool.output.remote import bucket as module
from fetchpool.output.remote.bucket import Bucket, MissingError, RefusedError, Version
from tests.remote.store import Objects
from tests.servers.store_proxy import Asked, Fault, StoreProxy

pytestmark = pytest.mark.usefixtures("in_process")

OFTEN = 5
"""More than obstore tries by itself."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(module, "_LONGEST_DELAY_S", 0.001)


@pytest.fixture
def bucket(objects: Objects) -> Bucket:
    return Bucket(Remote("s3", objects.bucket, "pre/fix"), 60)


def first(count: int, fault: Fault, method: str = "PUT") -> Callable[[Asked], Fault | None]:
    """Do *fault* to the first *count* requests of *method*."""
    left = [count]

    def rule(asked: Asked) -> Fault | None:
        if asked.method != method or not left[0]:
            return None
        left[0] -= 1
        return fault

    return rule


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.SLOW_DOWN, Fault.LOST])
def test_an_object_is_put_whatever_becomes_of_requests(
    fault: Fault, bucket: Bucket, objects: Objects, proxy: StoreProxy
) -> None:
    proxy.fault = first(OFTEN, fault)
    bucket.put("a b/c~é.html", lambda: iter([b"one ", b"two"]), 7, {"Content-Type": "text/x"})
    assert objects.read("pre/fix/a b/c~é.html") == b"one two"
    assert objects.headers("pre/fix/a b/c~é.html")["content-type"] == "text/x"
    assert sum(asked.method == "PUT" for asked in proxy.asked) == OFTEN + 1


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.SLOW_DOWN, Fault.LOST])
def test_a_large_object_goes_up_in_parts_each_tried_again(
    fault: Fault, bucket: Bucket, objects: Objects, proxy: StoreProxy
) -> None:
    size = 2 * module.SINGLE + 12_345
    pieces = [bytes([n]) * (1 << 20) for n in range(size >> 20)] + [b"x" * (size % (1 << 20))]
    proxy.fault = first(1, fault)
    bucket.put("big", lambda: iter(pieces), size)
    assert objects.read("pre/fix/big") == b"".join(pieces)
    assert sum("partNumber" in asked.query for asked in proxy.asked) >= 3
    ended = [asked for asked in proxy.asked if asked.method == "POST" and "uploadId" in asked.query]
    proxy.fault = first(1, fault, "POST")
    bucket.put("big", lambda: iter(pieces), size)
    assert ended
    assert bucket.size("big") == size


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.SLOW_DOWN, Fault.LOST, None])
def test_put_if_absent_knows_its_own_object_and_no_others(
    fault: Fault | None, bucket: Bucket, objects: Objects, proxy: StoreProxy
) -> None:
    if fault is not None:
        proxy.fault = first(OFTEN, fault)
    version = bucket.create("new", b"mine")
    assert version is not None
    assert bucket.create("new", b"another's") is None
    assert objects.read("pre/fix/new") == b"mine"
    assert bucket.create("new", b"mine") == version


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.SLOW_DOWN, Fault.LOST, None])
def test_a_swap_replaces_only_what_was_seen(
    fault: Fault | None, bucket: Bucket, objects: Objects, proxy: StoreProxy
) -> None:
    one = bucket.create("lock", b"1")
    assert one is not None
    if fault is not None:
        proxy.fault = first(OFTEN, fault)
    two = bucket.swap("lock", b"2", one)
    assert two is not None
    assert bucket.swap("lock", b"3", one) is None
    assert objects.read("pre/fix/lock") == b"2"
    found = bucket.read("lock")
    assert found is not None
    assert (found.data, found.version.e_tag) == (b"2", two.e_tag)


def test_what_is_there_is_read_in_pieces_listed_and_deleted(
    bucket: Bucket, objects: Objects, proxy: StoreProxy
) -> None:
    data = bytes(range(256)) * 50_000
    objects.write("pre/fix/d/big", data)
    objects.write("pre/fix/d/small", b"s")
    objects.write("pre/fixed/other", b"o")
    proxy.fault = first(OFTEN, Fault.SLOW_DOWN, "GET")
    assert b"".join(bucket.pieces("d/big")) == data
    assert b"".join(bucket.pieces("d/big", 300, 1000)) == data[300:1300]
    assert sorted(bucket.names()) == ["d/big", "d/small"]
    assert sorted(bucket.names("d/")) == ["d/big", "d/small"]
    bucket.remove("d/small")
    bucket.remove("d/small")
    assert bucket.names() == ["d/big"]
    assert (bucket.size("d/big"), bucket.size("d/small")) == (len(data), None)
    with pytest.raises(MissingError):
        list(bucket.pieces("d/small"))


def test_trouble_that_lasts_is_told_without_a_secret(
    objects: Objects, proxy: StoreProxy, bucket: Bucket
) -> None:
    impatient = Bucket(bucket.remote, 0.01)
    proxy.fault = lambda asked: Fault.SLOW_DOWN
    with pytest.raises(RemoteStoreError, match=r"cannot put s3://\S+/x: 503 .*\(SlowDown\)$"):
        impatient.put("x", lambda: iter([b"x"]), 1)
    proxy.fault = lambda asked: Fault.RESET
    with pytest.raises(RemoteStoreError) as reset:
        impatient.read("x")
    assert "\n" not in str(reset.value)
    assert "a-secret-of-the-store" not in str(reset.value)


def test_what_cannot_pass_is_not_tried_again(proxy: StoreProxy, bucket: Bucket) -> None:
    proxy.fault = lambda asked: Fault.DENIED
    with pytest.raises(RefusedError, match=r"403 .*\(AccessDenied\)"):
        bucket.put("x", lambda: iter([b"x"]), 1)
    assert len(proxy.asked) == 1
    proxy.fault = lambda asked: None
    nowhere = Bucket(Remote("s3", "no-such-bucket"), 60)
    with pytest.raises(MissingError, match="NoSuchBucket"):
        nowhere.create("x", b"x")
    assert len(proxy.asked) == 2


def test_who_gives_up_waits_no_longer(proxy: StoreProxy, bucket: Bucket) -> None:
    def rule(asked: Asked) -> Fault:
        bucket.give_up()
        return Fault.SLOW_DOWN

    proxy.fault = rule
    with pytest.raises(RemoteStoreError):
        bucket.put("x", lambda: iter([b"x"]), 1)


def test_a_body_is_read_anew_for_each_try(bucket: Bucket, proxy: StoreProxy) -> None:
    begun: list[int] = []

    def pieces() -> Iterator[bytes]:
        begun.append(1)
        yield b"whole"

    proxy.fault = first(OFTEN, Fault.RESET)
    bucket.put("x", pieces, 5)
    assert len(begun) > 1
    assert bucket.size("x") == 5


def test_plain_http_needs_leave(monkeypatch: pytest.MonkeyPatch, objects: Objects) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(RemoteStoreError, match="AWS_ALLOW_HTTP=true"):
        Bucket(Remote("s3", objects.bucket), 60).read("x")


def test_settings_that_are_wanting_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigError, match="Account must be specified"):
        Bucket(Remote("az", "container"), 60)


def test_a_version_of_another_object_is_none(bucket: Bucket) -> None:
    assert bucket.create("x", b"1")
    assert bucket.swap("x", b"2", Version('"0"', None)) is None
