"""All lists of a run, one after another, as one sequence of numbered requests."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, Self

from fetchpool.models import Request
from fetchpool.sources.codec import Place, check_of, pack_place, pack_text, unpack
from fetchpool.sources.kinds import (
    ArgumentSource,
    Fingerprint,
    InputError,
    Source,
    SourceReadError,
    source_of,
)
from fetchpool.sources.lines import BATCH, Batch, Origin, Stretch, batches, request_in
from fetchpool.urls import display

_KEPT_OPEN = 8
"""Files whose descriptor stays open for lines to be read again: few, as sockets need theirs."""


def open_sources(names: Sequence[str], stdin: BinaryIO | None) -> Sources:
    """Return the lists that *names* mean: files, `-` for *stdin*, or http(s) URLs themselves.

    Files are looked at (there, readable, text in UTF-8); a pipe is opened when its turn comes.
    Raises `InputError` for the first name that can't be read.
    """
    if list(names).count("-") > 1:
        raise InputError("standard input (-) can be read only once")
    opened: list[Source] = []
    try:
        for name in names:
            opened.append(source_of(name, stdin, keep_open=len(opened) < _KEPT_OPEN))
    except InputError:
        for source in opened:
            source.close()
        raise
    return Sources(opened)


class Sources:
    """Lists read one after another; made by `open_sources`, closed by `close` or a `with` block.

    `batches` and `stretches` block and are meant for a thread; everything else may be called from
    the event loop meanwhile.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._first_seqs: list[int] = []

    @property
    def several(self) -> bool:
        """Whether there is more than one list: then requests name theirs, and the line in it."""
        return len(self._sources) > 1

    @property
    def seekable(self) -> bool:
        """Whether every list can be read again from its start: files and arguments only."""
        return all(source.fingerprint is not None for source in self._sources)

    @property
    def names(self) -> list[str]:
        """Of each list: valid Unicode, userinfo redacted, perhaps unfit for a terminal."""
        return [source.name for source in self._sources]

    @property
    def title(self) -> str:
        """What a person may call all of it, fit for a terminal."""
        if not self.several:
            return "".join(
                "standard input" if name == "-" else display(name) for name in self.names
            )
        only_urls = all(isinstance(source, ArgumentSource) for source in self._sources)
        return f"{len(self._sources)} {'URLs' if only_urls else 'lists'}"

    def fingerprints(self) -> list[Fingerprint | None]:
        """Return what tells whether each list is still the same, None for a pipe.

        As of when it was opened. An argument never changes.
        """
        return [source.fingerprint for source in self._sources]

    def batches(self, max_lines: int = BATCH) -> Iterator[Batch]:
        """Read all lists in batches of up to *max_lines* lines; blocks while a pipe is silent.

        A batch comes as soon as its lines are there. Seekable lists can be read any number of
        times. Raises `SourceReadError` where reading fails, `InputError` instead as long as no
        request was handed out.
        """
        lines = 0
        handed_out = False
        for index, source in enumerate(self._sources):
            self._first_seqs[index : index + 1] = [lines + 1]
            pieces = source.stretches()
            try:
                for batch in batches(pieces, self._origin(index), max_lines):
                    lines = batch.lines
                    handed_out = handed_out or bool(batch.requests)
                    yield batch
            except (OSError, InputError) as error:
                raise _trouble(error, source, handed_out=handed_out) from error

    def stretches(self) -> Iterator[Stretch]:
        """Read the whole lines of all lists, without making requests of them; blocks."""
        for source in self._sources:
            yield from source.stretches()

    def pack(self, request: Request) -> bytes:
        """Return *request*, one of these lists', as bytes for the time it waits on disk.

        A line of a file takes 21 bytes, whatever its length; one of a pipe its own and some 10.
        """
        if request.locator < 0 or request.problem is not None:
            return pack_text(request)
        return pack_place(request)

    def unpack(self, data: bytes) -> Request:
        """Return the request that `pack` made *data* of, in this process.

        Raises `SourceReadError` if its line can't be read again or now holds another URL.
        """
        found = unpack(data)
        return self._reread(found) if isinstance(found, Place) else found

    def close(self) -> None:
        """Give all descriptors back; a thread still in `batches` closes its own when it ends."""
        for source in self._sources:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _origin(self, index: int) -> Origin:
        source = self._sources[index]
        name = source.name if self.several else None
        return Origin(self._first_seqs[index], name, located=source.fingerprint is not None)

    def _reread(self, place: Place) -> Request:
        index = bisect_right(self._first_seqs, place.seq) - 1
        source = self._sources[index]
        try:
            line = source.line_at(place.offset)
        except OSError as error:
            raise SourceReadError(f"{display(source.name)}: {error.strerror}") from error
        request = request_in(line, place.seq, place.offset, self._origin(index))
        if request is None or check_of(request.url) != place.check:
            raise SourceReadError(
                f"{display(source.name)} was changed while it was read; run the same command again"
            )
        return request


def _trouble(error: OSError | InputError, source: Source, *, handed_out: bool) -> Exception:
    """Return what *error* means: a list that can't be used, or one that failed on the way."""
    if isinstance(error, OSError):
        message = f"{display(source.name)} can't be read: {error.strerror or error}"
    else:
        message = str(error)
    return SourceReadError(message) if handed_out else InputError(message)
