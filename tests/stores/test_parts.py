"""Bodies that broke off: what is kept of them, for whom, and what is never taken for one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from fetchpool.model.bodies import PartWriter, Representation, StoreError
from fetchpool.model.disposition import suggested_filename
from fetchpool.model.urls import hiding
from fetchpool.model.values import Head
from fetchpool.output.sinks.directory import DirectoryStore
from fetchpool.output.sinks.memory import MemoryStore
from fetchpool.output.sinks.null import NullStore
from tests.stores.bodies import HEAD, files_in, open_descriptors, parts_in, path_of, target_of
from tests.stores.conftest import OpenStore
from tests.stores.test_attacks import KilledError, Killer

TARGET = target_of("/big.iso")
PATH = path_of(TARGET)
BODY = bytes(range(256)) * 4
HALF = len(BODY) // 2
REAL_LINK = os.link
ABOUT = Representation(TARGET.url, '"v1"', len(BODY), (("content-type", "image/jpeg"),))
OTHER = Representation(TARGET.url, '"v2"', len(BODY))

pytestmark = pytest.mark.usefixtures("file_system")


@contextmanager
def opened(dest: Path, boot: str = "boot", **options: object) -> Iterator[DirectoryStore]:
    store = DirectoryStore(dest, is_foreign=lambda _: False, boot=boot, **options)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


def break_off(store: DirectoryStore, length: int = HALF, about: Representation = ABOUT) -> None:
    writer = store.open(TARGET, HEAD, about)
    writer.write(BODY[:length])
    writer.suspend()


def reopened(store: DirectoryStore) -> PartWriter:
    part = store.reopen(TARGET, TARGET.url)
    assert part is not None
    return part


def go_on(store: DirectoryStore) -> None:
    part = reopened(store)
    part.write(BODY[part.length :])
    assert part.commit().path == PATH


def file_of(dest: Path, kind: str) -> Path:
    (found,) = (dest / ".fetchpool" / "parts").glob(f"*.{kind}")
    return found


def part_of(dest: Path) -> bytes:
    return file_of(dest, "part").read_bytes()


def replace_by_copy(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def test_a_body_that_broke_off_is_gone_on_with(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    break_off(store)
    assert files_in(dest) == {}
    part = reopened(store)
    assert (part.length, part.about) == (HALF, ABOUT)
    part.write(BODY[HALF:])
    assert part.commit().path == PATH
    assert files_in(dest) == {PATH: BODY}
    assert parts_in(dest) == []
    assert store.reopen(TARGET, TARGET.url) is None


def test_it_may_break_off_again_and_again(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    break_off(store, 100)
    for end in (200, 300):
        part = reopened(store)
        part.write(BODY[part.length : end])
        part.suspend()
    go_on(store)
    assert files_in(dest) == {PATH: BODY}


def test_a_later_run_goes_on_with_it(dest: Path) -> None:
    with opened(dest) as store:
        break_off(store)
    with opened(dest) as store:
        store.recover((), goes_on=True)
        go_on(store)
    assert files_in(dest) == {PATH: BODY}
    assert parts_in(dest) == []


def test_a_killed_process_leaves_what_it_wrote(dest: Path) -> None:
    code = (
        "import os, sys\n"
        "from tests.stores.test_parts import ABOUT, BODY, HALF, HEAD, TARGET, DirectoryStore\n"
        "store = DirectoryStore(sys.argv[1], is_foreign=lambda _: False, boot='boot')\n"
        "store.open(TARGET, HEAD, ABOUT).write(BODY[:HALF])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", code, str(dest)], cwd=root, check=False, capture_output=True
    )
    assert killed.returncode == -9, killed.stderr.decode()
    with opened(dest) as store:
        store.recover((), goes_on=True)
        assert reopened(store).length == HALF


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_killed_at_any_system_call_the_next_run_mixes_nothing(tmp_path: Path, late: bool) -> None:
    """Version 1 broke off; version 2 is begun, breaks off, is gone on with: killed anywhere."""
    second = bytes(255 - byte for byte in BODY)

    def work(dest: Path) -> None:
        store = DirectoryStore(dest, is_foreign=lambda _: False, boot="boot")
        writer = store.open(TARGET, HEAD, OTHER)
        writer.write(second[:HALF])
        writer.suspend()
        part = reopened(store)
        part.write(second[HALF:])
        part.commit()

    for calls in range(200):
        dest = tmp_path / str(calls)
        with opened(dest) as store:
            break_off(store)
        with pytest.MonkeyPatch.context() as monkeypatch:
            killer = Killer(monkeypatch, calls, late=late)
            finished = True
            try:
                work(dest)
            except KilledError:
                finished = False
        killer.bury()
        assert set(files_in(dest).values()) <= {second}
        with opened(dest) as store:
            store.recover((), goes_on=True)
            part = store.reopen(TARGET, TARGET.url)
            if part is not None:
                there = part.read(0, part.length)
                version = BODY if part.about.etag == ABOUT.etag else second
                assert there == version[: part.length]
                part.discard()
        assert parts_in(dest) == []
        if finished:
            assert calls > 10
            return
    pytest.fail("the work never came to its end")


def test_a_run_that_keeps_nothing_deletes_the_parts(dest: Path) -> None:
    with opened(dest) as store:
        break_off(store)
    with opened(dest) as store:
        store.recover((), goes_on=False)
        assert store.reopen(TARGET, TARGET.url) is None
    assert parts_in(dest) == []


def test_what_is_no_pair_is_deleted_with_the_leftovers(dest: Path) -> None:
    with opened(dest) as store:
        break_off(store)
    parts = dest / ".fetchpool" / "parts"
    names = parts_in(dest)
    for stray in ("1a-0", "a.part", "b.json", "c.new", f"{names[0].removesuffix('.json')}.new"):
        (parts / stray).write_bytes(b"x")
    with opened(dest) as store:
        store.recover((), goes_on=True)
        assert parts_in(dest) == names
        go_on(store)


@pytest.mark.parametrize("ending", ["discard", "commit"])
def test_nothing_is_left_once_it_ended(dest: Path, open_store: OpenStore, ending: str) -> None:
    store = open_store(boot="boot")
    writer = store.open(TARGET, HEAD, ABOUT)
    writer.write(BODY)
    assert len(parts_in(dest)) == 2
    getattr(writer, ending)()
    assert parts_in(dest) == []
    writer.suspend()
    writer.discard()
    assert store.reopen(TARGET, TARGET.url) is None
    assert set(files_in(dest)) == ({PATH} if ending == "commit" else set())


def test_ending_twice_spares_the_part_of_another(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    first = store.open(TARGET, HEAD, ABOUT)
    first.write(BODY)
    first.commit()
    second = store.open(TARGET, HEAD, OTHER)
    second.write(BODY[:HALF])
    first.discard()
    first.suspend()
    second.suspend()
    assert reopened(store).about == OTHER


def test_one_url_twice_at_a_time_shares_no_part(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    first, second = store.open(TARGET, HEAD, ABOUT), store.open(TARGET, HEAD, OTHER)
    first.write(BODY[:HALF])
    second.write(b"second")
    assert store.reopen(TARGET, TARGET.url) is None
    assert second.commit().path == PATH
    assert files_in(dest) == {PATH: b"second"}
    first.suspend()
    part = reopened(store)
    assert part.about == ABOUT
    assert store.reopen(TARGET, TARGET.url) is None
    third = store.open(TARGET, HEAD, OTHER)  # while the part is being gone on with
    third.write(b"third")
    third.suspend()
    part.write(BODY[HALF:])
    part.commit()
    assert files_in(dest) == {PATH: BODY}
    assert parts_in(dest) == []


def test_two_processes_share_no_part(dest: Path) -> None:
    with opened(dest) as one, opened(dest) as two:
        writer = one.open(TARGET, HEAD, ABOUT)
        writer.write(BODY[:HALF])
        other = two.open(TARGET, HEAD, OTHER)
        other.write(b"other")
        writer.suspend()
        with opened(dest) as three:
            part = reopened(three)
            assert one.reopen(TARGET, TARGET.url) is None
            part.write(BODY[HALF:])
            part.commit()
        other.suspend()
    assert files_in(dest) == {PATH: BODY}
    assert parts_in(dest) == []


def test_a_new_body_takes_the_place_of_the_part(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    break_off(store)
    writer = store.open(TARGET, HEAD, OTHER)
    writer.write(b"new")
    writer.suspend()
    part = reopened(store)
    assert (part.about, part.length) == (OTHER, 3)


def test_a_body_stored_otherwise_ends_the_part(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    break_off(store)
    store.put(target_of("/else"), HEAD, b"another")
    assert len(parts_in(dest)) == 2
    store.put(TARGET, HEAD, b"small")
    assert parts_in(dest) == []
    assert store.reopen(TARGET, TARGET.url) is None


def test_only_the_url_that_answered_goes_on(open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    hop = msgspec.structs.replace(ABOUT, url="http://cdn.example/big")
    break_off(store, about=hop)
    assert store.reopen(TARGET, TARGET.url) is None
    part = store.reopen(TARGET, "http://cdn.example/big")
    assert part is not None
    assert part.about == hop


def test_a_url_with_userinfo_leaves_no_part(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    secret = msgspec.structs.replace(TARGET, authorization="Basic c2VjcmV0")
    writer = store.open(secret, HEAD, ABOUT)
    writer.write(BODY[:HALF])
    writer.suspend()
    assert parts_in(dest) == []
    break_off(store)
    assert store.reopen(secret, TARGET.url) is None


def test_a_url_with_a_marked_value_leaves_no_part(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    secret = target_of("/big.iso?token=canary")
    with hiding(["token"]):
        for target, url in ((secret, TARGET.url), (TARGET, secret.url)):
            writer = store.open(target, HEAD, msgspec.structs.replace(ABOUT, url=url))
            writer.write(BODY[:HALF])
            writer.suspend()
            assert parts_in(dest) == []
            assert store.reopen(target, url) is None


def test_no_part_of_a_url_is_in_a_name(dest: Path, open_store: OpenStore) -> None:
    break_off(open_store(boot="boot"))
    assert all(len(name.partition(".")[0]) == 32 for name in parts_in(dest))


def test_the_name_is_made_of_the_first_answer(dest: Path) -> None:
    """An answer to If-Range need not repeat type and file name (RFC 9110 §15.3.7)."""
    headers = (("content-type", "text/html"), ("content-disposition", 'attachment; filename="a b"'))
    about = Representation(TARGET.url, '"v1"', len(BODY), headers)
    paths = []
    for broken in (False, True):
        with opened(dest / str(broken), filename_of=suggested_filename) as store:
            writer = store.open(TARGET, Head(200, headers), about)
            writer.write(BODY[:HALF])
            if broken:
                writer.suspend()
            rest = reopened(store) if broken else writer
            rest.write(BODY[HALF:])
            paths.append(rest.commit().path)
    assert paths[0] == paths[1]
    assert paths[0] is not None
    assert paths[0].endswith(".html")


# --- what can't be trusted


def test_a_body_that_is_all_there_lacks_its_last_byte(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    break_off(store, len(BODY))
    assert reopened(store).length == len(BODY) - 1


@pytest.mark.parametrize(
    "tamper",
    [
        lambda dest: file_of(dest, "part").write_bytes(b""),
        lambda dest: file_of(dest, "part").write_bytes(BODY + b"x"),
        lambda dest: file_of(dest, "part").unlink(),
        lambda dest: replace_by_copy(file_of(dest, "part")),
        lambda dest: file_of(dest, "json").write_bytes(b""),
        lambda dest: file_of(dest, "json").write_bytes(b"\xff{}"),
        lambda dest: file_of(dest, "json").write_text('{"about": {}}'),
        lambda dest: file_of(dest, "json").unlink(),
    ],
    ids=["empty", "too long", "gone", "another file", "no facts", "garbage", "too few", "alone"],
)
def test_a_part_that_was_tampered_with_is_none(
    dest: Path, tamper: Callable[[Path], object]
) -> None:
    with opened(dest) as store:
        break_off(store)
        tamper(dest)
        assert store.reopen(TARGET, TARGET.url) is None
        writer = store.open(TARGET, HEAD, OTHER)
        writer.write(BODY)
        assert writer.commit().path == PATH
    assert files_in(dest)[PATH] == BODY
    assert parts_in(dest) == []


def test_a_part_with_a_second_name_is_somebody_elses(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    break_off(store)
    REAL_LINK(file_of(dest, "part"), dest / "snapshot")
    assert store.reopen(TARGET, TARGET.url) is None
    break_off(store, 10)
    assert (dest / "snapshot").read_bytes() == BODY[:HALF]


def test_a_part_that_was_cut_goes_on_where_it_ends(dest: Path, open_store: OpenStore) -> None:
    store = open_store(boot="boot")
    break_off(store)
    os.truncate(file_of(dest, "part"), 10)
    part = reopened(store)
    assert part.length == 10
    part.write(BODY[10:])
    part.commit()
    assert files_in(dest) == {PATH: BODY}


def test_a_part_that_changes_while_it_is_gone_on_with_is_no_body(
    dest: Path, open_store: OpenStore
) -> None:
    store = open_store(boot="boot")
    break_off(store)
    part = reopened(store)
    os.truncate(file_of(dest, "part"), 10)
    part.write(BODY[HALF:])
    with pytest.raises(StoreError):
        part.commit()
    assert files_in(dest) == {}
    assert parts_in(dest) == []


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        *(("part", how) for how in ("symlink", "hard link", "directory", "FIFO")),
        *(("json", how) for how in ("symlink", "hard link", "FIFO")),
    ],
)
def test_what_somebody_put_in_a_parts_place_is_not_written(
    dest: Path, tmp_path: Path, kind: str, how: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(BODY[:HALF])
    with opened(dest) as store:
        break_off(store)
        path = file_of(dest, kind)
        path.unlink()
        if how == "symlink":
            path.symlink_to(precious)
        elif how == "hard link":
            REAL_LINK(precious, path)
        elif how == "directory":
            path.mkdir()
        else:
            os.mkfifo(path)
        assert store.reopen(TARGET, TARGET.url) is None
        writer = store.open(TARGET, HEAD, OTHER)
        writer.write(BODY)
        writer.commit()
    assert files_in(dest) == {PATH: BODY}
    assert precious.read_bytes() == BODY[:HALF]


@pytest.mark.parametrize(
    ("durability", "then", "length"),
    [
        ("none", "boot", HALF),
        ("none", "another", None),
        ("none", "", None),
        ("batch", "another", HALF),
        ("strict", "", HALF),
    ],
)
def test_after_a_restart_of_the_system_only_what_was_synced_counts(
    dest: Path, durability: str, then: str, length: int | None
) -> None:
    with opened(dest, durability=durability) as store:
        break_off(store)
    with opened(dest, boot=then) as store:
        part = store.reopen(TARGET, TARGET.url)
        assert (None if part is None else part.length) == length
        if part is not None:
            part.discard()


@pytest.mark.parametrize("boots", [("boot", "another"), ("", "")])
def test_a_killed_process_has_synced_nothing(dest: Path, boots: tuple[str, str]) -> None:
    with opened(dest, boots[0]) as store:
        writer = store.open(TARGET, HEAD, ABOUT)
        writer.write(BODY[:HALF])
        with opened(dest, boots[1]) as other:
            names = parts_in(dest)
            other.recover((), goes_on=True)
            assert parts_in(dest) == names
    writer.suspend()  # closes the file: no process has it any more
    with opened(dest, boots[1]) as store:
        assert store.reopen(TARGET, TARGET.url) is None


def test_what_came_after_the_sync_is_cut_off_after_a_restart(dest: Path) -> None:
    with opened(dest) as store:
        break_off(store)
    with opened(dest, durability="none") as store:
        part = reopened(store)
        part.write(BODY[HALF : HALF + 100])
        part.suspend()
    with opened(dest, boot="second", durability="none") as store:
        part = reopened(store)
        assert part.length == HALF
        part.write(BODY[HALF : HALF + 50])
        part.suspend()
    with opened(dest, boot="second") as store:  # the same start of the system: all counts
        assert reopened(store).length == HALF + 50


def test_the_facts_hold_no_more_than_is_needed(dest: Path, open_store: OpenStore) -> None:
    break_off(open_store(boot="boot"))
    facts = json.loads(file_of(dest, "json").read_bytes())
    assert set(facts) == {"about", "inode", "boot", "synced"}
    assert set(facts["about"]) == {"url", "etag", "total", "headers"}


# --- trouble


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_a_body_is_stored_as_ever(
    dest: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    store = open_store(boot="boot")
    for _ in range(2):
        break_off(store)
        assert store.reopen(TARGET, TARGET.url) is None
    writer = store.open(TARGET, HEAD, ABOUT)
    writer.write(BODY)
    writer.commit()
    assert files_in(dest) == {PATH: BODY}


def test_a_full_disk_leaves_neither_body_nor_part(
    dest: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(boot="boot")
    break_off(store)
    part = reopened(store)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError):
        part.write(BODY[HALF:])
    with pytest.raises(StoreError):
        store.open(TARGET, HEAD, ABOUT)
    assert (files_in(dest), parts_in(dest)) == ({}, [])


def test_out_of_descriptors_is_told_and_costs_no_part(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(boot="boot")
    break_off(store)

    def none_left(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", none_left)
        with pytest.raises(StoreError) as caught:
            store.reopen(TARGET, TARGET.url)
    assert caught.value.out_of_descriptors
    assert reopened(store).length == HALF


def test_no_descriptor_is_left_open(dest: Path) -> None:
    before = open_descriptors()
    with opened(dest) as store:
        for ending in ("suspend", "discard", "commit", "suspend"):
            writer = store.reopen(TARGET, TARGET.url) or store.open(TARGET, HEAD, ABOUT)
            writer.write(BODY[:HALF] if ending == "suspend" else BODY[len(part_of(dest)) :])
            getattr(writer, ending)()
            writer.discard()
        file_of(dest, "json").write_bytes(b"")
        assert store.reopen(TARGET, TARGET.url) is None
    assert open_descriptors() == before


@pytest.mark.parametrize("store", [MemoryStore(), NullStore()])
def test_stores_that_keep_nothing_have_nothing_to_go_on_with(
    store: MemoryStore | NullStore,
) -> None:
    writer = store.open(TARGET, HEAD, ABOUT)
    writer.write(b"x")
    writer.suspend()
    assert store.reopen(TARGET, TARGET.url) is None
