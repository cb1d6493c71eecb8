"""Kills at every system call, planted symlinks, naughty URLs: what must not come of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fetchpool.model.bodies import StoreError
from fetchpool.output.names import alternate_path
from fetchpool.output.sinks.directory import DirectoryStore
from fetchpool.output.sinks.tree import DirectoryTree
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
BESIDE = ALTERNATE.replace("/", "~2/", 1)
OLD, NEW = b"old" * 1000, b"new!" * 1000


class KilledError(BaseException):
    """Stands for SIGKILL: no later system call happens."""


class Killer:
    """Lets *calls* system calls happen, dies within the next one, and lets none follow.

    A write dies half done, a call of any other kind before or after (*late*) it happened.
    """

    NAMES = ("open", "write", "close", "link", "unlink", "rename", "mkdir", "stat")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: int, *, late: bool) -> None:
        self.left = calls
        self.late = late
        self.opened: set[int] = set()
        self.real = {name: getattr(os, name) for name in self.NAMES}
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._wrapped(name))

    def _wrapped(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                if self.left == -1 and name == "write":
                    self.real["write"](args[0], args[1][: len(args[1]) // 2])
                elif self.left == -1 and self.late:
                    self._do(name, args, options)
                raise KilledError
            return self._do(name, args, options)

        return call

    def _do(self, name: str, args: Any, options: Any) -> Any:
        result = self.real[name](*args, **options)
        if name == "open":
            self.opened.add(result)
        elif name == "close":
            self.opened.discard(args[0])
        return result

    def bury(self) -> None:
        """Close what the kernel would have closed."""
        for fd in self.opened:
            self.real["close"](fd)


def new(store: DirectoryStore) -> None:
    store.put(TARGET, HEAD, NEW)


def streamed(store: DirectoryStore) -> None:
    writer = store.open(TARGET, HEAD)
    for at in range(0, len(NEW), 1000):
        writer.write(NEW[at : at + 1000])
    writer.commit()


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("before", ["nothing", "ours", "foreign"])
@pytest.mark.parametrize("work", [new, streamed])
def test_killed_at_any_system_call_no_final_file_is_partial(
    tmp_path: Path, before: str, late: bool, work: Callable[[DirectoryStore], None]
) -> None:
    for calls in range(100):
        dest = tmp_path / str(calls)
        if before != "nothing":
            (dest / PATH).parent.mkdir(parents=True)
            (dest / PATH).write_bytes(OLD)
        with pytest.MonkeyPatch.context() as monkeypatch:
            killer = Killer(monkeypatch, calls, late=late)
            try:
                work(DirectoryStore(dest, is_foreign=lambda _: before == "foreign"))
            except KilledError:
                finished = False
            else:
                finished = True
        killer.bury()
        found = files_in(dest)
        assert set(found) <= {PATH, ALTERNATE}
        assert set(found.values()) <= {OLD, NEW}
        if before == "foreign":
            assert found[PATH] == OLD
        elif before == "ours":
            assert PATH in found
        with opened(dest) as store:  # the next run
            store.recover((), goes_on=False)
            assert store.put(TARGET, HEAD, NEW).path == PATH
        assert parts_in(dest) == []
        if finished:
            assert calls > 5
            return
    pytest.fail("the work never came to its end")


@contextmanager
def opened(dest: Path) -> Iterator[DirectoryStore]:
    store = DirectoryStore(dest, is_foreign=lambda _: False)
    try:
        yield store
    finally:
        store.close()


def test_sigkill_while_a_body_streams_leaves_no_file(dest: Path) -> None:
    program = (
        "import sys\n"
        "from fetchpool.output.sinks.directory import DirectoryStore\n"
        "from tests.stores.bodies import HEAD, target_of\n"
        "store = DirectoryStore(sys.argv[1], is_foreign=lambda _: False)\n"
        "writer = store.open(target_of(), HEAD)\n"
        "writer.write(b'half')\n"
        "print('half', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, dest],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half\n"
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert files_in(dest) == {}


# Symlinks


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    directory = tmp_path / "outside"
    directory.mkdir()
    return directory


@pytest.mark.usefixtures("file_system")
def test_dest_itself_may_be_a_symlink(dest: Path, outside: Path, open_store: OpenStore) -> None:
    dest.symlink_to(outside)
    open_store().put(TARGET, HEAD, b"body")
    assert files_in(outside) == {PATH: b"body"}


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("dangling", [False, True])
def test_a_symlink_in_the_files_place_is_not_followed(
    dest: Path, outside: Path, open_store: OpenStore, dangling: bool
) -> None:
    victim = outside / "victim"
    if not dangling:
        victim.write_bytes(b"theirs")
    (dest / PATH).parent.mkdir(parents=True)
    (dest / PATH).symlink_to(victim)
    assert open_store().put(TARGET, HEAD, b"body").path == ALTERNATE
    assert files_in(dest) == {ALTERNATE: b"body"}
    assert (dest / PATH).is_symlink()
    assert files_in(outside) == ({} if dangling else {"victim": b"theirs"})


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("depth", range(PATH.count("/")))
@pytest.mark.parametrize("dangling", [False, True])
def test_a_symlink_in_a_directorys_place_is_not_followed(
    dest: Path, outside: Path, open_store: OpenStore, depth: int, dangling: bool
) -> None:
    link = dest.joinpath(*PATH.split("/")[: depth + 1])
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / "nowhere" if dangling else outside)
    assert open_store().put(TARGET, HEAD, b"first").path == BESIDE
    assert open_store().put(TARGET, HEAD, b"second").path == BESIDE
    assert files_in(dest) == {BESIDE: b"second"}
    assert list(outside.iterdir()) == []


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("directories", [2, 64], ids=["forgotten", "still open"])
def test_a_directory_swapped_for_a_symlink_leads_nowhere(
    dest: Path, outside: Path, open_store: OpenStore, directories: int
) -> None:
    store = open_store(directories=directories)
    store.put(TARGET, HEAD, b"first")
    writer = store.open(TARGET, HEAD)
    store.put(target_of("/x/y/z", "other.example"), HEAD, b"other")
    (dest / HOST).rename(dest / "moved")
    (dest / HOST).symlink_to(outside)
    store.put(TARGET, HEAD, b"second")
    writer.write(b"third")
    writer.commit()
    assert list(outside.iterdir()) == []


def test_a_symlink_in_place_of_the_parts_is_not_followed(
    dest: Path, outside: Path, open_store: OpenStore
) -> None:
    (dest / ".fetchpool").mkdir(parents=True)
    (dest / ".fetchpool" / "parts").symlink_to(outside)
    before = open_descriptors()
    with pytest.raises(StoreError, match=r"\.fetchpool/parts"):
        open_store()
    assert open_descriptors() == before
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("path", ["..", "../..", "a/../..", ".", "/tmp", "a//b"])
def test_no_path_leads_out_of_the_tree(tmp_path: Path, path: str) -> None:
    tree = DirectoryTree(tmp_path, capacity=8)
    with pytest.raises(OSError, match="Invalid argument"):
        tree.open(path)
    tree.close()


NAUGHTY = [
    "/../../../etc/passwd",
    "/%2e%2e%2f%2e%2e%2fx",
    "/..%5c..%5cx",
    "/a/./../b",
    "//etc//passwd",
    "/.fetchpool/parts/x",
    "/results.jsonl",
    "/~root/x",
    "/-rf",
    "/CON",
    "/aux.txt",
    "/trailing.",
    "/C:/x",
    "/\u202egpj.exe",
    "/" + "a" * 300,
    "/" + "ä" * 200,
    "/x" * 60,
    "/a%00b",
    "/",
    "/?",
    "/?../../x",
    "/a;b|c&d$(e)`f`",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(NAUGHTY)
    | st.lists(
        st.sampled_from(["/", ".", "..", "%2e", "%2F", "\\", "a", "~", "%00", "?", "é", ":"]),
        max_size=20,
    ).map(lambda parts: "/" + "".join(parts)),
    host=st.sampled_from(["example.org", "..", "results.jsonl", ".fetchpool", "::1", "a.", "con"]),
)
def test_no_url_writes_outside_dest(
    tmp_path_factory: pytest.TempPathFactory, path: str, host: str
) -> None:
    root = tmp_path_factory.mktemp("naughty")
    dest = root / "dest"
    with opened(dest) as store:
        stored = store.put(target_of(path, host), HEAD, b"body").path
    assert stored is not None
    assert [entry.name for entry in root.iterdir()] == ["dest"]
    assert files_in(dest) == {stored: b"body"}
    assert {entry.name for entry in dest.iterdir()} == {".fetchpool", stored.partition("/")[0]}
