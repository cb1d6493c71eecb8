"""Bodies that broke off and may be resumed: their bytes, and which body these belong to.

    .fetchpool/parts/KEY.json   URL, ETag, length of the whole body   first, in one step
    .fetchpool/parts/KEY.part   its first bytes                       then, as they come

KEY is a hash of the list's URL, so that a later run finds the pair. The size of the second file
says how far the body came. A process may be killed anywhere: one file without the other is no part,
and what was written stays written. After a loss of power, told by the boot id of the system, only
bytes that were synced before are trusted (`Parts.sync`).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from contextlib import suppress

import msgspec

from fetchpool.model.bodies import Representation
from fetchpool.model.values import Target
from fetchpool.output.sinks.drafts import Draft, Drafts
from fetchpool.output.sinks.tree import UNUSABLE_NAME

_NEW = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # no wait for a FIFO
_FACTS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_TO_BE_HAD = UNUSABLE_NAME | {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENXIO}
_MAX_FACTS_BYTES = 1 << 20

_PART = ".part"
_SIDECAR = ".json"
_UNFINISHED = ".new"  # a sidecar on its way


class _Facts(msgspec.Struct, frozen=True):
    """What the file beside a part says."""

    about: Representation
    inode: int
    """Of the part: two files of different parts are no pair."""
    boot: str
    """Of the start of the system in which the part was last written; empty: not known."""
    synced: int = 0
    """How many of its first bytes are on stable storage."""


class Part(Draft):
    """A draft whose name later runs know; locked, so that only one process writes it."""

    __slots__ = ("facts", "key")

    def __init__(self, fd: int, key: str, facts: _Facts) -> None:
        super().__init__(fd, key + _PART)
        self.key = key
        self.facts = facts

    @property
    def size(self) -> int:
        """How many bytes there are; raises OSError."""
        return os.fstat(self.fd).st_size


class Parts:
    """The parts in the private directory of *drafts*.

    *boot* is what changes with every start of the system; empty where that can't be told. Methods
    raise OSError.
    """

    def __init__(self, drafts: Drafts, *, boot: str) -> None:
        self._drafts = drafts
        self._boot = boot
        self.waiting = _pairs(os.listdir(drafts.parts()))  # noqa: PTH208 - a descriptor
        """Keys of the parts that nobody writes."""

    def begin(self, key: str, about: Representation, directory: int) -> Part | None:
        """Return a new part of the body *about*, in the place of an older one.

        None if somebody else is writing one (a list may name a URL twice), or if *directory*, a
        descriptor, is on another file system: a complete part could not be moved there.
        """
        parts = self._drafts.parts()
        if os.fstat(parts).st_dev != os.fstat(directory).st_dev:
            return None
        fd = self._create(key)
        if fd is None:
            return None
        part = Part(fd, key, _Facts(about, os.fstat(fd).st_ino, self._boot))
        try:
            self._write_facts(part)
        except BaseException:
            self.drop(part)
            raise
        self.waiting.discard(key)
        return part

    def reopen(self, key: str) -> Part | None:
        """Return the part of *key* that waits, with at least a byte and less than the whole."""
        if key not in self.waiting:
            return None
        fd = self._take(key)
        part = None
        try:
            if fd is not None:
                part = self._check(fd, key)
                if part is None:
                    self._remove(key)
        finally:
            if part is None and fd is not None:
                os.close(fd)
        self.waiting.discard(key)
        return part

    def suspend(self, part: Part) -> None:
        """Close *part* so that it can be reopened; never raises, may be called again."""
        if part.part is None:
            return
        part.part = None
        with suppress(OSError):
            part.close()
        self.waiting.add(part.key)

    def release(self, part: Part) -> None:
        """Make *part*, which is complete, an ordinary draft: no later run finds it."""
        if part.size != part.facts.about.total:  # somebody else was at it
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        with suppress(FileNotFoundError):
            os.unlink(part.key + _SIDECAR, dir_fd=self._drafts.parts())
        self._drafts.rename(part)

    def drop(self, part: Part) -> None:
        """Leave nothing of *part*, released or not; never raises, may be called again."""
        with suppress(OSError):
            if part.part == part.key + _PART:
                part.part = None
                self._remove(part.key)  # while it is locked
        self._drafts.drop(part)

    def forget(self, key: str) -> None:
        """Delete the part of *key*, if one waits."""
        if key in self.waiting:
            self.waiting.discard(key)
            self._delete(key)

    def remove_leftovers(self, *, keep: bool) -> None:
        """Delete every file of the private directory, with *keep* all but the parts."""
        parts = self._drafts.parts()
        names = os.listdir(parts)  # noqa: PTH208 - a descriptor, not a path
        kept = _pairs(names) if keep else set()
        for name in names:
            key, _, kind = name.rpartition(".")
            if key not in kept or f".{kind}" not in (_PART, _SIDECAR):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=parts)
        self.waiting = kept

    def sync(self) -> None:
        """Bring the parts that wait to stable storage, and note that in their sidecars."""
        for key in sorted(self.waiting):
            part = self.reopen(key)
            if part is None:
                continue
            try:
                size = part.size
                if part.facts.synced < size:
                    os.fsync(part.fd)
                    part.facts = msgspec.structs.replace(part.facts, synced=size)
                    self._write_facts(part, fsync=True)
            finally:
                self.suspend(part)
        if self.waiting:
            os.fsync(self._drafts.parts())

    def _create(self, key: str) -> int | None:
        """Return the new file of *key*, locked; None if somebody else has it."""
        parts = self._drafts.parts()
        try:
            fd = os.open(key + _PART, _NEW, 0o666, dir_fd=parts)
        except FileExistsError:
            if not self._delete(key):
                return None
            fd = os.open(key + _PART, _NEW, 0o666, dir_fd=parts)
        if self._lock(fd, key):
            return fd
        os.close(fd)
        return None

    def _delete(self, key: str) -> bool:
        """Delete the part of *key*; return False if it can't be opened and locked."""
        fd = self._take(key)
        if fd is None:
            return False
        try:
            self._remove(key)
        finally:
            os.close(fd)
        return True

    def _take(self, key: str) -> int | None:
        """Return the file of *key*, locked; None if it is gone or somebody else has it."""
        try:
            fd = os.open(key + _PART, _OLD, dir_fd=self._drafts.parts())
        except OSError as error:
            if error.errno in _NOT_TO_BE_HAD:
                return None
            raise
        if self._lock(fd, key):
            return fd
        os.close(fd)
        return None

    def _lock(self, fd: int, key: str) -> bool:
        """Lock *fd*; return False if that fails, or if it is no longer the file of *key*."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = os.stat(key + _PART, dir_fd=self._drafts.parts(), follow_symlinks=False)
        except OSError:  # held by another, renamed meanwhile, or no locks here: nothing is lost
            return False
        found = os.fstat(fd)
        return (
            stat.S_ISREG(found.st_mode)
            and found.st_nlink == 1  # else it is somebody's file, too
            and (found.st_dev, found.st_ino) == (named.st_dev, named.st_ino)
        )

    def _check(self, fd: int, key: str) -> Part | None:
        """Return the part in *fd*, cut to what can be trusted; None if nothing can."""
        facts = self._read_facts(key)
        found = os.fstat(fd)
        if facts is None or facts.inode != found.st_ino or found.st_size > facts.about.total:
            return None
        same_boot = facts.boot != "" and facts.boot == self._boot
        trusted = found.st_size if same_boot else min(found.st_size, facts.synced)
        # A body that is all there lacks an answer that says so: the last byte is asked for again.
        trusted = min(trusted, facts.about.total - 1)
        if trusted <= 0:
            return None
        if trusted < found.st_size:
            os.ftruncate(fd, trusted)
        part = Part(fd, key, facts)
        if not same_boot:
            part.facts = msgspec.structs.replace(facts, boot=self._boot)
            self._write_facts(part)
        return part

    def _read_facts(self, key: str) -> _Facts | None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(key + _SIDECAR, flags, dir_fd=self._drafts.parts())
        except OSError as error:
            if error.errno in _NOT_TO_BE_HAD:
                return None
            raise
        try:
            return msgspec.json.decode(os.read(fd, _MAX_FACTS_BYTES), type=_Facts)
        except (msgspec.DecodeError, UnicodeError, IsADirectoryError):
            return None
        finally:
            os.close(fd)

    def _write_facts(self, part: Part, *, fsync: bool = False) -> None:
        parts = self._drafts.parts()
        beside = part.key + _UNFINISHED
        content = msgspec.json.encode(part.facts)
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=parts)
        fd = os.open(beside, _FACTS, 0o666, dir_fd=parts)
        try:
            if os.write(fd, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if fsync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(beside, part.key + _SIDECAR, src_dir_fd=parts, dst_dir_fd=parts)

    def _remove(self, key: str) -> None:
        """Delete the files of *key*."""
        for kind in (_SIDECAR, _PART, _UNFINISHED):
            with suppress(FileNotFoundError):
                os.unlink(key + kind, dir_fd=self._drafts.parts())


def part_key(target: Target) -> str:
    """Return the key of *target*'s part: no URL, however long or secret, becomes a name."""
    return hashlib.blake2b(target.key.encode(), digest_size=16).hexdigest()


def _pairs(names: list[str]) -> set[str]:
    """Return the keys of which both files are among *names*."""
    found = set(names)
    parts = {name.removesuffix(_PART) for name in found if name.endswith(_PART)}
    return {key for key in parts if key + _SIDECAR in found}
