"""`Record`: one line of `results.jsonl`. Its keys are declared here, once; the rest follows.

    Record ──▶ JSON Lines (`Batch.lines`), CSV (`output/export/forms`)
           ──▶ which columns a run has (`expected_keys`), what is redacted (`Key.hide`)
           ──▶ docs/records.md and the README's table (`reference`)

A new key is a field at the end, with its `Key`, and an argument in `Record.of`, which looks into
`optional` where the run decides whether it is there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Mapping, Sequence
from functools import cache, lru_cache
from sys import intern
from typing import TYPE_CHECKING, Annotated, NamedTuple, get_type_hints

import msgspec
from msgspec.structs import asdict, replace

from fetchpool.model.asking import body_digest
from fetchpool.model.urls import redact, redact_urls_in
from fetchpool.model.values import (
    Change,
    FailureKind,
    Outcome,
    Receipt,
    Timings,
    failure_label,
)

if TYPE_CHECKING:
    from fetchpool.config import Config

_MILLISECONDS = tuple(f".{number:03}Z" for number in range(1000))
_YEAR_10000 = 253402300800  # seconds since the epoch: RFC 3339 years have four digits
_encode_lines = msgspec.json.Encoder().encode_lines

# DEL and C1 controls, bidirectional overrides, line separators: JSON allows them raw, but a
# terminal may obey them and some readers end lines there.
_UNFIT = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)


class Only(NamedTuple):
    """When a record has a key that others lack."""

    when: str
    """For a person: what follows "only"."""
    expected: Callable[[Config, bool], bool]
    """Tells whether a run of some settings, over several sources or not, may have such records."""


class Key(NamedTuple):
    """What is declared of a key beside its name, its type and its place."""

    meaning: str
    """A sentence without its full stop."""
    of: str
    """Which field of the outcome it comes from."""
    hide: Callable[[str], str] | None = None
    """What takes secrets out of it."""
    only: Only | None = None
    """None: every record has it."""


NO_ROW = msgspec.Raw()
"""The row of a record whose list is a URL a line."""

SOURCE_KEYS = frozenset({"source", "line"})
_WHERE_SAID = Only("where the server said so", lambda config, _: config.refresh)
_IN_CONTAINERS = Only("with a `--store` of containers", lambda config, _: config.in_containers)
_WITH_SEVERAL = Only("with several sources, or `--add`", lambda _, several: several)


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a ledger says of one line; keys in the order in which scripts may rely on them."""

    seq: Annotated[
        int, Key("The line's number over all sources in their order, from 1", "request.seq")
    ]
    url: Annotated[str, Key("The URL as in the list, without its secrets", "request.url", redact)]
    ok: Annotated[
        bool,
        Key(
            "Whether a complete answer with a 2xx status came, or 304 for a body that is there",
            "ok",
        ),
    ]
    status: Annotated[int | None, Key("HTTP status of the last answer", "status")]
    error: Annotated[FailureKind | None, Key("Which kind of error, if it is not ok", "error")]
    detail: Annotated[
        str | None, Key("What is to be said beyond that, for a person", "detail", redact_urls_in)
    ]
    final_url: Annotated[str | None, Key("The URL after redirects", "final_url", redact)]
    redirects: Annotated[int, Key("Hops followed", "redirects")]
    attempts: Annotated[
        int, Key("1 and the retries, those that aren't counted too; hops are not in it", "attempts")
    ]
    bytes: Annotated[int, Key("Length of the body as stored (unpacked)", "bytes")]
    wire_bytes: Annotated[int, Key("Length of the body as received", "wire_bytes")]
    content_type: Annotated[str | None, Key("As the server said", "content_type")]
    path: Annotated[str | None, Key("Where the body is, from DEST on", "path")]
    sha256: Annotated[
        str | None, Key("Of the body as stored, with `--hash` or `--refresh`", "sha256")
    ]
    started_at: Annotated[
        str | None,
        Key("When the first attempt began: RFC 3339, UTC, milliseconds", "started_at"),
    ]
    elapsed_s: Annotated[
        float,
        Key("Seconds from there to the end of the last one, waiting included", "elapsed_s"),
    ]
    source: Annotated[
        str | None,
        Key("The list it stands in", "request.source", redact, only=_WITH_SEVERAL),
    ] = None
    line: Annotated[
        int | None, Key("The line's number in that list", "request.line", only=_WITH_SEVERAL)
    ] = None
    insecure: Annotated[
        bool,
        Key(
            "TLS certificates were not verified",
            "insecure",
            only=Only("where it is true, with `--insecure`", lambda config, _: config.insecure),
        ),
    ] = False

    method: Annotated[
        str,
        Key(
            "Of the request",
            "request.method",
            only=Only("where it isn't GET", lambda config, _: config.ask.method != "GET"),
        ),
    ] = "GET"
    request_sha256: Annotated[
        str | None,
        Key(
            "Of the request's body",
            "request.body",
            only=Only("where it has one", lambda config, _: config.ask.body is not None),
        ),
    ] = None
    row: Annotated[
        msgspec.Raw,
        Key(
            "The list's other columns, as they were; in CSV each is a column",
            "request.row",
            only=Only("where the list has some", lambda *_: False),
        ),
    ] = NO_ROW

    etag: Annotated[
        str | None,
        Key("As the server said of the body", "etag", only=_WHERE_SAID),
    ] = None
    last_modified: Annotated[
        str | None,
        Key("As the server said of the body", "last_modified", only=_WHERE_SAID),
    ] = None
    change: Annotated[
        Change | None,
        Key(
            "`new`, `changed`, `same` or `gone` (404 or 410) since the run before",
            "change",
            only=Only("with `--refresh`, where it is known", lambda config, _: config.refresh),
        ),
    ] = None
    proxy: Annotated[
        str | None,
        Key(
            "The proxy of the last request, without credentials",
            "proxy",
            only=Only("where it has one of several", lambda config, _: config.has_proxy_pool),
        ),
    ] = None
    container: Annotated[
        str | None,
        Key("The container that has the body, from DEST on", "receipt", only=_IN_CONTAINERS),
    ] = None
    offset: Annotated[
        int | None,
        Key(
            "Where the body begins in a WARC or tar; its row in Parquet and SQLite",
            "receipt",
            only=_IN_CONTAINERS,
        ),
    ] = None
    length: Annotated[
        int | None, Key("How many bytes it takes there", "receipt", only=_IN_CONTAINERS)
    ] = None
    timings: Annotated[
        Timings | None,
        Key(
            "Seconds that the last attempt spent on `queued`, `dns`, `connect`, `tls`, `first_byte`"
            " and `body`; in CSV each is a column",
            "timings",
            only=Only("with `--timings`", lambda config, _: config.timings),
        ),
    ] = None

    @property
    def label(self) -> str | None:
        """What a failure is counted as (see `failure_label`); None = ok."""
        return failure_label(self.error, self.status)

    @classmethod
    def of(cls, outcome: Outcome, optional: Container[str] = ()) -> Record:
        """Return the record of *outcome*, with those of the *optional* keys that a run asks for.

        `insecure` is no matter of asking.
        """
        request = outcome.request
        url = redact(request.url)
        final_url = outcome.final_url
        detail = outcome.detail
        started_at, elapsed_s = outcome.started_at, outcome.elapsed_s
        record = cls(
            request.seq,
            url,
            outcome.ok,
            outcome.status,
            outcome.error,
            None if detail is None else redact_urls_in(detail),
            url if final_url == request.url else None if final_url is None else redact(final_url),
            outcome.redirects,
            outcome.attempts,
            outcome.bytes,
            outcome.wire_bytes,
            outcome.content_type,
            outcome.path,
            outcome.sha256,
            None if started_at is None else rfc3339(started_at),
            # Half the time of round(seconds, 6); NaN and infinity are no JSON.
            int(elapsed_s * 1e6 + 0.5) / 1e6 if 0 <= elapsed_s < _YEAR_10000 else 0.0,
            request.source if "source" in optional else None,
            request.line if "line" in optional else None,
            outcome.insecure,
            # What equals the default but isn't the same object would be written.
            "GET" if request.method == "GET" else intern(str(request.method)),
            None if request.body is None else body_digest(request.body),
            NO_ROW if request.row is None else msgspec.Raw(request.row),
            outcome.etag,
            outcome.last_modified,
            outcome.change,
            outcome.proxy,
            timings=outcome.timings,
        )
        return record if outcome.receipt is None else placed(record, outcome.receipt)


def placed(record: Record, receipt: Receipt | None) -> Record:
    """Return *record* with the place that *receipt* says, if it says one."""
    if receipt is None or not receipt.container or record.container is not None:
        return record
    return replace(
        record, container=receipt.container, offset=receipt.offset, length=receipt.length
    )


@cache
def keys() -> Mapping[str, Key]:
    """Return what is declared of every key, in their order."""
    hints = get_type_hints(Record, include_extras=True)
    return {name: hints[name].__metadata__[0] for name in Record.__struct_fields__}


def expected_keys(config: Config, *, several: bool) -> frozenset[str]:
    """Return which of the keys that not all records have are those of a run's records."""
    declared = keys().items()
    return frozenset(n for n, key in declared if key.only and key.only.expected(config, several))


class Batch:
    """Records on their way to the writers: values, until one of them wants JSON."""

    __slots__ = ("_lines", "records")

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self._lines: bytes | None = None

    @property
    def lines(self) -> bytes:
        """The same as lines of JSON, encoded once."""
        if self._lines is None:
            self._lines = encode_all(self.records)
        return self._lines


def encode(record: Record) -> bytes:
    """Return *record* as one line of JSON; see `encode_all`."""
    return encode_all((record,))


def encode_all(records: Sequence[Record]) -> bytes:
    """Return *records* as lines of JSON, each with its line feed. Never raises.

    Halves of characters (lone surrogates) become `?`; what a terminal or a reader of lines could
    take for more than text is escaped, which JSON readers undo.
    """
    try:
        lines = _encode_lines(records)
    except UnicodeEncodeError:
        lines = _encode_lines([mended(record) for record in records])
    return escaped(lines)


def escaped(lines: bytes) -> bytes:
    """Return *lines*, JSON in UTF-8, with an escape for each character that is more than text."""
    if lines.isascii() and b"\x7f" not in lines:
        return lines
    return _UNFIT.sub(lambda match: b"\\u%04x" % ord(match[0].decode()), lines)


def recorded_url(text: str) -> str:
    """Return the URL under which a record of the line *text* is found in the ledger."""
    return whole_characters(redact(text))


def recorded_key(url: str, variant: str) -> str:
    """Return what a record is known by: its *url*, with what tells it from that of a plain GET."""
    return f"{variant} {url}" if variant else url


def rfc3339(epoch_s: float) -> str | None:
    """Return seconds since the epoch as `2026-01-31T12:00:00.000Z`; None if no such date exists."""
    if not 0 <= epoch_s < _YEAR_10000:
        return None
    second, milliseconds = divmod(int(epoch_s * 1000), 1000)
    return _second(second) + _MILLISECONDS[milliseconds]


@lru_cache(maxsize=1024)
def _second(epoch_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_s))


def mended(record: Record) -> Record:
    """Return *record* with a `?` for each half of a character in its texts."""
    texts = {key: it for key, it in asdict(record).items() if isinstance(it, str)}
    mended = {key: whole_characters(text) for key, text in texts.items()}
    # What is as it was stays the same object: msgspec knows a default by that, and leaves it out.
    return replace(record, **{key: text for key, text in mended.items() if text != texts[key]})


def whole_characters(text: str) -> str:
    """Return *text* with a `?` for each half of a character."""
    return text.encode("utf-8", "replace").decode()
