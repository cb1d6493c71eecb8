"""`Record`: one line of `results.jsonl`, made from an outcome."""

from __future__ import annotations

import re
import time
from functools import lru_cache

import msgspec
from msgspec.structs import asdict, replace

from fetchpool.model.urls import redact, redact_urls_in
from fetchpool.model.values import FailureKind, Outcome

_YEAR_10000 = 253402300800  # seconds since the epoch: RFC 3339 years have four digits
_encode_json = msgspec.json.Encoder().encode

# DEL and C1 controls, bidirectional overrides, line separators: JSON allows them raw, but a
# terminal may obey them and some readers end lines there.
_UNFIT = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a ledger says of one line; keys in the order in which scripts may rely on them."""

    seq: int
    """The line's number over all sources, from 1."""
    url: str
    """As in the list, userinfo and secret parameters redacted."""
    ok: bool
    status: int | None
    error: FailureKind | None
    detail: str | None
    final_url: str | None
    redirects: int
    attempts: int
    bytes: int
    wire_bytes: int
    content_type: str | None
    path: str | None
    sha256: str | None
    started_at: str | None
    """RFC 3339, UTC, milliseconds."""
    elapsed_s: float
    """Seconds, to the microsecond."""
    source: str | None = None
    """Written only where there are several sources."""
    line: int | None = None
    insecure: bool = False
    """Written only if true."""

    @classmethod
    def of(cls, outcome: Outcome, *, several: bool) -> Record:
        """Return the record of *outcome*; with *several* sources it names source and line."""
        request = outcome.request
        url = redact(request.url)
        final_url = outcome.final_url
        detail = outcome.detail
        started_at = outcome.started_at
        return cls(
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
            _microseconds(outcome.elapsed_s),
            request.source if several else None,
            request.line if several else None,
            outcome.insecure,
        )


def encode(record: Record) -> bytes:
    """Return *record* as one line of JSON, its line feed included. Never raises.

    Halves of characters (lone surrogates) become `?`; what a terminal or a reader of lines could
    take for more than text is escaped, which JSON readers undo.
    """
    try:
        line = _encode_json(record)
    except UnicodeEncodeError:
        line = _encode_json(_mended(record))
    return escaped(line) + b"\n"


def escaped(line: bytes) -> bytes:
    """Return *line*, JSON in UTF-8, with an escape for each character that is more than text."""
    if line.isascii() and b"\x7f" not in line:
        return line
    return _UNFIT.sub(lambda match: b"\\u%04x" % ord(match[0].decode()), line)


def recorded_url(text: str) -> str:
    """Return the URL under which a record of the line *text* is found in the ledger."""
    return _whole_characters(redact(text))


def rfc3339(epoch_s: float) -> str | None:
    """Return seconds since the epoch as `2026-01-31T12:00:00.000Z`; None if no such date exists."""
    if not 0 <= epoch_s < _YEAR_10000:
        return None
    milliseconds = int(epoch_s * 1000)
    second = milliseconds // 1000
    return f"{_second(second)}.{milliseconds - second * 1000:03}Z"


@lru_cache(maxsize=1024)
def _second(epoch_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_s))


def _microseconds(seconds: float) -> float:
    # A third of the time round(seconds, 6) takes; NaN and infinity are no JSON.
    return int(seconds * 1e6 + 0.5) / 1e6 if 0 <= seconds < _YEAR_10000 else 0.0


def _mended(record: Record) -> Record:
    texts = {key: it for key, it in asdict(record).items() if isinstance(it, str)}
    return replace(record, **{key: _whole_characters(text) for key, text in texts.items()})


def _whole_characters(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
