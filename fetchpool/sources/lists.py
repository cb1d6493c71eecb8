"""All lists of a run, one after another, as one sequence of numbered requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from fetchpool.model.asking import PLAIN, Ask
from fetchpool.model.reading import AS_LINES, Reading
from fetchpool.model.urls import display
from fetchpool.sources.errors import InputError, SourceReadError
from fetchpool.sources.fetched import FetchedSitemaps
from fetchpool.sources.foreign import check_readable
from fetchpool.sources.forms import Form, Plain, form_of
from fetchpool.sources.head import Head, beginning
from fetchpool.sources.kinds import ArgumentSource, FileSource, Source, source_of
from fetchpool.sources.lines import BATCH, BLOCK, Batch, Origin
from fetchpool.sources.packed import is_packed, unpacked
from fetchpool.sources.sample import Sample

if TYPE_CHECKING:
    from fetchpool.model.split import Split

_KEPT_OPEN = 8
"""Lists whose descriptor stays open for them to be read again: few, as sockets need theirs."""


def open_sources(
    names: Sequence[str],
    stdin: BinaryIO | None,
    *,
    named: bool = False,
    ask: Ask = PLAIN,
    reading: Reading = AS_LINES,
    fetched: FetchedSitemaps | None = None,
    split: Split | None = None,
) -> Sources:
    """Return the lists that *names* mean: files, `-` for *stdin*, or http(s) URLs themselves.

    Files are looked at (there, readable, of which form); a pipe is opened when its turn comes.
    With *named*, requests of a single list name it, too; all are asked for as *ask* says. What
    an index of sitemaps leads to comes from *fetched*, or not at all if that is None. With *split*,
    only the requests of its shards are read, numbered as in the whole.
    Raises `InputError` for the first name that can't be read, or whose form can't be told.
    """
    if list(names).count("-") > 1:
        raise InputError("standard input (-) can be read only once")
    opened: list[_List] = []
    try:
        for name in names:
            source = source_of(name, stdin, keep_open=len(opened) < _KEPT_OPEN)
            opened.append(_List(source, reading, fetched))
            opened[-1].look()
    except InputError:
        for each in opened:
            each.source.close()
        raise
    return Sources(opened, named=named, ask=ask, fetched=fetched, split=split)


class _List:
    """One list: where it is from, and its form as soon as that is known."""

    def __init__(self, source: Source, reading: Reading, fetched: FetchedSitemaps | None) -> None:
        self.source = source
        self.fetched = fetched
        self.form: Form | None = Plain() if isinstance(source, ArgumentSource) else None
        self.name = "standard input" if source.name == "-" else display(source.name)
        self._reading = reading
        self._blocks: Iterator[bytes] | None = None

    @property
    def seekable(self) -> bool:
        """Whether it is the same when it is read again from its start."""
        return self.source.seekable and not (self.form is not None and self.form.is_fetched)

    def look(self) -> None:
        """Find out the form of a list that can be read again."""
        if self.form is None and self.source.seekable:
            try:
                self.form = self._form(unpacked(self.source.blocks(), self.name))[0]
            except OSError as error:
                raise _trouble(error, self.source, handed_out=False) from error

    def batches(self, origin: Origin, max_lines: int) -> Iterator[Batch]:
        """Read it from its start, a stream once."""
        if self.form is None:
            blocks = unpacked(self.source.blocks(), self.name)
            self.form, taken = self._form(blocks)
            pieces = (taken[at : at + BLOCK] for at in range(0, len(taken), BLOCK))
            self._blocks = chain(pieces, blocks)
        return self.form.batches(self, origin, max_lines)

    def sample(self, share: float) -> Sample | None:
        """Return a part of it, if it is a plain file, as it lies there; else None."""
        source = self.source
        if not isinstance(source, FileSource) or not isinstance(self.form, Plain):
            return None
        if is_packed(next(source.blocks(), b"")):
            return None
        return Sample(source, self.name, share)

    def sampled(self, sample: Sample, origin: Origin) -> Iterator[Batch]:
        """Read the part of it in *sample*; its header, if it has one, is no line there."""
        return Plain(self._reading).batches(sample, origin)

    def counts(self) -> Iterator[int]:
        """Yield how many requests it holds, in pieces."""
        return iter(()) if self.form is None else self.form.counts(self)

    def blocks(self) -> Iterator[bytes]:
        """Read it, unpacked."""
        if self._blocks is not None:
            return self._blocks
        return unpacked(self.source.blocks(), self.name)

    def descriptor(self) -> int | None:
        """Return a descriptor of the file, if it is one, that the caller closes."""
        return self.source.descriptor()

    def _form(self, blocks: Iterator[bytes]) -> tuple[Form, bytes]:
        """Return the form of what begins with *blocks*, and what was taken of them."""
        stream = not self.source.seekable
        taken, whole = beginning(blocks, stream=stream)
        check_readable(taken, self.source.name)
        head = Head(taken, self.name, whole=whole, stream=stream, descriptor=self.descriptor)
        return form_of(head, self._reading), taken


class Sources:
    """Lists read one after another; made by `open_sources`, closed by `close` or a `with` block.

    `batches` and `counts` block and are meant for a thread; everything else may be called from
    the event loop meanwhile.
    """

    def __init__(
        self,
        lists: Sequence[_List],
        *,
        named: bool = False,
        ask: Ask = PLAIN,
        fetched: FetchedSitemaps | None = None,
        split: Split | None = None,
    ) -> None:
        self._lists = lists
        self.split = split
        """Whose requests are read, where that is not all of them."""
        self.without_request = 0
        """Lines read so far that are no shard's: blank ones, comments, headers; with *split*."""
        self.fetched = fetched or FetchedSitemaps()
        """What is fetched for them, by who runs them."""
        self._sources = [each.source for each in lists]
        self._ask = ask
        self.named = named or len(lists) > 1
        """Whether requests name their list, and the line in it."""

    @property
    def several(self) -> bool:
        """Whether there is more than one list."""
        return len(self._sources) > 1

    @property
    def seekable(self) -> bool:
        """Whether every list is the same when it is read again from its start: files and arguments
        only, and no index of sitemaps."""
        return all(each.seekable for each in self._lists)

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

    @property
    def forms(self) -> list[str]:
        """What the lists were taken for that are more than a URL a line: `urls.csv: table, …`.

        Of a stream once its first batch was read.
        """
        return [
            f"{each.name}: {each.form.title}"
            for each in self._lists
            if each.form is not None and each.form.title
        ]

    @property
    def sheet(self) -> tuple[str, bool] | None:
        """How a single list is written that is a spreadsheet's table (`Form.sheet`); else None."""
        form = self._lists[0].form if len(self._lists) == 1 else None
        return None if form is None else form.sheet

    @property
    def mark(self) -> str:
        """What decides which lines become which requests; empty for plain lists."""
        marks = [each.form.mark if each.form is not None else "" for each in self._lists]
        return "\n".join(marks) if any(marks) else ""

    def batches(self, max_lines: int = BATCH) -> Iterator[Batch]:
        """Read all lists in batches of up to *max_lines* lines; blocks while a pipe is silent.

        A batch comes as soon as its lines are there. Seekable lists can be read any number of
        times. Raises `SourceReadError` where reading fails, `InputError` instead as long as no
        request was handed out.
        """
        lines = without = 0
        handed_out = False
        split = self.split
        for each in self._lists:
            name = each.source.name if self.named else None
            origin = Origin(lines + 1, name, self._ask, split)
            try:
                for batch in each.batches(origin, max_lines):
                    if split is not None:
                        _check_divisible(each)
                        found = len(batch.requests) + batch.foreign
                        without += batch.lines - lines - found
                        batch.requests = split.own_requests(batch.requests)
                        batch.foreign = found - len(batch.requests)
                        self.without_request = without
                    lines = batch.lines
                    handed_out = handed_out or bool(batch.requests or batch.foreign)
                    yield batch
            except (OSError, InputError) as error:
                raise _trouble(error, each.source, handed_out=handed_out) from error

    def sampled(self, share: float) -> Iterator[tuple[Batch, float]]:
        """Read about *share* of each list that is a plain file, other lists whole.

        Yields batches, and how many lines of the list stand for one of the batch: 1 where it is
        read whole. Their numbers are no line numbers. Raises what `batches` does.
        """
        handed_out = False
        for each in self._lists:
            try:
                sample = each.sample(share)
                if sample is None:
                    batches, weight = each.batches(Origin(1, None, self._ask), BATCH), 1.0
                else:
                    batches, weight = each.sampled(sample, Origin(1, None)), sample.weight
                for batch in batches:
                    handed_out = handed_out or bool(batch.requests)
                    yield batch, weight
            except (OSError, InputError) as error:
                raise _trouble(error, each.source, handed_out=handed_out) from error

    def counts(self) -> Iterator[int]:
        """Yield how many requests the lists hold, in pieces; blocks. For lists read again."""
        for each in self._lists:
            yield from each.counts()

    def close(self) -> None:
        """Give all descriptors back; a thread still in `batches` closes its own when it ends.

        It waits for nothing that is fetched any more.
        """
        self.fetched.close()
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


def _check_divisible(each: _List) -> None:
    """Raise `InputError` for a list that isn't the same each time it is read."""
    if each.form is not None and each.form.is_fetched:
        raise InputError(
            f"{each.name} is an index of sitemaps, which each shard would fetch for itself, and "
            "perhaps otherwise: give --shard the list of URLs"
        )


def _trouble(error: OSError | InputError, source: Source, *, handed_out: bool) -> Exception:
    """Return what *error* means: a list that can't be used, or one that failed on the way."""
    if isinstance(error, OSError):
        message = f"{display(source.name)} can't be read: {error.strerror or error}"
    else:
        message = str(error)
    if handed_out:
        return SourceReadError(message)
    return InputError(message, error.samples if isinstance(error, InputError) else ())
