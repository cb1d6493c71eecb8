"""What a run directory knows of its run: `state.json`, and the stamps by which it knows files."""

from __future__ import annotations

import hashlib
import os
import stat as modes
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from fetchpool.model.urls import redact
from fetchpool.output.ledger.files import replace_file
from fetchpool.output.ledger.keeping import Flag
from fetchpool.output.ledger.standing import Totals

Durability: TypeAlias = Literal["none", "batch", "strict"]

STANDARD_INPUT = "-"
_DESCRIPTORS = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
"""Pipes without a name, such as `<(…)` makes: which number they have means nothing."""


NAMES = 1
"""Counts up when a version of fetchpool gives bodies of some URLs other names than the last one."""


class BodyOptions(msgspec.Struct, frozen=True):
    """Options a run can't change on the way: its records would not mean the same."""

    no_body: bool = False
    hash: bool = False
    keep_errors: bool = False
    as_received: bool = False
    asked: str = ""
    """What tells the requests from plain GETs (see `variant_of`)."""
    store: str = "files"
    """How bodies lie (`--store`)."""

    def __str__(self) -> str:
        """Return the options as on a command line."""
        given = [
            "--" + name.replace("_", "-")
            for name in self.__struct_fields__
            if getattr(self, name) is True
        ]
        if self.asked:
            method, _, digest = self.asked.partition(" ")
            given.append(f"--method {method}")
            given += ["and a body"] if digest else []
        if self.store != "files":
            given.append(f"--store {self.store}")
        return " ".join(given) or (
            "none of --no-body, --hash, --keep-errors, --as-received, --method, --store"
        )


class RunOptions(msgspec.Struct, frozen=True):
    """What of a command's settings decides how its run directory is used."""

    flag: Flag = Flag.PLAIN
    retry_kinds: tuple[str, ...] = ()
    """As `Config` checks them; none at all = every kind."""
    body: BodyOptions = BodyOptions()
    durability: Durability = "batch"
    add: bool = False
    """The records of other lists stay, those of this one come to them."""
    mark: str = ""
    """What decides which lines become which requests (see `Sources.mark`)."""
    refresh: bool = False
    """Compare with the run before."""
    stream: bool = False
    """Some list can't be read again, whatever its source is."""
    sheet: tuple[str, bool] | None = None
    """How the list is written, where it is a spreadsheet's table (see `State.sheet`)."""
    shard: str = ""
    """Which shard of a list the run is, as `3/64`; empty: all of it."""


class FileStamp(msgspec.Struct, frozen=True):
    """What tells one content of a file from another without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int = 0

    @classmethod
    def of(cls, found: os.stat_result) -> FileStamp:
        """Return the stamp of the file that was found."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class SourceStamp(msgspec.Struct, frozen=True):
    """One source as it was when the run began; two equal stamps mean the same lines."""

    name: str
    file: FileStamp | None = None
    """None for a URL, which is its own list."""
    mark: str = ""
    """What decides which of its lines become which requests; empty for a URL a line."""


class ListState(msgspec.Struct, frozen=True):
    """One of several lists in a ledger; see `lists`."""

    key: str
    names: tuple[str, ...]
    """Of its sources, the first ones."""
    count: int
    """How many sources it has."""
    first: int
    """The numbers of its records are larger than this,"""
    last: int
    """and at most this."""
    finished: bool
    stream: bool
    body: BodyOptions


class State(msgspec.Struct):
    """What is put down before a run begins, and at its end."""

    run: str
    """Made up anew with every ledger that replaces another."""
    body: BodyOptions
    sources: tuple[str, ...]
    """As `source_names` gives them."""
    stamps: tuple[SourceStamp, ...] | None
    """None if a list can't be read again: its line numbers mean nothing next time."""
    started_at: float
    """Seconds since the epoch."""
    requests: int | None = None
    """URLs of the whole list; None until its end was read."""
    finished: FileStamp | None = None
    """The ledger when every line had its record; None before."""
    install: bool = False
    """The new files are complete and have to be given their names (see `settling`)."""
    archive: bool = False
    """With *install*: what the ledger held goes to `previous.jsonl`."""
    waiting: bool = False
    """Records of an earlier run wait in `waiting.jsonl` for the lines of a pipe."""
    named: bool = False
    """Every record names its source."""
    added: bool = False
    """The command was given with `--add`: no number is ever used twice."""
    earlier: tuple[ListState, ...] = ()
    """The lists whose records stay beside those of `sources`."""
    others: Totals | None = None
    """How the records of the earlier lists add up."""
    offset: int = 0
    """The numbers of `sources` begin behind this one."""
    names: int = 0
    """The oldest rules by which bodies of the ledger got their names: see `NAMES`."""
    renames: bool = False
    """`previous.jsonl` may name bodies by older rules than today's (see `naming`)."""
    lines: int = 0
    """How many lines `sources` have; 0 until their end was read."""
    refresh: bool = False
    """The run compares with the one before, whose ledger is `previous.jsonl`."""
    before: BodyOptions | None = None
    """The options of the run before."""
    anew: bool = False
    """No record of a finished run was kept: at the end, containers of earlier ones may go."""
    carries: bool = False
    """Some run here has compared: what fails or leaves the list goes to `carried.jsonl`."""
    sheet: tuple[str, bool] | None = None
    """Where the list is one table as spreadsheets write it: what stands between its cells, and
    whether it begins with a byte order mark."""
    shard: str = ""
    """Which shard of the list the run is, as `3/64`; empty: all of it."""
    without_request: int = 0
    """Lines of the whole list, of a shard's run, that are no shard's request."""

    def take_names_from(self, old: State | None, *, anew: bool) -> None:
        """Say by which rules bodies have their names, in a run that follows *old* or begins *anew*.

        Records of lists that are beside those of today stay as they are.
        """
        self.names = NAMES if old is None or (anew and not self.added) else old.names
        self.renames = old is not None and (old.renames or (anew and old.names < NAMES))

    @property
    def names_sources(self) -> bool:
        """True where every record names its source; earlier versions didn't put that down."""
        return self.named or len(self.sources) > 1

    @property
    def records_beside(self) -> int:
        """How many records are of the earlier lists."""
        return 0 if self.others is None else self.others.records

    @property
    def expected(self) -> int | None:
        """How many records there are when every line has one; None where that isn't known."""
        if self.requests is None or not all(each.finished for each in self.joined()):
            return None
        return self.records_beside + self.requests

    def joined(self) -> tuple[ListState, ...]:
        """Return the earlier lists as they are once that of `sources` has ended.

        A stream has then brought the lines of those of its name that were stopped.
        """
        if self.stamps is not None:
            return self.earlier
        key = list_key(self.sources)
        return tuple(
            msgspec.structs.replace(each, finished=True)
            if each.stream and each.key == key
            else each
            for each in self.earlier
        )


def list_key(names: Sequence[str]) -> str:
    """Return what tells a list from others: its sources, in whatever order they are given."""
    text = "\0".join(sorted(names))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def is_url(source: str) -> bool:
    """Tell whether *source* is a URL itself rather than the name of a list."""
    return source.lower().startswith(("http://", "https://"))


def source_names(sources: Sequence[str], base: Path) -> tuple[str, ...]:
    """Return how *sources* are remembered: files relative to *base*, URLs redacted.

    So one list is the same by whatever path it was named, also after both were moved together.
    What comes through a descriptor is standard input's.
    """
    return tuple(_source_name(source, base) for source in sources)


def _source_name(source: str, base: Path) -> str:
    if source == STANDARD_INPUT or source.startswith(_DESCRIPTORS):
        return STANDARD_INPUT
    if is_url(source):
        return redact(source)
    try:
        name = os.path.relpath(source, base)
    except ValueError:  # on another drive
        name = os.path.abspath(source)  # noqa: PTH100  # resolves no symlinks, as relpath
    return name.encode("utf-8", "replace").decode()


def stamp_sources(sources: Sequence[str], mark: str = "") -> tuple[SourceStamp, ...] | None:
    """Return the stamps of *sources*, read as *mark* says; None if one is no file and no URL.

    None as well for no source at all: an iterable of a program can't be read again.
    """
    stamps = []
    for source in sources:
        if is_url(source):
            stamps.append(SourceStamp(redact(source), mark=mark))
            continue
        try:
            found = os.stat(source)  # noqa: PTH116  # `-` must not become a path
        except (OSError, ValueError):
            return None
        if source == STANDARD_INPUT or not modes.S_ISREG(found.st_mode):
            return None
        name = source.encode("utf-8", "replace").decode()
        stamps.append(SourceStamp(name, FileStamp.of(found), mark))
    return tuple(stamps) or None


def read_state(path: Path) -> State | None:
    """Return the state in *path*; None if there is none, or none that can be understood."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, ValueError, msgspec.DecodeError):
        return None


def write_state(path: Path, state: State, *, fsync: bool) -> None:
    """Put *state* down in one step."""
    replace_file(path, msgspec.json.encode(state), fsync=fsync)
