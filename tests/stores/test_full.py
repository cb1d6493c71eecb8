"""Out of space, inodes, descriptors: trouble on our side, and no trace of the body."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fetchpool.model.bodies import StoreError
from fetchpool.output.sinks.directory import DirectoryStore
from tests.stores.bodies import (
    HEAD,
    files_in,
    open_descriptors,
    parts_in,
    path_of,
    target_of,
)
from tests.stores.conftest import OpenStore

TARGET = target_of()
PATH = path_of(TARGET)


def put_several(store: DirectoryStore) -> None:
    """Replace a body, then store more at new hosts."""
    store.put(TARGET, HEAD, b"new")
    for at in range(20):
        store.put(target_of(host=f"h{at}.example"), HEAD, b"new")


@contextmanager
def soft_limit(kind: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@contextmanager
def few_descriptors(free: int) -> Iterator[None]:
    """Let no more than *free* further descriptors be opened."""
    taken = []
    with soft_limit(resource.RLIMIT_NOFILE, open_descriptors() + 20):
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(free):
            os.close(taken.pop())
        try:
            yield
        finally:
            for fd in taken:
                os.close(fd)


@pytest.mark.usefixtures("file_system")
def test_a_write_that_fails_half_way_leaves_nothing(dest: Path, open_store: OpenStore) -> None:
    store = open_store()
    store.put(TARGET, HEAD, b"old")
    before = open_descriptors()
    with soft_limit(resource.RLIMIT_FSIZE, 1000):
        with pytest.raises(StoreError, match="cannot write") as caught:
            store.put(TARGET, HEAD, b"x" * 5000)
        writer = store.open(TARGET, HEAD)
        writer.write(b"x" * 900)
        with pytest.raises(StoreError):
            writer.write(b"x" * 900)
        writer.discard()
    assert caught.value.errno == errno.EFBIG
    assert files_in(dest) == {PATH: b"old"}
    assert parts_in(dest) == []
    assert open_descriptors() == before


@pytest.mark.usefixtures("file_system")
def test_out_of_descriptors_is_told_apart_and_passes(dest: Path, open_store: OpenStore) -> None:
    store = open_store()
    target = target_of("/a/b/c/d/e.jpg")
    for free in range(2):  # for the first directory, then for the second
        with few_descriptors(free), pytest.raises(StoreError) as caught:
            store.put(target, HEAD, b"body")
        assert caught.value.out_of_descriptors
    store.put(target, HEAD, b"body")
    assert files_in(dest) == {path_of(target): b"body"}
    assert parts_in(dest) == []


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("call", ["link", "rename", "mkdir", "open", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_failing_call_is_our_trouble_and_the_next_put_works(
    dest: Path,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
) -> None:
    store = open_store(durability="strict")
    store.put(TARGET, HEAD, b"old")
    store.put(target_of(host="new.example"), HEAD, b"old")
    before = open_descriptors()

    def fail(*_args: Any, **_options: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as failing:
        failing.setattr(os, call, fail)
        with pytest.raises(StoreError) as caught:
            put_several(store)
        assert caught.value.errno == code
    assert set(files_in(dest).values()) <= {b"old", b"new"}
    assert parts_in(dest) == []
    assert open_descriptors() <= before + 2  # directories opened meanwhile
    store.put(TARGET, HEAD, b"newer")
    assert files_in(dest)[PATH] == b"newer"


def test_a_dest_that_became_read_only_is_told_before_the_first_body(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("needs O_TMPFILE (Linux)")
    open_store()
    real = os.open

    def read_only(path: str, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_WRONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *args, **options)

    before = open_descriptors()
    with monkeypatch.context() as mounted:
        mounted.setattr(os, "open", read_only)
        with pytest.raises(StoreError, match="Read-only file system"):
            open_store()
    assert open_descriptors() == before


def test_a_disk_found_full_when_closing_leaves_the_old_body(
    dest: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, file_system: str
) -> None:
    if file_system == "unnamed":
        pytest.skip("file systems that tell so late (NFS) have no O_TMPFILE")
    store = open_store()
    store.put(TARGET, HEAD, b"old")
    real = os.close

    def close(fd: int) -> None:
        real(fd)
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as full:
        full.setattr(os, "close", close)
        with pytest.raises(StoreError, match="quota"):
            store.put(TARGET, HEAD, b"new")
    assert files_in(dest) == {PATH: b"old"}
    assert parts_in(dest) == []


@pytest.fixture
def tiny(dest: Path) -> Iterator[Path]:
    """*dest* on a file system of 64 KB and 20 inodes: for root on Linux only."""
    dest.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=20", "tmpfs", str(dest)]
    try:
        made = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        pytest.skip("there is no mount")
    if made.returncode:
        pytest.skip("may not mount a file system")
    yield dest
    subprocess.run(["umount", "--lazy", str(dest)], check=True)


@pytest.mark.usefixtures("file_system")
def test_a_full_disk_is_our_trouble(tiny: Path, open_store: OpenStore) -> None:
    store = open_store()
    store.put(TARGET, HEAD, b"x" * 4096)
    with pytest.raises(StoreError) as caught:
        store.put(target_of("/big"), HEAD, b"x" * 100_000)
    assert caught.value.errno == errno.ENOSPC
    assert files_in(tiny) == {PATH: b"x" * 4096}
    assert parts_in(tiny) == []
    store.put(target_of("/small"), HEAD, b"y")
    with pytest.raises(StoreError) as out_of_inodes:
        put_several(store)
    assert out_of_inodes.value.errno == errno.ENOSPC
    assert parts_in(tiny) == []
    store.close()
