from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.bodies import StoreError
from fetchpool.model.values import Head
from fetchpool.output.names import alternate_path, body_path
from fetchpool.output.sinks import directory as directory_module
from fetchpool.output.sinks.directory import DirectoryStore
from tests.stores.bodies import (
    CONTENT_TYPE,
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
HOST = PATH.partition("/")[0]
ALTERNATE = alternate_path(TARGET, CONTENT_TYPE)
BESIDE = [ALTERNATE.replace("/", f"~{number}/", 1) for number in range(2, 18)]

pytestmark = pytest.mark.usefixtures("file_system")


def occupy(dest: Path, *paths: str) -> None:
    for path in paths:
        (dest / path).parent.mkdir(parents=True, exist_ok=True)
        (dest / path).write_bytes(b"theirs")


def test_a_small_body_is_stored_under_its_urls_name(dest: Path, open_store: OpenStore) -> None:
    stored = open_store().put(TARGET, HEAD, b"body")
    assert stored.path == PATH
    assert stored.body is None
    assert files_in(dest) == {PATH: b"body"}
    assert parts_in(dest) == []


def test_an_empty_body_is_an_empty_file(dest: Path, open_store: OpenStore) -> None:
    open_store().put(TARGET, HEAD, b"")
    assert files_in(dest) == {PATH: b""}


@pytest.mark.parametrize("chunk", [b"abc", bytearray(b"abc"), memoryview(b"xabc")[1:]])
def test_chunks_may_be_any_bytes_like_object(
    dest: Path, open_store: OpenStore, chunk: bytes | bytearray | memoryview
) -> None:
    writer = open_store().open(TARGET, HEAD)
    writer.write(chunk)
    writer.write(chunk)
    assert writer.commit().path == PATH
    assert files_in(dest) == {PATH: b"abcabc"}


def test_a_streaming_body_has_no_final_name_before_commit(
    dest: Path, open_store: OpenStore, file_system: str
) -> None:
    writer = open_store().open(TARGET, HEAD)
    writer.write(b"half")
    assert files_in(dest) == {}
    assert len(parts_in(dest)) == (0 if file_system == "unnamed" else 1)
    writer.write(b" whole")
    assert files_in(dest) == {}
    writer.commit()
    assert files_in(dest) == {PATH: b"half whole"}


def test_short_writes_are_continued(
    dest: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, chunk: write(fd, chunk[:7]))
    body = bytes(range(100))
    store.put(TARGET, HEAD, body)
    assert files_in(dest) == {PATH: body}


def test_a_discarded_body_leaves_nothing(dest: Path, open_store: OpenStore) -> None:
    writer = open_store().open(TARGET, HEAD)
    writer.write(b"half")
    writer.discard()
    writer.discard()
    assert files_in(dest) == {}
    assert parts_in(dest) == []


def test_discard_after_commit_keeps_the_body(dest: Path, open_store: OpenStore) -> None:
    writer = open_store().open(TARGET, HEAD)
    writer.write(b"whole")
    writer.commit()
    writer.discard()
    assert files_in(dest) == {PATH: b"whole"}


def test_discarding_a_new_body_keeps_the_old_one(dest: Path, open_store: OpenStore) -> None:
    store = open_store()
    store.put(TARGET, HEAD, b"old")
    writer = store.open(TARGET, HEAD)
    writer.write(b"new")
    writer.discard()
    assert files_in(dest) == {PATH: b"old"}


def test_our_own_file_of_an_earlier_run_is_replaced(dest: Path, open_store: OpenStore) -> None:
    open_store().put(TARGET, HEAD, b"a longer old body")
    assert open_store().put(TARGET, HEAD, b"new").path == PATH
    assert files_in(dest) == {PATH: b"new"}
    assert parts_in(dest) == []


def test_a_foreign_file_is_kept_and_the_body_gets_its_alternate_name(
    dest: Path, open_store: OpenStore
) -> None:
    occupy(dest, PATH)
    store = open_store((PATH,))
    assert store.put(TARGET, HEAD, b"first").path == ALTERNATE
    assert store.put(TARGET, HEAD, b"second").path == ALTERNATE
    assert files_in(dest) == {PATH: b"theirs", ALTERNATE: b"second"}


def test_foreign_files_under_several_names_are_kept(dest: Path, open_store: OpenStore) -> None:
    occupy(dest, PATH, ALTERNATE, BESIDE[0])
    store = open_store((PATH, ALTERNATE, BESIDE[0]))
    assert store.put(TARGET, HEAD, b"first").path == BESIDE[1]
    assert store.put(TARGET, HEAD, b"second").path == BESIDE[1]
    theirs = dict.fromkeys([PATH, ALTERNATE, BESIDE[0]], b"theirs")
    assert files_in(dest) == {**theirs, BESIDE[1]: b"second"}


def test_a_dest_full_of_foreign_files_is_our_trouble(dest: Path, open_store: OpenStore) -> None:
    paths = [PATH, ALTERNATE, *BESIDE]
    occupy(dest, *paths)
    with pytest.raises(StoreError, match="File exists"):
        open_store(tuple(paths)).put(TARGET, HEAD, b"body")
    assert files_in(dest) == dict.fromkeys(paths, b"theirs")
    assert parts_in(dest) == []


def test_a_directory_where_the_file_should_be_is_left_alone(
    dest: Path, open_store: OpenStore
) -> None:
    (dest / PATH).mkdir(parents=True)
    assert open_store().put(TARGET, HEAD, b"body").path == ALTERNATE
    assert files_in(dest) == {ALTERNATE: b"body"}
    assert (dest / PATH).is_dir()


def test_a_foreign_file_where_a_directory_should_be_is_left_alone(
    dest: Path, open_store: OpenStore
) -> None:
    occupy(dest, HOST)
    assert open_store((HOST,)).put(TARGET, HEAD, b"first").path == BESIDE[0]
    assert open_store((HOST,)).put(TARGET, HEAD, b"second").path == BESIDE[0]
    assert files_in(dest) == {HOST: b"theirs", BESIDE[0]: b"second"}


def test_a_file_planted_while_a_body_streams_is_left_alone(
    dest: Path, open_store: OpenStore
) -> None:
    writer = open_store((HOST,)).open(TARGET, HEAD)
    writer.write(b"body")
    shutil.rmtree(dest / HOST, ignore_errors=True)
    occupy(dest, HOST)
    assert writer.commit().path == BESIDE[0]
    assert files_in(dest) == {HOST: b"theirs", BESIDE[0]: b"body"}


def test_a_servers_file_name_is_used_where_that_is_wanted(
    dest: Path, open_store: OpenStore
) -> None:
    store = open_store(filename_of=lambda head: head.get("x-name"))
    head = Head(200, (*HEAD.headers, ("x-name", "../report.pdf")))
    path = store.put(TARGET, head, b"body").path
    assert path == body_path(TARGET, CONTENT_TYPE, "../report.pdf")
    assert store.put(TARGET, HEAD, b"unnamed").path == PATH
    assert files_in(dest) == {path: b"body", PATH: b"unnamed"}


@pytest.mark.parametrize("host", [".fetchpool", "results.jsonl"])
def test_no_host_takes_a_name_of_the_run_itself(
    dest: Path, open_store: OpenStore, host: str
) -> None:
    path = open_store().put(target_of(host=host), HEAD, b"body").path
    assert path is not None
    assert not path.startswith(f"{host}/")
    assert (dest / path).read_bytes() == b"body"


def test_bodies_of_one_url_at_the_same_time_end_whole_and_the_last_stays(
    dest: Path, open_store: OpenStore
) -> None:
    store = open_store()
    first, second = store.open(TARGET, HEAD), store.open(TARGET, HEAD)
    first.write(b"fir")
    second.write(b"sec")
    second.write(b"ond")
    second.commit()
    assert files_in(dest) == {PATH: b"second"}
    first.write(b"st")
    first.commit()
    assert files_in(dest) == {PATH: b"first"}
    assert parts_in(dest) == []


@pytest.mark.parametrize("directories", [0, 1, 4])
def test_more_directories_than_may_be_open_are_all_written(
    dest: Path, open_store: OpenStore, directories: int
) -> None:
    before = open_descriptors()
    store = open_store(directories=directories)
    targets = [target_of(f"/d{at % 7}/e/{at}.jpg", f"h{at % 30}.example") for at in range(120)]
    for at, target in enumerate(targets):
        store.put(target, HEAD, b"%d" % at)
    assert open_descriptors() <= before + max(directories, 1) + 3
    assert files_in(dest) == {path_of(target): b"%d" % at for at, target in enumerate(targets)}
    store.close()
    store.close()
    assert open_descriptors() == before


def test_a_writer_outlives_its_directorys_descriptor(dest: Path, open_store: OpenStore) -> None:
    store = open_store(directories=2)
    writer = store.open(TARGET, HEAD)
    for at in range(5):
        store.put(target_of(host=f"h{at}.example"), HEAD, b"other")
    writer.write(b"body")
    writer.commit()
    assert files_in(dest)[PATH] == b"body"


def test_a_removed_directory_is_made_anew(dest: Path, open_store: OpenStore) -> None:
    store = open_store()
    store.put(TARGET, HEAD, b"first")
    writer = store.open(TARGET, HEAD)
    writer.write(b"streamed")
    shutil.rmtree(dest / HOST)
    store.put(TARGET, HEAD, b"second")
    assert files_in(dest) == {PATH: b"second"}
    shutil.rmtree(dest / HOST)
    writer.commit()
    assert files_in(dest) == {PATH: b"streamed"}


def test_a_removed_parts_directory_is_made_anew(dest: Path, open_store: OpenStore) -> None:
    store = open_store()
    store.put(TARGET, HEAD, b"first")
    shutil.rmtree(dest / ".fetchpool")
    store.put(TARGET, HEAD, b"second")
    assert files_in(dest) == {PATH: b"second"}


@pytest.mark.parametrize("replaced", [False, True])
def test_a_vanished_dest_is_our_trouble_even_while_it_is_open(
    dest: Path, open_store: OpenStore, replaced: bool
) -> None:
    store = open_store()
    store.put(TARGET, HEAD, b"first")
    writer = store.open(TARGET, HEAD)
    writer.write(b"half")
    shutil.rmtree(dest)
    if replaced:
        dest.mkdir()
    with pytest.raises(StoreError, match="No such file or directory") as put:
        store.put(TARGET, HEAD, b"second")
    with pytest.raises(StoreError) as commit:
        writer.commit()
    assert put.value.errno == commit.value.errno == errno.ENOENT
    assert str(dest) in put.value.where
    assert not put.value.out_of_descriptors
    assert files_in(dest) == {}


def test_permissions_follow_the_umask(dest: Path, open_store: OpenStore) -> None:
    before = os.umask(0o027)
    try:
        open_store().put(TARGET, HEAD, b"body")
    finally:
        os.umask(before)
    assert stat.S_IMODE((dest / PATH).stat().st_mode) == 0o640
    assert stat.S_IMODE((dest / PATH).parent.stat().st_mode) == 0o750


def test_leftovers_of_killed_runs_are_removed(dest: Path, open_store: OpenStore) -> None:
    parts = dest / ".fetchpool" / "parts"
    parts.mkdir(parents=True)
    (parts / "7-0").write_bytes(b"half")
    (parts / f"{os.getpid():x}-0").write_bytes(b"half, by a run with our pid")
    store = open_store()
    store.put(TARGET, HEAD, b"body")
    assert len(parts_in(dest)) == 2
    store.recover((), goes_on=False)
    assert parts_in(dest) == []
    assert files_in(dest) == {PATH: b"body"}


def test_dest_must_be_a_directory(dest: Path, open_store: OpenStore) -> None:
    dest.write_bytes(b"a file")
    before = open_descriptors()
    with pytest.raises(StoreError, match="cannot use"):
        open_store()
    assert open_descriptors() == before


def test_every_body_has_one_file_and_the_content_of_the_last_commit(
    tmp_path_factory: pytest.TempPathFactory, file_system: str
) -> None:
    """Law: whatever the order of events, names hold whole bodies only, the last committed."""
    del file_system
    event = st.tuples(
        st.integers(0, 3), st.sampled_from(["open", "write", "commit", "discard", "put"])
    )

    @given(st.lists(event, max_size=30))
    def law(events: list[tuple[int, str]]) -> None:
        root = tmp_path_factory.mktemp("law")
        store = DirectoryStore(root, is_foreign=lambda _: False, directories=2)
        targets = [target_of("/a"), target_of("/a"), target_of("/b"), target_of("/c/d")]
        writers: dict[int, Any] = {}
        written: dict[int, bytes] = {}
        expected: dict[str, bytes] = {}
        for turn, (who, what) in enumerate(events):
            path = path_of(targets[who])
            chunk = b"%d," % turn
            if what == "put":
                store.put(targets[who], HEAD, chunk)
                expected[path] = chunk
            elif what == "open" and who not in writers:
                writers[who], written[who] = store.open(targets[who], HEAD), b""
            elif what == "write" and who in writers:
                writers[who].write(chunk)
                written[who] += chunk
            elif what == "commit" and who in writers:
                writers.pop(who).commit()
                expected[path] = written[who]
            elif what == "discard" and who in writers:
                writers.pop(who).discard()
            assert files_in(root) == expected
        for writer in writers.values():
            writer.discard()
        assert parts_in(root) == []
        store.close()

    law()


class Calls:
    """Notes the order of the system calls that durability is about."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        for name in ("link", "rename"):
            monkeypatch.setattr(os, name, self._noting(name, getattr(os, name)))
        fsync = os.fsync

        def note_fsync(fd: int) -> None:
            self.seen.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
            fsync(fd)

        monkeypatch.setattr(os, "fsync", note_fsync)

    def _noting(self, name: str, call: Any) -> Any:
        def noted(*args: Any, **options: Any) -> None:
            call(*args, **options)
            self.seen.append(name)

        return noted


def test_strict_syncs_the_file_before_and_the_directory_after_naming(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, file_system: str
) -> None:
    store = open_store(durability="strict")
    calls = Calls(monkeypatch)
    store.put(TARGET, HEAD, b"body")
    parents = ["directory"] * PATH.count("/")
    naming = "rename" if file_system == "no hard links" else "link"
    # An unnamed file needs its directory from the start, a part only for its name.
    assert calls.seen == [*parents, "file", naming, "directory"]
    calls.seen.clear()
    store.put(TARGET, HEAD, b"again")
    assert [call for call in calls.seen if call != "link"] == ["file", "rename", "directory"]


def test_none_and_batch_sync_no_single_file(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch)
    for durability in ("none", "batch"):
        store = open_store(durability=durability)
        store.put(TARGET, HEAD, b"body")
        store.sync()
    assert {"file", "directory"}.isdisjoint(calls.seen)


@pytest.mark.parametrize(("durability", "syncs"), [("none", 0), ("batch", 1), ("strict", 0)])
def test_only_batch_syncs_the_file_system(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, durability: str, syncs: int
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(directory_module, "_sync_file_system", seen.append)
    store = open_store(durability=durability)
    store.put(TARGET, HEAD, b"body")
    store.sync()
    assert len(seen) == syncs


def test_a_failed_sync_is_our_trouble(open_store: OpenStore) -> None:
    store = open_store(durability="batch")
    store.sync()
    store.close()
    with pytest.raises(StoreError, match="cannot sync") as caught:
        store.sync()
    assert caught.value.errno == errno.EBADF
