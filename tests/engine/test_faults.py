"""Every exception aiohttp may raise is a kind of failure on purpose, in words fit for a record."""

from __future__ import annotations

import errno
import inspect
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import client_exceptions, http_exceptions
from aiohttp.client_reqrep import ConnectionKey

from fetchpool.http.exchange import ExchangeError
from fetchpool.http.faults import translate
from fetchpool.model.attempts import Fault
from fetchpool.model.values import FailureKind, Phase
from fetchpool.network.connector import (
    BlockedAddressError,
    ProxyHungUpError,
    ProxyNotHTTPError,
    ProxyRefusedError,
    ProxyUnreachableError,
)
from fetchpool.network.resolver import LookupFailedError

KEY = ConnectionKey("a.test", 443, True, True, None, None, None)
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connect plan failed ('127.0.0.1', 443)")
UNVERIFIED = ssl.SSLCertVerificationError(1, "[SSL] certificate verify failed")
UNVERIFIED.verify_message = "certificate has expired"
UNVERIFIED.reason = "CERTIFICATE_VERIFY_FAILED"


def translated(
    error: BaseException, at: Phase = Phase.WAITING, *, reused: bool = False
) -> ExchangeError:
    return translate(error, at=at, reused=reused)


def os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def wrapped(error: OSError) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, error)


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


# --- no gap in the table

TAKES: dict[type[BaseException], Callable[[Any], BaseException]] = {
    aiohttp.ClientResponseError: lambda kind: kind(None, (), status=502, message="odd"),
    aiohttp.ClientConnectorCertificateError: lambda kind: kind(KEY, UNVERIFIED),
    client_exceptions.UnixClientConnectorError: lambda kind: kind("/x", KEY, REFUSED),
    aiohttp.ClientConnectorError: lambda kind: kind(KEY, REFUSED),
    aiohttp.ServerFingerprintMismatch: lambda kind: kind(b"a", b"b", "a.test", 443),
    aiohttp.InvalidURL: lambda kind: kind("http://user:secret@a.test/"),
    http_exceptions.LineTooLong: lambda kind: kind(b"x" * 9000, "8190", "9000"),
    http_exceptions.InvalidHeader: lambda kind: kind(b"x\x1b[31m"),
    http_exceptions.BadStatusLine: lambda kind: kind("SSH-2.0-OpenSSH_9.6\r\nmore\r\n"),
    http_exceptions.BadHttpMessage: lambda kind: kind("odd"),
    http_exceptions.HttpProcessingError: lambda kind: kind(message="odd"),
}
"""How the classes with arguments of their own are made; the first base that is listed counts."""

NEVER_MET = {
    aiohttp.ClientError,  # only ever raised as one of its kinds
    aiohttp.RedirectClientError,  # redirects are hops of ours
    client_exceptions.UploadAbortedError,  # nothing is uploaded
    aiohttp.WSMessageTypeError,  # no web sockets
}
"""What can't come from a GET: if it does, that is a bug of ours and must be loud."""

KINDS = {
    aiohttp.ClientConnectionError: FailureKind.CONNECT,
    aiohttp.ClientConnectionResetError: FailureKind.CONNECT,
    aiohttp.ClientOSError: FailureKind.CONNECT,
    aiohttp.ClientConnectorError: FailureKind.CONNECT,
    aiohttp.ClientConnectorDNSError: FailureKind.DNS,
    aiohttp.ClientProxyConnectionError: FailureKind.CONNECT,
    client_exceptions.UnixClientConnectorError: FailureKind.CONNECT,
    aiohttp.ServerConnectionError: FailureKind.CONNECT,
    aiohttp.ServerDisconnectedError: FailureKind.CONNECT,
    aiohttp.ServerTimeoutError: FailureKind.TIMEOUT,
    aiohttp.ConnectionTimeoutError: FailureKind.TIMEOUT,
    aiohttp.SocketTimeoutError: FailureKind.TIMEOUT,
    aiohttp.ServerFingerprintMismatch: FailureKind.TLS,
    aiohttp.ClientSSLError: FailureKind.TLS,
    aiohttp.ClientConnectorSSLError: FailureKind.TLS,
    aiohttp.ClientConnectorCertificateError: FailureKind.TLS,
    aiohttp.ClientPayloadError: FailureKind.CONNECT,
    aiohttp.InvalidURL: FailureKind.INPUT,
    aiohttp.InvalidUrlClientError: FailureKind.INPUT,
    aiohttp.InvalidUrlRedirectClientError: FailureKind.INPUT,
    aiohttp.NonHttpUrlClientError: FailureKind.INPUT,
    aiohttp.NonHttpUrlRedirectClientError: FailureKind.INPUT,
    aiohttp.ClientHttpProxyError: FailureKind.CONNECT,
    aiohttp.ClientResponseError: FailureKind.PROTOCOL,
    aiohttp.ContentTypeError: FailureKind.PROTOCOL,
    aiohttp.TooManyRedirects: FailureKind.PROTOCOL,
    aiohttp.WSServerHandshakeError: FailureKind.PROTOCOL,
}


def exceptions_of(module: ModuleType) -> Iterator[type[Exception]]:
    for found in vars(module).values():
        own = getattr(found, "__module__", None) == module.__name__
        if own and inspect.isclass(found) and issubclass(found, Exception):
            yield found


def example(kind: type[Exception]) -> BaseException:
    for base in kind.__mro__:
        if base in TAKES:
            return TAKES[base](kind)
    return kind()


AIOHTTPS = [*exceptions_of(client_exceptions), *exceptions_of(http_exceptions)]


def test_the_walk_finds_what_there_is() -> None:
    assert len(AIOHTTPS) > 40
    assert {*KINDS, *NEVER_MET} == set(exceptions_of(client_exceptions)), "aiohttp has new ones"


@pytest.mark.parametrize("kind", AIOHTTPS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("at", [Phase.WAITING, Phase.BODY])
def test_each_exception_of_aiohttp_has_a_kind_on_purpose(kind: type[Exception], at: Phase) -> None:
    error = example(kind)
    if kind in NEVER_MET:
        with pytest.raises(kind):
            translated(error, at)
        return
    result = translated(error, at)
    expected = KINDS.get(kind, FailureKind.PROTOCOL)  # all of the parser's are no HTTP
    if (
        at is Phase.BODY
        and expected is FailureKind.CONNECT
        and isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError)
        and not isinstance(error, aiohttp.ClientConnectorError)
    ):
        expected = FailureKind.TRUNCATED
    assert result.failure.kind is expected
    assert result.failure.kind is not FailureKind.INTERNAL
    detail = result.failure.detail
    assert detail
    assert "\n" not in detail
    assert "secret" not in detail
    assert len(detail) <= 220


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), KeyError("x")])
def test_what_nobody_expected_stays_loud(error: Exception) -> None:
    with pytest.raises(type(error)):
        translated(error)


# --- whose trouble it is


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1006)")
    error.reason = reason
    return error


class Row(NamedTuple):
    error: BaseException
    kind: FailureKind
    fault: Fault
    transient: bool
    detail: str
    at: Phase = Phase.CONNECT


@pytest.mark.parametrize(
    "row",
    [
        Row(wrapped(REFUSED), FailureKind.CONNECT, Fault.HOST, True, "connection refused {at}"),
        Row(
            wrapped(ConnectionResetError(errno.ECONNRESET, "x")),
            FailureKind.CONNECT, Fault.HOST, True, "connection reset by peer {at}",
        ),
        Row(
            wrapped(os_error(errno.EHOSTUNREACH)),
            FailureKind.CONNECT, Fault.SILENT, True, "no route to host {at}",
        ),
        Row(
            wrapped(os_error(errno.ETIMEDOUT)),
            FailureKind.CONNECT, Fault.SILENT, True, "connection timed out {at}",
        ),
        Row(
            wrapped(os_error(errno.ENETUNREACH)),
            FailureKind.CONNECT, Fault.OURS, True, "network is unreachable {at}",
        ),
        Row(
            wrapped(os_error(errno.EMFILE)),
            FailureKind.CONNECT, Fault.DESCRIPTORS, True, "too many open files {at}",
        ),
        Row(
            os_error(errno.ENFILE),
            FailureKind.CONNECT, Fault.DESCRIPTORS, True, "too many open files in system {at}",
        ),
        Row(
            caused(aiohttp.ClientOSError(), os_error(errno.ENOBUFS)),
            FailureKind.CONNECT, Fault.DESCRIPTORS, True, "no buffer space available {at}",
        ),
        # No IPv6 on this machine: waiting for a descriptor would be waiting for ever.
        Row(
            wrapped(os_error(errno.EADDRNOTAVAIL)),
            FailureKind.CONNECT, Fault.SILENT, True, "cannot assign requested address {at}",
        ),
        Row(
            wrapped(BlockedAddressError("127.0.0.1 is not public: loopback address (RFC 1122)")),
            FailureKind.BLOCKED, Fault.URL, False,
            "127.0.0.1 is not public: loopback address (RFC 1122)",
        ),
        Row(
            caused(aiohttp.ClientError(), LookupFailedError("no such name", temporary=False)),
            FailureKind.DNS, Fault.HOST, False, "no such name",
        ),
        Row(
            aiohttp.ClientConnectorDNSError(
                KEY, LookupFailedError("the name server failed", temporary=True)
            ),
            FailureKind.DNS, Fault.SILENT, True, "the name server failed",
        ),
        Row(
            socket.gaierror(socket.EAI_AGAIN, "x"),
            FailureKind.DNS, Fault.SILENT, True, "the name can't be resolved",
        ),
        Row(
            aiohttp.ClientProxyConnectionError(KEY, REFUSED),
            FailureKind.CONNECT, Fault.PROXY, True, "the proxy: connection refused",
        ),
        Row(
            aiohttp.ClientHttpProxyError(None, (), status=407),  # type: ignore[arg-type]
            FailureKind.CONNECT, Fault.DOUBTED, False, "the proxy wants other credentials (407)",
        ),
        Row(
            aiohttp.ClientHttpProxyError(None, (), status=502),  # type: ignore[arg-type]
            FailureKind.CONNECT, Fault.TOLD, True, "the proxy answered 502",
        ),
        Row(
            ProxyRefusedError(403),
            FailureKind.CONNECT, Fault.TOLD, False, "the proxy answered 403",
        ),
        Row(
            ProxyHungUpError("the proxy closed the connection when it was asked for a tunnel"),
            FailureKind.CONNECT, Fault.DOUBTED, True,
            "the proxy closed the connection when it was asked for a tunnel",
        ),
        Row(
            ProxyNotHTTPError("what the proxy sent is no HTTP"),
            FailureKind.PROTOCOL, Fault.DOUBTED, True, "what the proxy sent is no HTTP",
        ),
        Row(
            caused(ProxyUnreachableError(), REFUSED),
            FailureKind.CONNECT, Fault.PROXY, True,
            "the proxy can't be reached: connection refused",
        ),
        Row(
            caused(ProxyUnreachableError(), LookupFailedError("no such name", temporary=False)),
            FailureKind.CONNECT, Fault.PROXY, True, "the proxy can't be reached: no such name",
        ),
        Row(
            caused(ProxyUnreachableError(), BlockedAddressError("::1 is left out")),
            FailureKind.CONNECT, Fault.PROXY, True, "the proxy can't be reached: ::1 is left out",
        ),
        Row(
            caused(ProxyUnreachableError(), OSError(errno.EMFILE, "x")),
            FailureKind.CONNECT, Fault.DESCRIPTORS, True, "too many open files {at}",
        ),
        Row(
            LookupFailedError("no such name", temporary=False, unasked=True),
            FailureKind.DNS, Fault.TOLD, False, "no such name",
        ),
        Row(
            UnicodeError("label too long"),
            FailureKind.INPUT, Fault.URL, False, "the URL can't be requested",
        ),
        Row(
            TimeoutError(),
            FailureKind.TIMEOUT, Fault.SILENT, True, "the operating system gave up waiting {at}",
        ),
        Row(
            aiohttp.ServerDisconnectedError(),
            FailureKind.CONNECT, Fault.URL, True,
            "the server closed the connection {at}", Phase.WAITING,
        ),
        Row(
            aiohttp.ClientOSError(errno.ECONNRESET, "x"),
            FailureKind.CONNECT, Fault.URL, True,
            "connection reset by peer {at}", Phase.WAITING,
        ),
        Row(
            aiohttp.ServerDisconnectedError(),
            FailureKind.CONNECT, Fault.URL, True,
            "the server closed the connection {at}", Phase.HEAD,
        ),
        Row(
            caused(aiohttp.ClientPayloadError(), aiohttp.ClientOSError(errno.ECONNRESET, "x")),
            FailureKind.TRUNCATED, Fault.URL, True,
            "connection reset by peer {at}", Phase.BODY,
        ),
        Row(
            aiohttp.ClientPayloadError(),
            FailureKind.TRUNCATED, Fault.URL, True,
            "the server closed the connection {at}", Phase.BODY,
        ),
        Row(
            aiohttp.ClientOSError(errno.ECONNRESET, "x"),
            FailureKind.TRUNCATED, Fault.URL, True,
            "connection reset by peer {at}", Phase.BODY,
        ),
        Row(
            aiohttp.ClientConnectorSSLError(KEY, tls_error("UNEXPECTED_EOF_WHILE_READING")),
            FailureKind.CONNECT, Fault.HOST, True,
            "the server closed the connection {at}", Phase.HANDSHAKE,
        ),
        Row(
            wrapped(ConnectionResetError()),
            FailureKind.CONNECT, Fault.HOST, True,
            "the server closed the connection {at}", Phase.HANDSHAKE,
        ),
    ],
    ids=lambda row: row.detail.replace(" ", "_"),
)  # fmt: skip
def test_whose_trouble_it_is(row: Row) -> None:
    result = translated(row.error, row.at)
    assert (result.failure.kind, result.fault, result.transient) == row[1:4]
    assert result.failure.detail == row.detail.format(at=row.at)


def test_connection_that_a_proxy_refuses_is_not_taken_for_the_hosts() -> None:
    """`ClientProxyConnectionError` is a `ClientConnectorError`: the table's order matters."""
    assert translated(aiohttp.ClientProxyConnectionError(KEY, REFUSED)).fault is Fault.PROXY


@pytest.mark.parametrize("reused", [True, False])
@pytest.mark.parametrize("at", [Phase.SENDING, Phase.WAITING, Phase.HEAD, Phase.BODY])
def test_only_a_kept_connection_without_a_byte_is_stale(reused: bool, at: Phase) -> None:
    for error in (aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError(errno.EPIPE, "x")):
        result = translated(error, at, reused=reused)
        assert result.stale is (reused and at in (Phase.SENDING, Phase.WAITING))
    refused = translated(wrapped(REFUSED), Phase.CONNECT, reused=True)
    assert not refused.stale


@pytest.mark.parametrize(
    ("reason", "kind", "detail"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", FailureKind.TLS, "asks for a certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", FailureKind.TLS, "unknown ca"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", FailureKind.TLS, "handshake failure"),
        ("SSLV3_ALERT_BAD_RECORD_MAC", FailureKind.CONNECT, "sslv3 alert bad record mac"),
        ("TLSV1_ALERT_INTERNAL_ERROR", FailureKind.CONNECT, "tlsv1 alert internal error"),
        (
            "UNEXPECTED_EOF_WHILE_READING",
            FailureKind.CONNECT,
            "the server closed the connection after",
        ),
    ],
)
def test_tls_that_ends_after_the_handshake_is_final_where_it_judges_the_client(
    reason: str, kind: FailureKind, detail: str
) -> None:
    cause = ssl.SSLError(1, f"[SSL: {reason}]")
    cause.reason = reason
    error = aiohttp.ClientOSError(*cause.args)
    error.__cause__ = cause
    result = translated(error)
    assert (result.failure.kind, result.transient) == (kind, kind is not FailureKind.TLS)
    assert detail in result.failure.detail
    assert kind is FailureKind.TLS or result.failure.detail.endswith(" after the request was sent")
    assert translated(error, reused=True).stale


# --- bodies


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (http_exceptions.ContentLengthError("Not enough data to satisfy length"),
         FailureKind.TRUNCATED),
        (http_exceptions.TransferEncodingError("Not enough data for chunks"),
         FailureKind.TRUNCATED),
        (http_exceptions.TransferEncodingError("Bad chunk size"), FailureKind.PROTOCOL),
        (http_exceptions.BadHttpMessage("Invalid character in chunk size"), FailureKind.PROTOCOL),
        (ConnectionResetError(errno.ECONNRESET, "x"), FailureKind.TRUNCATED),
    ],
)  # fmt: skip
def test_body_cut_short_is_told_from_one_that_is_no_http(
    cause: BaseException, kind: FailureKind
) -> None:
    error = caused(aiohttp.ClientPayloadError("Response payload is not completed"), cause)
    result = translated(error, Phase.BODY)
    assert result.failure.kind is kind
    assert result.transient is (kind is FailureKind.TRUNCATED)


def test_connection_lost_in_the_body_is_a_cut_body() -> None:
    for error in (aiohttp.ClientPayloadError(), ConnectionResetError(), aiohttp.ClientOSError()):
        result = translated(error, Phase.BODY)
        assert result.failure.kind is FailureKind.TRUNCATED
        assert (result.transient, result.stale) == (True, False)


# --- TLS in plain words


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (tls_error("WRONG_VERSION_NUMBER"), "the server doesn't speak TLS on this port"),
        (tls_error("HTTP_REQUEST"), "the server speaks plain HTTP on this port"),
        (tls_error("UNSUPPORTED_PROTOCOL"), "the server offers only outdated versions of TLS"),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "sslv3 alert handshake failure"),
        (UNVERIFIED, "certificate refused: certificate has expired"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "the TLS handshake failed"),
    ],
)
def test_tls_failures_are_said_in_plain_words(cause: OSError, words: str) -> None:
    for error in (
        aiohttp.ClientConnectorSSLError(KEY, cause),
        aiohttp.ClientConnectorCertificateError(KEY, cause),
        caused(aiohttp.ClientSSLError(KEY, OSError()), cause),
    ):
        result = translated(error)
        assert (result.failure.kind, result.failure.detail) == (FailureKind.TLS, words)
        assert not result.transient


@pytest.mark.parametrize("error", [tls_error("WRONG_VERSION_NUMBER"), UNVERIFIED])
def test_bare_errors_of_ssl_are_tls(error: ssl.SSLError) -> None:
    assert translated(error).failure.kind is FailureKind.TLS


# --- what was not HTTP, in words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (http_exceptions.BadStatusLine("SSH-2.0-x"), "not HTTP: Bad status line 'SSH-2.0-x'"),
        (http_exceptions.BadHttpMessage("Data after `Connection: close`:\n\n  b'junk'\n  ^"),
         "not HTTP: Data after `Connection: close`"),
        (http_exceptions.HttpProcessingError(), "not HTTP"),
        (http_exceptions.BadHttpMessage("x" * 10_000), "not HTTP: " + "x" * 200),
    ],
)  # fmt: skip
def test_what_was_no_http_is_said_in_one_short_line(error: Exception, words: str) -> None:
    assert translated(error).failure.detail == words


def test_status_that_the_parser_made_up_is_not_taken_for_the_servers() -> None:
    """aiohttp says 400 for everything its parser refuses."""
    error = aiohttp.ClientResponseError(None, (), status=400, message="odd")  # type: ignore[arg-type]
    assert translated(error).failure.kind is FailureKind.PROTOCOL
    assert "400" not in translated(error).failure.detail
