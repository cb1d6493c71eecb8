"""JSON: an object a line, or an array of objects or URLs; values come along as they are written."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from fetchpool.model.reading import Reading
from fetchpool.model.values import Request
from fetchpool.sources.columns import Columns, find_candidates, quoted, settle
from fetchpool.sources.errors import InputError
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.head import LINES, Head
from fetchpool.sources.lines import BATCH, Batch, Origin, stretches
from fetchpool.sources.making import MAX_ROW, NOTHING, Given, Maker, row_of, rows_of, struct_of

_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_compact = msgspec.json.format
_NULL = b"null"
_WHITE = " \t\r\n"


class _NoArrayError(Exception):
    """What should be a JSON array is none; the message says why."""

    is_early = False
    """Whether it may go on behind what there is."""


def find_lines(head: Head, reading: Reading, *, asked: bool) -> Form | None:
    """Return the list of JSON lines that *head* begins; None if its first line is no object."""
    if not asked and not head.start.startswith("{"):
        return None
    rows = [_object(line.text.encode("utf-8", "replace")) for line in head.lines]
    if not asked and rows[0] is None:
        if head.stream:
            return None
        raise InputError(
            f"{head.name} begins as JSON, but its first line is no object by itself; one a line "
            "is made of an array by: jq -c '.[]'",
            head.samples(),
        )
    return _form([row for row in rows if row], head, reading, JsonLines)


def find_array(head: Head, reading: Reading, *, asked: bool) -> Form | None:
    """Return the JSON array that *head* begins; None if it begins none."""
    if not asked and not head.start.startswith("["):
        return None
    elements: list[bytes] = []
    try:
        for some in _elements([head.text]):
            elements += some
    except _NoArrayError as error:
        if not elements and (asked or not head.stream) and not (error.is_early and not head.whole):
            raise InputError(f"{head.name} is no JSON array: {error}", head.samples()) from None
    texts = [each for each in elements if each.startswith(b'"')]
    if len(texts) * 2 > len(elements) or not elements:
        return JsonArray(None, reading)
    rows = [row for each in elements[:LINES] if (row := _object(each))]
    return _form(rows, head, reading, JsonArray) if rows else JsonArray(None, reading)


def _form(
    rows: Sequence[Mapping[str, msgspec.Raw]],
    head: Head,
    reading: Reading,
    kind: type[JsonLines] | type[JsonArray],
) -> Form | None:
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    cells = [[_plain(row.get(name)) for name in names] for row in rows]
    columns = settle(
        names, find_candidates(cells, len(names), reading), reading, head, has_names=True
    )
    if columns is None:
        if not names:  # nothing but comments yet
            return None
        raise InputError(
            f"{head.name}: no key of its objects holds URLs in most of them; say which with "
            "--column url=KEY",
            head.samples(),
        )
    return kind(columns, reading)


class _RowMaker:
    """Makes a request of a JSON object; keys that the first rows hadn't come along, too."""

    def __init__(self, columns: Columns | None, reading: Reading, maker: Maker) -> None:
        self._maker = maker
        names = columns.names if columns is not None else ()
        self._url = names[columns.url] if columns is not None else ""
        self._fields = [(field, names[at]) for field, at in columns.fields] if columns else []
        carried = {names[at] for at in columns.carried} if columns else set()
        self._all = reading.carry == "all"
        self._left_out = {name for name in names if name not in carried}
        self._carried = carried
        self._carries = columns is not None and reading.carry != "none"
        self._decode = self._typed(names, reading)

    def _typed(self, names: Sequence[str], reading: Reading) -> Callable[[bytes], Any] | None:
        """Return what decodes an object with no keys but *names*, the URL first; None: see rows."""
        if self._fields or reading.carry not in ("all", "none"):
            return None
        others = [name for name in names if name != self._url]
        kind = struct_of([self._url, *others], [str, *[msgspec.Raw] * len(others)])
        return None if kind is None else msgspec.json.Decoder(kind).decode

    def requests(self, lines: Sequence[bytes], seq: int) -> list[Request] | None:
        """Return the requests for *lines*, the first of which has number *seq*.

        None where one of them asks for a closer look.
        """
        if self._decode is None:
            return None
        try:
            objects = list(map(self._decode, lines))
            urls = [each.f0 for each in objects]
            "".join(urls)  # none is missing
        except (ValueError, TypeError, RecursionError):
            return None
        rows = None
        if self._carries:
            for each in objects:
                each.f0 = msgspec.UNSET  # is left out
            rows = rows_of(objects)
            if rows is None or b"{}" in rows:
                return None
        return self._maker.requests(urls, range(seq, seq + len(urls)), rows)

    def request(self, row: dict[str, msgspec.Raw], seq: int) -> Request:
        """Return the request for *row*."""
        url = row.get(self._url)
        given = self._given(row) if self._fields else NOTHING
        carried = None
        if self._carries:
            if self._all:
                for name in self._left_out:
                    row.pop(name, None)
            else:
                row = {name: value for name, value in row.items() if name in self._carried}
            carried = row_of(row) if row else None
        if url is None or bytes(url) == _NULL:
            problem = f"the row has no URL: {quoted(self._url)}"
            return self._maker.refused("", seq, problem, carried)
        try:
            text = _text(url)
        except ValueError:
            problem = "the row's URL is no text"
            if bytes(url)[:1] == b"[":
                problem = (
                    "the row has an array in place of its URL; give each URL a row of its own, as "
                    f"jq -c '.KEY = .KEY[]' does: {quoted(self._url)}"
                )
            shown = bytes(url)[:200].decode("utf-8", "replace")
            return self._maker.refused(shown, seq, problem, carried)
        return self._maker.request(text, seq, given, carried)

    def _given(self, row: Mapping[str, msgspec.Raw]) -> Given:
        said: dict[str, str | bytes] = {}
        for field, name in self._fields:
            raw = bytes(row.get(name, _NULL))
            if raw == _NULL:
                continue
            if raw[:1] == b'"':
                said[field] = _text(raw)
            else:
                said[field] = raw if field in ("headers", "body") else raw.decode()
        return Given(**said) if said else NOTHING  # type: ignore[arg-type]


class JsonLines(Form):
    """A list of a JSON object a line."""

    def __init__(self, columns: Columns, reading: Reading) -> None:
        self._columns = columns
        self._reading = reading
        self.title = f"JSON lines, URLs from {quoted(columns.names[columns.url])}"
        self.mark = f"jsonl {_mark(columns)}"

    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        maker = Maker(origin, self._reading)
        make = _RowMaker(self._columns, self._reading, maker)
        seq = origin.seq
        for piece in stretches(data.blocks(), MAX_ROW):
            lines = piece.data.split(b"\n")
            for at in range(0, len(lines), max_lines):
                some = lines[at : at + max_lines]
                requests = None if piece.too_long else make.requests(some, seq)
                if requests is None:
                    requests = []
                    for number, line in enumerate(some, seq):
                        requests += self._request(line, number, make, maker, piece.too_long)
                seq += len(some)
                weight = sum([len(request.row or b"") for request in requests])
                yield Batch(requests, len(some) - len(requests), seq - 1, weight)

    def _request(
        self, line: bytes, seq: int, make: _RowMaker, maker: Maker, too_long: int
    ) -> list[Request]:
        """Return the request for *line*; none for a blank one or a comment."""
        line = line.strip().removeprefix(b"\xef\xbb\xbf")
        if not line or line[:1] == b"#":
            return []
        if too_long:
            problem = f"the row is longer than {MAX_ROW:,} bytes"
        else:
            try:
                return [make.request(_raw_object(line), seq)]
            except RecursionError:
                problem = "the row is no JSON object that can be read: it is nested too deeply"
            except ValueError as error:
                problem = f"the row is no JSON object: {error}"
        return [maker.refused(line.decode("utf-8", "surrogateescape"), seq, problem)]


class JsonArray(Form):
    """A list that is one JSON array: elements are numbered, as they have no lines."""

    def __init__(self, columns: Columns | None, reading: Reading) -> None:
        """Without *columns* the elements are URLs themselves."""
        self._columns = columns
        self._reading = reading
        name = "" if columns is None else f" from {quoted(columns.names[columns.url])}"
        self.title = f"a JSON array, URLs{name}"
        self.mark = f"json {_mark(columns)}" if columns is not None else "json"

    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        maker = Maker(origin, self._reading)
        make = _RowMaker(self._columns, self._reading, maker)
        read = origin.seq - 1
        try:
            for elements in _elements(_texts(data)):
                for at in range(0, len(elements), max_lines):
                    some = elements[at : at + max_lines]
                    requests = self._requests(some, read + 1, make, maker) or [
                        self._request(element, read + number, make, maker)
                        for number, element in enumerate(some, 1)
                    ]
                    read += len(some)
                    yield Batch(requests, 0, read, sum(map(len, some)))
        except _NoArrayError as error:
            raise InputError(f"{data.name} is no JSON array: {error}") from None

    def _requests(
        self, elements: Sequence[bytes], seq: int, make: _RowMaker, maker: Maker
    ) -> list[Request] | None:
        """Do what `_request` does for each of *elements*, in half the time.

        Returns None where one of them asks for a closer look.
        """
        try:
            if self._columns is None:
                return maker.requests(list(map(_text, elements)), range(seq, seq + len(elements)))
            if {element[:1] for element in elements} == {b"{"}:
                return make.requests([_compact(element, indent=-1) for element in elements], seq)
        except (ValueError, RecursionError):
            pass
        return None

    def _request(self, element: bytes, seq: int, make: _RowMaker, maker: Maker) -> Request:
        try:
            if element[:1] == b'"':
                return maker.request(_text(element), seq)
            if element[:1] == b"{" and self._columns is not None:
                return make.request(_raw_object(_compact(element, indent=-1)), seq)
            problem = "the element is neither an object nor a URL"
        except (ValueError, RecursionError) as error:
            problem = f"the element can't be read: {error}"
        return maker.refused(element[:200].decode("utf-8", "replace"), seq, problem)


def _elements(texts: Iterable[str]) -> Iterator[list[bytes]]:
    """Yield the elements of the JSON array that *texts* are, those of each text when it is there.

    Raises `_NoArrayError`, after all elements before it, where it is none or ends early.
    """
    import json  # 5 ms, which other lists don't need

    scan = json.JSONDecoder().raw_decode
    held, expected = "", "["
    for text in texts:
        held += text
        found: list[bytes] = []
        problem, at, expected = _take(held, expected, found, scan)
        if found:
            yield found
        if problem is not None:
            raise _NoArrayError(problem)
        held = held[at:]
    if expected != "end":
        early = _NoArrayError("it ends early")
        early.is_early = True
        raise early


def _take(
    held: str, expected: str, found: list[bytes], scan: Callable[[str, int], tuple[object, int]]
) -> tuple[str | None, int, str]:
    """Add to *found* what elements are whole in *held*.

    Returns what is wrong, how far it was read, and what is expected there: `[`, a value, the first
    value, or the end.
    """
    at = 0
    while True:
        while at < len(held) and held[at] in _WHITE:
            at += 1
        if at == len(held):
            return None, at, expected
        if expected == "end":
            return "something stands behind its end", at, expected
        if expected == "[":
            if held[at] != "[":
                return "it doesn't begin with [", at, expected
            at, expected = at + 1, "first"
            continue
        if expected == "first" and held[at] == "]":
            at, expected = at + 1, "end"
            continue
        try:
            end = behind = scan(held, at)[1]
        except RecursionError:
            return "it is nested too deeply", at, expected
        except ValueError:
            if len(held) - at > MAX_ROW:
                return f"an element is broken, or longer than {MAX_ROW:,} bytes", at, expected
            return None, at, expected
        while behind < len(held) and held[behind] in _WHITE:
            behind += 1
        if behind == len(held):  # a number may go on
            return None, at, expected
        if held[behind] not in ",]":
            return "a comma is missing between two elements", at, expected
        found.append(held[at:end].encode("utf-8", "replace"))
        at, expected = behind + 1, "value" if held[behind] == "," else "end"


def _texts(data: Data) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for block in data.blocks():
        yield decoder.decode(block).removeprefix("\ufeff")


def _object(line: bytes) -> dict[str, msgspec.Raw] | None:
    """Return the JSON object in *line*; None if there is none."""
    with suppress(ValueError, RecursionError):
        return _raw_object(line)
    return None


def _plain(value: msgspec.Raw | None) -> str:
    """Return the text that a value is, for a look at it; empty if it is none."""
    if value is None or bytes(value)[:1] != b'"':
        return ""
    with suppress(ValueError):
        return _text(value)
    return ""


def _mark(columns: Columns) -> str:
    """Return what decides on requests by names: the numbers of keys depend on what came first."""
    return repr((columns.names[columns.url], [(f, columns.names[at]) for f, at in columns.fields]))
