"""All lists of a run, one after another, as one sequence of numbered requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, Self

from fetchpool.model.asking import PLAIN, Ask
from fetchpool.model.urls import display
from fetchpool.sources.kinds import (
    ArgumentSource,
    InputError,
    Source,
    SourceReadError,
    source_of,
)
from fetchpool.sources.lines import BATCH, Batch, Origin, Stretch, batches

_KEPT_OPEN = 8
"""Lists whose descriptor stays open for them to be read again: few, as sockets need theirs."""


def open_sources(
    names: Sequence[str], stdin: BinaryIO | None, *, named: bool = False, ask: Ask = PLAIN
) -> Sources:
    """Return the lists that *names* mean: files, `-` for *stdin*, or http(s) URLs themselves.

    Files are looked at (there, readable, text in UTF-8); a pipe is opened when its turn comes.
    With *named*, requests of a single list name it, too; all are asked for as *ask* says.
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
    return Sources(opened, named=named, ask=ask)


class Sources:
    """Lists read one after another; made by `open_sources`, closed by `close` or a `with` block.

    `batches` and `stretches` block and are meant for a thread; everything else may be called from
    the event loop meanwhile.
    """

    def __init__(self, sources: Sequence[Source], *, named: bool = False, ask: Ask = PLAIN) -> None:
        self._sources = sources
        self._ask = ask
        self.named = named or len(sources) > 1
        """Whether requests name their list, and the line in it."""

    @property
    def several(self) -> bool:
        """Whether there is more than one list."""
        return len(self._sources) > 1

    @property
    def seekable(self) -> bool:
        """Whether every list can be read again from its start: files and arguments only."""
        return all(source.seekable for source in self._sources)

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

    def batches(self, max_lines: int = BATCH) -> Iterator[Batch]:
        """Read all lists in batches of up to *max_lines* lines; blocks while a pipe is silent.

        A batch comes as soon as its lines are there. Seekable lists can be read any number of
        times. Raises `SourceReadError` where reading fails, `InputError` instead as long as no
        request was handed out.
        """
        lines = 0
        handed_out = False
        for source in self._sources:
            origin = Origin(lines + 1, source.name if self.named else None, self._ask)
            try:
                for batch in batches(source.stretches(), origin, max_lines):
                    lines = batch.lines
                    handed_out = handed_out or bool(batch.requests)
                    yield batch
            except (OSError, InputError) as error:
                raise _trouble(error, source, handed_out=handed_out) from error

    def stretches(self) -> Iterator[Stretch]:
        """Read the whole lines of all lists, without making requests of them; blocks."""
        for source in self._sources:
            yield from source.stretches()

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


def _trouble(error: OSError | InputError, source: Source, *, handed_out: bool) -> Exception:
    """Return what *error* means: a list that can't be used, or one that failed on the way."""
    if isinstance(error, OSError):
        message = f"{display(source.name)} can't be read: {error.strerror or error}"
    else:
        message = str(error)
    return SourceReadError(message) if handed_out else InputError(message)
