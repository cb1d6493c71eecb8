"""A row of a list → the request that it means, whatever form the list has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import repeat
from typing import Any, NamedTuple

import msgspec

from fetchpool.model.asking import PLAIN, Fields, problem_in_ask, problem_in_baggage
from fetchpool.model.reading import Reading
from fetchpool.model.urls import is_hiding, redact, redact_urls_in
from fetchpool.model.urls.completing import completed
from fetchpool.model.values import Request
from fetchpool.sources.lines import BLANKS, MAX_LINE, SHOWN, Origin, problem_in

MAX_ROW = 1 << 20
"""Longest row that is read, in bytes."""
MAX_CARRIED = 64 << 10
"""Longest `row` of a request, in bytes: as long as a line may be."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_BODILESS = ("GET", "HEAD")
_encoder = msgspec.json.Encoder(enc_hook=str)
_encode = _encoder.encode

_MOST_FIELDS = 256


class Given(NamedTuple):
    """What a row says beside its URL; None = nothing."""

    method: str | None = None
    headers: str | bytes | None = None
    """A JSON object, or lines `Name: value`."""
    body: str | bytes | None = None
    name: str | None = None
    checksum: str | None = None


NOTHING = Given()


class Maker:
    """Makes the requests of one list."""

    def __init__(self, origin: Origin, reading: Reading) -> None:
        self._origin = origin
        self._reading = reading
        self._is_plain = origin.ask == PLAIN

    def request(
        self, text: str, seq: int, given: Given = NOTHING, row: bytes | None = None
    ) -> Request:
        """Return the request for the URL in *text*, of the line or row number *seq*."""
        url = text.strip()
        if not (url.isascii() and url.isprintable()):
            url = escaped(text).strip(BLANKS)
        if self._reading.completes:
            url = completed(url, self._reading.scheme, self._reading.base)
        if not url:
            return self.refused("", seq, "the row has no URL", row)
        problem = None if url.isprintable() else problem_in(url)
        if len(url) > MAX_LINE:
            return self.refused(url, seq, f"the URL is longer than {MAX_LINE:,} bytes")
        if row is not None and len(row) > MAX_CARRIED:
            return self.refused(
                url, seq, "the row's other columns are too long to come along; name some with "
                f"--carry A,B, or none with --carry none: {len(row):,} bytes",
            )  # fmt: skip
        source, line = self._place(seq)
        if given is NOTHING and self._is_plain:
            return Request(url, seq, source, line, problem, row=row)
        return self._asked(Request(url, seq, source, line, problem, row=row), given)

    def requests(
        self, urls: Sequence[str], seqs: Sequence[int], rows: Sequence[bytes] | None = None
    ) -> list[Request] | None:
        """Do what `request` does for each of *urls*, in a fifth of the time.

        Returns None where any of them asks for a closer look, as one in another script does.
        """
        together = "".join(urls)
        if (
            not (together.isascii() and together.isprintable() and all(urls))
            or " " in together
            or (len(together) > MAX_LINE and max(map(len, urls)) > MAX_LINE)
            or (rows and max(map(len, rows)) > MAX_CARRIED)
            or not self._is_plain
            or self._reading.completes
        ):
            return None
        name, before = self._origin.name, self._origin.seq - 1
        requests = []
        for url, seq, row in zip(urls, seqs, rows or repeat(None)):  # noqa: B905 (an endless one)
            line = None if name is None else seq - before
            requests.append(Request(url, seq, name, line, row=row))
        return requests

    def refused(self, text: str, seq: int, problem: str, row: bytes | None = None) -> Request:
        """Return the request for a row that can't be one: *text* is what is shown of it."""
        if row is not None and len(row) > MAX_CARRIED:
            row = None
        # Redacted before it is cut: of userinfo cut in the middle nobody could tell what it is.
        shown = redact(escaped(text[: 2 * MAX_LINE]).strip(BLANKS))[:SHOWN]
        return Request(shown, seq, *self._place(seq), problem, row=row)

    def _place(self, seq: int) -> tuple[str | None, int | None]:
        origin = self._origin
        return origin.name, None if origin.name is None else seq - origin.seq + 1

    def _asked(self, request: Request, given: Given) -> Request:
        """Return *request* as the row says it is to be asked, else as the run says."""
        ask = self._origin.ask
        body = ask.body if given.body is None else _bytes(given.body)
        method = ask.method if given.method is None else given.method.strip().upper()
        if given.method is None and given.body is not None and method in _BODILESS:
            method = "POST"
        problem, headers = request.problem, ask.headers
        if given.headers is not None:
            fields = fields_of(given.headers)
            if fields is None:
                problem = problem or (
                    "the row's header fields are neither a JSON object nor lines 'Name: value'"
                )
            else:
                names = {name.lower() for name, _ in fields}
                headers = (*fields, *(each for each in headers if each[0].lower() not in names))
        problem = problem or problem_in_ask(method, headers, body)
        problem = problem or problem_in_baggage(given.name, given.checksum, None)
        if problem is not None:
            return msgspec.structs.replace(request, problem=problem)
        return msgspec.structs.replace(
            request,
            method=method,
            headers=headers,
            body=body,
            name=given.name,
            checksum=given.checksum,
        )


def given_by(cells: Iterable[tuple[str, str]]) -> Given:
    """Return what *cells*, of fields and their texts, say; what is empty says nothing."""
    said = {field: escaped(cell) for field, cell in cells if cell.strip()}
    for field in ("name", "checksum"):
        if field in said:
            said[field] = said[field].strip(BLANKS)
    return Given(**said) if said else NOTHING


def fields_of(text: str | bytes) -> Fields | None:
    """Return the header fields in *text*, a JSON object or lines; None if it is neither."""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text.strip()
    if text.startswith("{"):
        try:
            pairs = msgspec.json.decode(text, type=dict[str, str])
        except (ValueError, RecursionError):
            return None
        return tuple((name.strip(), value.strip(" \t")) for name, value in pairs.items())
    lines = [line.partition(":") for line in text.splitlines() if line.strip()]
    if not all(colon for _, colon, _ in lines):
        return None
    return tuple((name.strip(), value.strip(" \t")) for name, _, value in lines)


def row_of(columns: Mapping[str, object]) -> bytes:
    """Return *columns* as the JSON object that a record has, what is secret in URLs hidden."""
    try:
        row = _encode(columns)
    except UnicodeEncodeError:
        clean = {escaped(name): _readable(value) for name, value in columns.items()}
        row = _encode(clean)
    return _hidden(row)


def struct_of(
    names: Sequence[str], types: Sequence[type] | None = None
) -> type[msgspec.Struct] | None:
    """Return a struct with a field for each of *names*: `f0`, `f1`, …, of text or of *types*.

    Read and written faster than a mapping. With *types*, a field that isn't given is UNSET; other
    names aren't read. None where one is no name that a field can have, or where they are very many.
    """
    if len(names) > _MOST_FIELDS:
        return None
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        (f"f{number}", str)
        if types is None
        else (f"f{number}", types[number] | msgspec.UnsetType, msgspec.UNSET)
        for number in range(len(names))
    ]
    rename = {field[0]: name for field, name in zip(fields, names, strict=True)}
    with suppress(ValueError, UnicodeEncodeError):
        return msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)
    return None


def rows_of(columns: Iterable[msgspec.Struct]) -> list[bytes] | None:
    """Do what `row_of` does for each of *columns*; None where one can't be encoded as it is."""
    try:
        encoded = _encoder.encode_lines(columns)
    except UnicodeEncodeError:
        return None
    rows = encoded.split(b"\n")
    rows.pop()
    if is_hiding() or b"@" in encoded or b"\\u0040" in encoded:
        return list(map(_hidden, rows))
    return rows


def _hidden(row: bytes) -> bytes:
    """Return *row*, a JSON object, with what is secret in URLs hidden."""
    # JSON may write any character as an escape, and much of it writes slashes so.
    may_be_secret = (b"@" in row or b"\\u0040" in row) and (b"://" in row or b"\\" in row)
    if not (may_be_secret or is_hiding()):
        return row
    value = msgspec.json.decode(row)
    clean = _redacted(value)
    return row if clean == value else _encode(clean)


def escaped(text: str) -> str:
    """Return *text* with percent escapes for the bytes in it that are no UTF-8."""
    if text.isascii() or not _SURROGATES.search(text):
        return text
    return _SURROGATES.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", text)


def _readable(value: object) -> object:
    """Return a cell with what its bytes that are no UTF-8 mean in a Windows code page."""
    if not isinstance(value, str) or not _SURROGATES.search(value):
        return value
    return value.encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact_urls_in(value)
    if isinstance(value, dict):
        return {redact_urls_in(name): _redacted(each) for name, each in value.items()}
    return [_redacted(each) for each in value] if isinstance(value, list) else value


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
