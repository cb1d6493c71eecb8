"""Bodies as files under DEST, each whole or not there at all.

target ──names──▶ HOST/PATH ──tree──▶ directory ──drafts──▶ file without a name ──▶ named
                      ▲                                                               │
                      └───── the next name ◀── by something not ours ◀── is taken ◀───┘

A body that may be gone on with is no file without a name but a part (see `parts`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from fetchpool.model.bodies import Chunk, Representation, Sink, Stored, StoreError
from fetchpool.model.urls import conceals
from fetchpool.model.values import Earlier, Head, Receipt, Target
from fetchpool.model.versions import http_date
from fetchpool.output.names import alternate_path, body_path
from fetchpool.output.sinks.drafts import PRIVATE, Draft, Drafts
from fetchpool.output.sinks.earlier import EarlierNames
from fetchpool.output.sinks.parts import Part, Parts, part_key
from fetchpool.output.sinks.tree import UNUSABLE_NAME, DirectoryTree

Durability: TypeAlias = Literal["none", "batch", "strict"]

T = TypeVar("T")

_LAST_BESIDE = 17
"""How far to look for a path with nothing in its way, `example.org~17/…`.

Only what others put into DEST makes a second look needed, so this is a bound and no tuning.
"""


class DirectoryStore(Sink):
    """Keeps each body as a file under *dest*, at the path `fetchpool.output.names` gives its URL.

    *is_foreign* is asked about a path (relative to *dest*) whose name is taken. A foreign file is
    left as it is and the body gets its alternate name; any other regular file is one of ours and is
    replaced in one step. Symlinks, directories and devices in the way are neither touched nor
    followed. *filename_of* returns the base name that a server suggests for its body; None: such
    names are not used.

    At most *directories* directories are kept open; a store holds that many descriptors, three of
    its own, and one for each open writer. It must not be used after a fork: it names files by their
    descriptor in the process that made it.

    *durability* says what survives a loss of power (a killed process loses nothing at any level):

    - `none`: what the system has written by then, usually all but the last 30 s.
    - `batch`: everything committed before the start of the last `sync` that returned. That is one
      syncfs(2), which on Linux waits for data, names and directories (ext4: 8 µs a file of 1 KB in
      batches of 1,000, where fsync of each costs 178 µs, and 91 µs with all writing begun first);
      it also waits for what others wrote to that file system. Where there is no syncfs (macOS) it
      is sync(2), which may return early. After that `sync`, the system may write out a record
      ahead of its body.
    - `strict`: every body whose `commit` or `put` returned: the file is synced before it gets its
      name, the directory after, a new directory's parent before its use. Milliseconds a body.

    Bodies that broke off are kept for `reopen`, by a later run too. *boot* changes with every start
    of the system: a body of an earlier boot is resumed only as far as `close` synced it (at `batch`
    and `strict`). Without *boot* that holds for every body.
    """

    def __init__(
        self,
        dest: str | os.PathLike[str],
        *,
        is_foreign: Callable[[str], bool],
        durability: Durability = "batch",
        directories: int = 64,
        filename_of: Callable[[Head], str | None] | None = None,
        boot: str = "",
        mtime: bool = False,
        private: str | os.PathLike[str] | None = None,
    ) -> None:
        """Open *dest*, made if it is missing; raises StoreError where it cannot be written.

        With *mtime* a file has the time of its Last-Modified, where that is a date.

        *private* is where unfinished bodies and notes about names lie, `.fetchpool` in *dest* if it
        is None.
        """
        # An absolute path, or one of the descriptor of *dest*: openat(2) takes either.
        place = PRIVATE if private is None else os.path.abspath(private)  # noqa: PTH100
        self._dest = Path(dest)
        self._pruned = Path(dest, place, "pruned")
        self._is_foreign = is_foreign
        self._durability = durability
        self._strict = durability == "strict"
        self._filename_of = filename_of
        self._mtime = mtime
        try:
            self._dest.mkdir(parents=True, exist_ok=True)
            self._tree = DirectoryTree(self._dest, capacity=directories, fsync=self._strict)
        except OSError as error:
            raise self._error("cannot use", "", error) from error
        try:
            self._drafts = Drafts(self._tree.root, place, fsync=self._strict)
        except OSError as error:
            self._tree.close()
            raise self._error("cannot write to", f"{place}/parts", error) from error
        try:
            self._usual = self._drafts.unnamed and not self._strict
            self._earlier = EarlierNames(self._tree, place)
            self._parts = Parts(self._drafts, boot=boot)
        except OSError as error:
            self._drafts.close()
            self._tree.close()
            raise self._error("cannot read", self._drafts.where, error) from error

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        """Store a complete body; four system calls where the name is free.

        Raises StoreError, after which nothing of the body remains.
        """
        if self._usual and not self._parts.waiting and not self._earlier.had_detours:
            path = self._put_at_once(target, head, body)
            if path is not None:
                return Stored(path)
        writer = self.open(target, head)
        try:
            writer.write(body)
            return writer.commit()
        except BaseException:
            writer.discard()
            raise

    def open(self, target: Target, head: Head, about: Representation | None = None) -> _FileWriter:
        """Begin a body that comes in chunks, in a file without its final name.

        A body can't be resumed if its URL has a secret, which must not be written to disk, or if
        its request was no plain GET, which has no Range.
        """
        if (
            target.variant
            or target.authorization is not None
            or (about is not None and _is_secret(target, about))
        ):
            about = None
        paths = self._paths(target, head)
        try:
            draft = self._on_first_usable(paths, lambda path: self._begin(path, target, about))
        except OSError as error:
            raise self._error("cannot write", paths.first, error) from error
        if isinstance(draft, Part):
            return _PartWriter(self, draft, paths)
        return _FileWriter(self, draft, paths)

    def reopen(self, target: Target, url: str) -> _PartWriter | None:
        """Return the part of *target*'s body that came from *url*; None if there is none."""
        if not self._parts.waiting or target.authorization is not None:
            return None
        try:
            part = self._parts.reopen(part_key(target))
            if part is None:
                return None
            about = part.facts.about
            if about.url != url:
                self._parts.suspend(part)
                return None
            paths = self._paths(target, Head(200, about.headers))
            return _PartWriter(self, part, paths)
        except OSError as error:
            raise self._error("cannot go on with", self._drafts.where, error) from error

    def sync(self) -> None:
        """At level `batch`, wait until all bodies committed before are on stable storage.

        From any thread; blocks for as long as the disk takes. Raises StoreError.
        """
        if self._durability != "batch":
            return
        try:
            _sync_file_system(self._tree.root)
        except OSError as error:
            raise self._error("cannot sync", "", error) from error

    def recover(self, receipts: Iterable[Receipt], *, goes_on: bool, anew: bool = False) -> None:
        """Delete unfinished bodies, with *goes_on* only those that can't be resumed.

        Only for the process that holds DEST's lock, while nobody is storing a body there. Raises
        StoreError.
        """
        try:
            self._parts.remove_leftovers(keep=goes_on)
        except OSError as error:
            raise self._error("cannot clean", self._drafts.where, error) from error

    def has(self, target: Target, earlier: Earlier) -> bool:
        """Tell whether the *earlier* body is a file of ours, whole, named as *target* wishes."""
        path = earlier.path
        if path is None:
            return False
        if target.name is not None and path not in _Paths(target, None, None):
            return False
        found = self._find(path)
        return found is not None and found.st_size == earlier.bytes

    def move_away(self, path: str) -> bool:
        """Move the file *path* to `pruned` if it is ours; tell whether it was moved.

        Directories that are empty then are removed. Raises OSError.
        """
        if path.startswith("/") or ".." in path.split("/"):
            return False
        if self._find(path) is None:
            return False
        place = self._pruned / path
        for number in count(2):
            if not os.path.lexists(place):
                break
            place = self._pruned / f"{path}~{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        (self._dest / path).rename(place)
        self._tree.clear()
        with suppress(OSError):
            for parent in Path(path).parents[:-1]:
                (self._dest / parent).rmdir()
        return True

    def outdated(self) -> Iterator[str]:
        """Yield the files that bodies under another name have replaced; see `earlier`.

        A file may be yielded several times. Raises OSError.
        """
        return self._earlier.outdated()

    def remove_outdated(self, paths: Iterable[str]) -> None:
        """Delete the files *paths*, which no record names; foreign ones stay. Raises OSError."""
        for path in paths:
            parent, _, last = path.rpartition("/")
            if self._lies_here(path) and (directory := self._tree.find(parent)) is not None:
                with suppress(FileNotFoundError):
                    os.unlink(last.encode(), dir_fd=directory)

    def forget_outdated(self) -> None:
        """Forget the outdated files: they have been deleted, or a record names them.

        Raises OSError.
        """
        self._earlier.forget_outdated()

    def close(self) -> None:
        """Sync, as far as *durability* asks for it, the parts that wait; close every directory.

        May be called again.
        """
        if self._durability != "none":
            with suppress(OSError):  # they are trusted less then, that is all
                self._parts.sync()
        self._parts.waiting.clear()
        self._drafts.close()
        self._tree.close()

    def _put_at_once(self, target: Target, head: Head, body: Chunk) -> str | None:
        """Try to put *body* at the first of *target*'s paths; None, and nothing done, if that is
        unusual.

        It does what `open` and `commit` do where nothing is in the way: no name that is taken, no
        directory that vanished, no other file system, no full disk. 15 µs instead of 20 on tmpfs.
        """
        drafts, content_type = self._drafts, head.get("content-type")
        filename = None if self._filename_of is None else self._filename_of(head)
        path = body_path(target, content_type, filename)
        parent, _, last = path.rpartition("/")
        try:
            for other in self._earlier.before(path, target, content_type, filename):
                if self._lies_here(other):
                    self._earlier.outdate(other)
            directory = self._tree.open(parent)
            fd = drafts.open_unnamed()
            try:
                if os.write(fd, body) != len(body):
                    return None
                if self._mtime:
                    _set_time(fd, self._modified_at(head))
                drafts.link_unnamed(fd, directory, last.encode())
            finally:
                os.close(fd)
        except OSError:
            return None
        return path

    # For the writer. The first two raise OSError, of which the last makes a StoreError.

    def _publish(self, draft: Draft, paths: _Paths) -> str:
        """Give *draft* the first of *paths* it can have; return that."""
        if isinstance(draft, Part):
            self._parts.release(draft)
        elif self._parts.waiting:
            self._parts.forget(part_key(paths.target))
        _set_time(draft.fd, paths.modified_at)
        if self._strict:
            os.fsync(draft.fd)
        self._drafts.finish(draft)
        return self._on_first_usable(paths, lambda path: self._place(draft, path, paths))

    def _outdate(self, path: str, paths: _Paths) -> None:
        """Note which files a body at *path* replaces, before it is there."""
        earlier = self._earlier
        others = earlier.before(path, paths.target, paths.content_type, paths.filename)
        if path != paths.first:
            earlier.note_detour()
        if earlier.had_detours:
            others += [each for each in paths if each not in (path, *others)]
        for other in others:
            if self._lies_here(other):
                self._earlier.outdate(other)

    def _lies_here(self, path: str) -> bool:
        """Tell whether the file *path* is there, and ours."""
        return self._find(path) is not None

    def _find(self, path: str) -> os.stat_result | None:
        """Return the stat of the file *path* if it is there, and ours."""
        parent, _, last = path.rpartition("/")
        directory = self._tree.find(parent)
        if directory is None:
            return None
        try:
            found = os.stat(last.encode(), dir_fd=directory, follow_symlinks=False)
        except OSError:
            return None
        return found if stat.S_ISREG(found.st_mode) and not self._is_foreign(path) else None

    def _on_first_usable(self, paths: _Paths, step: Callable[[str], T]) -> T:
        """Return what *step* makes of the first path where nothing is in its way."""
        problem = None
        for path in paths:
            try:
                return self._again_if_removed(step, path)
            except OSError as error:
                if error.errno != errno.EEXIST and error.errno not in UNUSABLE_NAME:
                    raise
                problem = error
        raise problem or OSError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _again_if_removed(self, step: Callable[[str], T], path: str) -> T:
        """Do *step*; if a directory was removed while it was open, make it anew, once.

        If DEST itself is gone the second time fails too: nothing can be made in it.
        """
        try:
            return step(path)
        except OSError as error:
            # ENOENT says so; ext4 refuses a file without a name in a removed directory with EPERM.
            if error.errno not in (errno.ENOENT, errno.EPERM):
                raise
            self._tree.clear()
            self._drafts.forget()
            return step(path)

    def _paths(self, target: Target, head: Head) -> _Paths:
        filename = None if self._filename_of is None else self._filename_of(head)
        paths = _Paths(target, head.get("content-type"), filename)
        if self._mtime:
            paths.modified_at = self._modified_at(head)
        return paths

    def _modified_at(self, head: Head) -> float | None:
        return http_date(head.get("last-modified") or "")

    def _begin(self, path: str, target: Target, about: Representation | None) -> Draft:
        directory = self._tree.open(path.rpartition("/")[0])
        part = about and self._parts.begin(part_key(target), about, directory)
        return part or self._drafts.begin(directory)

    def _place(self, draft: Draft, path: str, paths: _Paths) -> str:
        """Put *draft* at *path* and return that; FileExistsError if what is there isn't ours."""
        self._outdate(path, paths)
        parent, _, last = path.rpartition("/")
        name = last.encode()  # UTF-8 whatever the locale, which may be ASCII
        directory = self._tree.open(parent)
        try:
            self._drafts.name(draft, directory, name)
        except FileExistsError:
            if not self._is_ours(directory, name, path):
                raise
            self._drafts.replace(draft, directory, name)
        if self._strict:
            os.fsync(directory)
        return path

    def _is_ours(self, directory: int, name: bytes, path: str) -> bool:
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return True  # removed a moment ago
        return stat.S_ISREG(found.st_mode) and not self._is_foreign(path)

    def _drop(self, draft: Draft) -> None:
        if isinstance(draft, Part):
            self._parts.drop(draft)
        else:
            self._drafts.drop(draft)

    def _error(self, what: str, path: str, error: OSError) -> StoreError:
        return StoreError(what, str(self._dest / path), error.errno or errno.EIO)


class _Paths:
    """Where a body may be stored, best first: a function of its URL, so a later run finds it."""

    __slots__ = ("content_type", "filename", "first", "modified_at", "target")

    def __init__(self, target: Target, content_type: str | None, filename: str | None) -> None:
        self.target = target
        self.content_type = content_type
        self.filename = filename
        self.first = body_path(target, content_type, filename)
        self.modified_at: float | None = None
        """What the file's time is to be, in seconds since the epoch; None = now."""

    def __iter__(self) -> Iterator[str]:
        yield self.first
        alternate = alternate_path(self.target, self.content_type, self.filename)
        if alternate != self.first:
            yield alternate
        # What is in the way may be a directory of the path; so the rest lie beside the host's own.
        host, _, rest = alternate.partition("/") if "/" in alternate else ("_", "", alternate)
        for number in range(2, _LAST_BESIDE + 1):
            yield f"{host}~{number}/{rest}"


class _FileWriter:
    """A body on its way into a file."""

    __slots__ = ("_draft", "_paths", "_store")

    def __init__(self, store: DirectoryStore, draft: Draft, paths: _Paths) -> None:
        self._store = store
        self._draft = draft
        self._paths = paths

    def write(self, chunk: Chunk) -> None:
        try:
            written = os.write(self._draft.fd, chunk)
            while written < len(chunk):
                # The disk is nearly full, or the chunk over 2 GiB: the next call tells.
                chunk = memoryview(chunk)[written:]
                written = os.write(self._draft.fd, chunk)
        except OSError as error:
            raise self._failed("cannot write", error) from error

    def commit(self) -> Stored:
        try:
            path = self._store._publish(self._draft, self._paths)
            self._draft.close()
        except OSError as error:
            raise self._failed("cannot store", error) from error
        return Stored(path=path)

    def discard(self) -> None:
        self._store._drop(self._draft)

    def suspend(self) -> None:
        self.discard()

    def _failed(self, what: str, error: OSError) -> StoreError:
        self.discard()
        return self._store._error(what, self._paths.first, error)


class _PartWriter(_FileWriter):
    """A body on its way into a part."""

    __slots__ = ("_part", "length")

    def __init__(self, store: DirectoryStore, part: Part, paths: _Paths) -> None:
        super().__init__(store, part, paths)
        self._part = part
        self.length = part.size

    @property
    def about(self) -> Representation:
        return self._part.facts.about

    def read(self, start: int, size: int) -> bytes:
        try:
            return os.pread(self._part.fd, min(size, self.length - start), start)
        except OSError as error:
            raise self._store._error("cannot read", self._store._drafts.where, error) from error

    def suspend(self) -> None:
        self._store._parts.suspend(self._part)


def _set_time(fd: int, modified_at: float | None) -> None:
    if modified_at is not None:
        os.utime(fd, (modified_at, modified_at))


def _is_secret(target: Target, about: Representation) -> bool:
    """Tell whether the URL of the list or that of the hop that answered must not be written."""
    return conceals(target.url) or conceals(about.url)


def _sync_file_system(fd: int) -> None:
    """Write out the whole file system *fd* is on; raises OSError if that failed.

    Linux tells of failed writing since 5.8 (syncfs(2)); ctypes lets other threads run meanwhile.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        os.sync()
    elif libc.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
