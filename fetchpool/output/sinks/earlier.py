"""Other names that bodies of a URL had in earlier runs, and how those files are deleted.

    types      kinds of Content-Type that made a name in this directory, as JSON strings
    outdated   paths that a body of the same URL has replaced, as JSON strings

Both are files in the sink's private directory, `.fetchpool`.

A name is made of the URL, of the Content-Type if the URL has no extension, and of the name that
the server suggests if the user wants that. So a URL whose type has changed gets a body of another
name beside the old one. The old file is noted as outdated *before* the new one gets its name, and
deleted at the end of the run, unless a record names it (a list may have a URL twice). After a kill,
the next run finds the notes.

The types are read once, at the start: the bodies that this process stores have records.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from fetchpool.model.values import Target
from fetchpool.output.names import alternate_path, body_path
from fetchpool.output.sinks.tree import DirectoryTree

_SUGGESTED = " suggested"
"""Stands among the types for names that servers have suggested; none begins with a blank."""
_DETOUR = " detour"
"""The same for names that were not a URL's first, as something was in the way."""
_MARKS = frozenset({_SUGGESTED, _DETOUR})

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MOST_REMEMBERED = 1000
_LONGEST_EXTENSION = 16

_NAMELESS = Target("https://h/", "https", "h", 443, "/", "h")


class EarlierNames:
    """What is known of the names in *tree*, written to *private*. Methods raise OSError.

    Nothing of it is synced: after a loss of power an outdated file may stay.
    """

    def __init__(self, tree: DirectoryTree, private: str) -> None:
        """*private* is an absolute path, or one relative to the root of *tree*."""
        self._tree = tree
        self._root = tree.root
        self._types, self._outdated = f"{private}/types", f"{private}/outdated"
        lines = set(self._read(self._types))
        self._suggested = _SUGGESTED in lines
        self.had_detours = _DETOUR in lines
        """Whether there may be bodies whose path was not the first of their URL's."""
        self._earlier = {_suffix_of(each): each for each in lines - _MARKS}
        self._known = {*self._earlier, *(lines & _MARKS)}
        self._suffixes: dict[str, str] = {}  # by Content-Type
        self._varying: dict[str, bool] = {}  # by extension of the URL

    def before(
        self, path: str, target: Target, content_type: str | None, filename: str | None
    ) -> list[str]:
        """Note which names *path* stands for; return the paths of *target* that it may replace.

        There may be no file at some of them.
        """
        if target.name is not None:
            return []  # its line alone decides: `ledger/naming` finds what it was called before
        if filename is not None:
            self._learn(_SUGGESTED, _SUGGESTED)
        suffix = self._suffixes.get(content_type or "")
        if suffix is None:
            suffix = self._suffix(content_type or "")
        if suffix not in self._known and path.endswith(f".{suffix}"):
            self._learn(suffix, _media_type(content_type))
        if self._suggested:
            return sorted({*self._by_type(path, target), *self._listed(path, target)})
        return self._by_type(path, target) if self._earlier else []

    def note_detour(self) -> None:
        """Note that a body gets another path than the first of its URL."""
        self._learn(_DETOUR, _DETOUR)

    def outdate(self, path: str) -> None:
        """Note that the file *path* is outdated."""
        self._append(self._outdated, path)

    def outdated(self) -> Iterator[str]:
        """Yield the paths that are noted as outdated, some of them several times."""
        return self._read(self._outdated)

    def forget_outdated(self) -> None:
        """Delete the notes of outdated files."""
        with suppress(FileNotFoundError):
            os.unlink(self._outdated, dir_fd=self._root)

    def _by_type(self, path: str, target: Target) -> list[str]:
        """Return the paths that other types would have given *target*'s body."""
        leaf = target.path.partition("?")[0].rpartition("/")[2]
        extension = leaf.rpartition(".")[2][:_LONGEST_EXTENSION] if "." in leaf else ""
        if not self._varies(extension):
            return []
        # An extension of the URL's own may stand where the type says nothing better.
        types = (*self._earlier.values(), None) if extension else self._earlier.values()
        return sorted({body_path(target, each) for each in types} - {path})

    def _varies(self, extension: str) -> bool:
        """Tell whether the type decides about the name of a URL with *extension*."""
        found = self._varying.get(extension)
        if found is None:
            if len(self._varying) >= _MOST_REMEMBERED:
                self._varying.clear()
            leaf = f"/x.{extension}" if extension else "/x"
            like = msgspec.structs.replace(_NAMELESS, path=leaf, url=f"https://h{leaf}")
            types = (*self._earlier.values(), None)
            found = len({body_path(like, each) for each in types}) > 1
            self._varying[extension] = found
        return found

    def _listed(self, path: str, target: Target) -> Iterator[str]:
        """Yield the files that bear the hash of *target*, whatever else they are called."""
        hashed = alternate_path(target).rpartition("~")[2].partition(".")[0]
        yield body_path(target)
        named = (path, body_path(target), body_path(target, None, "x"))
        for directory in {each.rpartition("/")[0] for each in named}:
            for name in self._tree.names(directory):
                found = f"{directory}/{name}"
                if f"~{hashed}." in name and found != path:
                    yield found

    def _suffix(self, content_type: str) -> str:
        """Return, and remember, the extension that *content_type* makes, where that makes one."""
        if len(self._suffixes) >= _MOST_REMEMBERED:
            self._suffixes.clear()
        suffix = self._suffixes[content_type] = _suffix_of(content_type)
        return suffix

    def _learn(self, suffix: str, line: str) -> None:
        if suffix not in self._known:
            self._append(self._types, line)
            self._known.add(suffix)

    def _append(self, path: str, line: str) -> None:
        """Add *line* to the file *path*, in one call where possible: other processes do, too."""
        rest = memoryview(msgspec.json.encode(line) + b"\n")
        fd = os.open(path, _APPEND, 0o666, dir_fd=self._root)
        try:
            while rest:
                rest = rest[os.write(fd, rest) :]
        finally:
            os.close(fd)

    def _read(self, path: str) -> Iterator[str]:
        """Yield the lines of the file *path*; other lines are skipped."""
        try:
            file = open(os.open(path, _READ, dir_fd=self._root), "rb")  # noqa: PTH123, SIM115
        except FileNotFoundError:
            return
        with file:
            for line in file:
                with suppress(msgspec.DecodeError, UnicodeError):
                    yield msgspec.json.decode(line, type=str)


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _suffix_of(content_type: str) -> str:
    """Return the extension of a URL without one that has *content_type*."""
    return body_path(_NAMELESS, content_type).rpartition(".")[2]
