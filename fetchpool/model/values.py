"""The records that flow from list to ledger.

    Request ──▶ Target ──▶ (attempts, hops) ──▶ Outcome ──▶ Summary

Everything here is a value: frozen, slotted, cheap to make (a frozen dataclass of eight fields takes
0.72 µs, the same struct 0.08 µs) and free of behaviour that needs a clock or a socket.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from fetchpool.model.asking import Fields, variant_of
from fetchpool.model.exchanges import Exchanged

Bytes: TypeAlias = bytes  # `Outcome` has a field of that name


class FailureKind(StrEnum):
    """Why a URL has no complete 2xx answer: a closed list that scripts may rely on."""

    INPUT = "input"
    """The line is no http(s) URL."""
    BLOCKED = "blocked"
    """Address or scheme refused by policy, or the URL by robots.txt."""
    DNS = "dns"
    CONNECT = "connect"
    """Refused, unreachable, reset or closed before an answer."""
    TLS = "tls"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    """What came is not HTTP."""
    TRUNCATED = "truncated"
    """The body ended early."""
    DECODE = "decode"
    """Content-Encoding broken or unknown."""
    TOO_BIG = "too_big"
    REDIRECT = "redirect"
    """Loop, too many hops, or an unusable Location."""
    CHECKSUM = "checksum"
    """The body isn't the bytes that the list promised."""
    STATUS = "status"
    """A complete answer that is not 2xx."""
    INTERNAL = "internal"
    """A bug of ours: logged with its traceback."""


class Phase(StrEnum):
    """How far an attempt has come, in words that end a sentence."""

    LOOKUP = "while its name was looked up"
    CONNECT = "while connecting"
    TUNNEL = "while the proxy was asked for a tunnel"
    HANDSHAKE = "during the TLS handshake"
    SENDING = "before the request was sent"
    WAITING = "after the request was sent"
    """Nothing has come of an answer."""
    HEAD = "within the head of the answer"
    BODY = "within the body"


HANDED_OVER = "leads to a host of another shard: handed over"
"""What is said of a redirect that another run is to follow; its record's `final_url` says where."""

GIVEN_UP = "given up"


def failure_label(error: FailureKind | str | None, status: int | None) -> str | None:
    """Return what a failure is counted as: its status (`404`) or its kind (`timeout`); None = ok.

    `given up`: not asked for, as the host had answered 429 or 503 through too many pauses.

    The one rule for all who tell people of failures, while they happen (fields of an `Outcome`) and
    from a ledger (those of a record).
    """
    if error is None:
        return None
    if error == FailureKind.STATUS:
        return GIVEN_UP if status is None else str(status)
    return str(error)


class Failure(msgspec.Struct, frozen=True, gc=False):
    """What went wrong with an attempt, as a value."""

    kind: FailureKind
    detail: str
    """A sentence for a person; already redacted, may still hold characters unfit for a terminal."""


class Change(StrEnum):
    """What became of a URL since the run before (`--refresh`)."""

    NEW = "new"
    """No earlier run had it."""
    CHANGED = "changed"
    SAME = "same"
    """Not modified, as the server says or as the hash of its body shows."""
    GONE = "gone"
    """404 or 410, where an earlier run got a body."""


class Earlier(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What an earlier run got for a request, as its record says; all as by default: nothing."""

    url: str = ""
    """That answered: what the validators are of. Empty: no earlier run had an answer."""
    bytes: int = 0
    content_type: str | None = None
    path: str | None = None
    """Where the body still is, unaltered; None if it is not, or was never stored."""
    sha256: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    condition: tuple[str, str] | None = None
    """The field by which the server is asked for a newer version only; None = ask for it plainly"""
    place: tuple[str, int, int] | None = None
    """Container, offset and length of the body, where it is in a container."""

    @property
    def has_body(self) -> bool:
        """Whether there is a body of it."""
        return self.path is not None or self.place is not None


class Request(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One line of a list: what somebody wants fetched, and how it is to be asked for.

    Requests made by a user of the library need only *url*; `seq` is then given in the order read.
    What goes to disk or to another process is made of it in one place, `sources.codec`.
    """

    url: str
    """As written, but always valid Unicode: bytes that are no UTF-8 are percent-encoded."""
    seq: int = 0
    """The line's number over all sources in their order, from 1; 0 = not numbered yet."""
    source: str | None = None
    """Name of the list, for a run with several."""
    line: int | None = None
    """The line's number within *source*, from 1."""
    problem: str | None = None
    """Why the line can't be a URL, when the reader knows already (too long, a NUL); else None."""
    method: str = "GET"
    """One of `METHODS`."""
    headers: Fields = ()
    """Fields of this request alone; they win over those of the run (`Config.header`)."""
    body: Bytes | None = None
    """Sent byte for byte; None = no body, which isn't an empty one."""
    name: str | None = None
    """The wished name of the body's file, relative to DEST; made safe by who stores it."""
    checksum: str | None = None
    """What the body must come to, as `asking.read_checksum` reads it."""
    row: Bytes | None = None
    """The list's other columns: a JSON object in UTF-8 without blanks, as it goes to the record."""
    earlier: Earlier | None = None
    """What an earlier run got, where only what has changed is wanted (`--refresh`)."""
    is_sitemap: bool = False
    """An index of sitemaps names it: its body is a list, whose URLs come into the run's. It has a
    record only if it can't be had or read."""

    def __repr__(self) -> str:
        """Show what may be shown: the URL is redacted by who shows it, body and row by nobody."""
        return f"Request({self.url!r}, seq={self.seq}, method={self.method!r})"

    @property
    def variant(self) -> str:
        """What tells this from a plain GET of its URL (see `variant_of`); empty if it is one."""
        if self.body is None and self.method == "GET":
            return ""
        return variant_of(self.method, self.body)

    @property
    def key(self) -> str:
        """What the request is known by: two of one key share a record, a file and its name."""
        variant = self.variant
        return f"{variant} {self.url}" if variant else self.url


class Target(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A parsed URL, ready to be requested: normalised as browsers do (WHATWG), bytes kept."""

    url: str
    """Without userinfo and fragment; pure ASCII."""
    scheme: str
    """`http` or `https`."""
    host: str
    """Name in lower-case ASCII, or an address; an IPv6 address without brackets."""
    port: int
    path: str
    """Path with query, as it goes into the request line; starts with `/`."""
    host_key: str
    """What counts as one host: the name, with its port unless that is the scheme's own."""
    authorization: str | None = None
    """`Basic …` made from the URL's userinfo; a secret."""
    variant: str = ""
    """What tells the request for it from a plain GET (see `variant_of`); empty if it is one."""
    name: str | None = None
    """What its line wishes its body's file to be called; None: the URL decides."""

    @property
    def key(self) -> str:
        """What a body is named by: the URL, for all but a plain GET with what was asked."""
        return f"{self.variant} {self.url}" if self.variant else self.url

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what user headers and credentials are bound to."""
        return (self.scheme, self.host, self.port)


class Head(msgspec.Struct, frozen=True, eq=False):
    """Status and header fields of an answer; two are equal if these are."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in the order received; values as Latin-1 (RFC 9110 §5.5)."""
    by_name: dict[str, str] | None = None
    """The same fields, where each name is there once; None: somebody has to look."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Head):
            return NotImplemented
        return self.status == other.status and self.headers == other.headers

    def __hash__(self) -> int:
        return hash((self.status, self.headers))

    def get(self, name: str) -> str | None:
        """Return the first value of header *name* (lower case), or None."""
        if self.by_name is not None:
            return self.by_name.get(name)
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def get_all(self, name: str) -> list[str]:
        """Return every value of header *name* (lower case), in order."""
        if self.by_name is not None:
            value = self.by_name.get(name)
            return [] if value is None else [value]
        found = []  # a comprehension would be a call, up to Python 3.11
        for key, value in self.headers:
            if key == name:
                found.append(value)
        return found


REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
"""RFC 9110 §15.4: those that send a GET elsewhere."""


def is_redirect(head: Head) -> bool:
    """Return True if *head* sends the request elsewhere."""
    return head.status in REDIRECT_STATUSES and bool(head.get("location"))


class Receipt(msgspec.Struct, array_like=True):
    """Where a body is in a container, a file that holds many bodies.

    A sink makes it at `commit` and fills it in when it appends the body (`Sink.append`). In a
    container of rows (Parquet, SQLite) `offset` is the row's number, `length` that of the body.
    """

    container: str = ""
    """Relative to DEST; empty until the body is appended."""
    offset: int = 0
    """Of the body's first byte in the container."""
    length: int = 0
    """How many bytes it takes there."""
    exchanges: tuple[Exchanged, ...] = ()
    """The messages, for a sink that keeps them, until they are appended: of each redirect, then of
    the last request. A failure has them as far as they came."""


class Timings(msgspec.Struct, frozen=True, gc=False):
    """What the last attempt spent its time on, in seconds; None = it had no such step."""

    queued: float | None = None
    """Waiting for its turn; None where that isn't known."""
    dns: float | None = None
    connect: float | None = None
    """TCP."""
    tls: float | None = None
    """Through a proxy the tunnel's opening as well."""
    first_byte: float | None = None
    """From the request's departure to the response's first byte."""
    body: float | None = None
    """From there to the last byte."""


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of a request: exactly one for each."""

    request: Request
    ok: bool
    """A complete answer with a 2xx status, or 304 for a body that is still there."""
    status: int | None
    """HTTP status of the last answer."""
    error: FailureKind | None
    detail: str | None
    final_url: str | None
    """After redirects."""
    redirects: int
    attempts: int
    """Requests sent beyond redirects: 1 + retries."""
    bytes: int
    """Length of the body as stored (decoded)."""
    wire_bytes: int
    """Length of the body as received."""
    content_type: str | None
    path: str | None
    """Of the stored body, relative to the store's root."""
    sha256: str | None
    started_at: float | None
    """Of the first attempt, seconds since the epoch."""
    elapsed_s: float
    """From the first attempt's start to the end of the last, waiting between them included."""
    first_byte_s: float | None = None
    """From the last hop's request to the first byte of its answer."""
    insecure: bool = False
    """Fetched without TLS verification."""
    host_key: str = ""
    """The host the list's URL counts against; empty for a line that is no URL."""
    body: Bytes | None = None
    """The body itself, where no store was given."""
    receipt: Receipt | None = None
    """Where the body is, if its store keeps containers."""
    etag: str | None = None
    """As the server said of the body."""
    last_modified: str | None = None
    """The same."""
    change: Change | None = None
    """What has become of it since the run before, with `--refresh`."""
    proxy: str | None = None
    """The proxy of the last request, without credentials, where there are several."""
    timings: Timings | None = None
    """What the last attempt spent its time on, with `Config.timings`."""
