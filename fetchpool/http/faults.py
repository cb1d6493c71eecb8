"""Exception → what became of the attempt: one ordered table, read from the top.

A test walks aiohttp's exception classes and asserts that each is found here on purpose.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator

import aiohttp
from aiohttp import http_exceptions

from fetchpool.http.exchange import ExchangeError
from fetchpool.model.attempts import Fault
from fetchpool.model.values import Failure, FailureKind, Phase
from fetchpool.network.connector import (
    BlockedAddressError,
    ProxyError,
    ProxyHungUpError,
    ProxyRefusedError,
    ProxyUnreachableError,
    SocksRefusedError,
)
from fetchpool.network.resolver import LookupFailedError

# EADDRNOTAVAIL is not among them: beside "all ports are in use" it says "no IPv6 here", which no
# waiting mends. As silence it is retried, and looked into if it befalls everybody.
OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
NETWORK_DOWN = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.ENONET})


def translate(error: BaseException, *, at: Phase, reused: bool) -> ExchangeError:
    """Return *error* of an exchange that had come to *at* as a value-bearing `ExchangeError`.

    *reused*: the connection had served before.
    """
    if isinstance(error, ProxyError) and not _is_for_descriptors(error):
        return _by_proxy(error)
    for cause in _chain(error):
        if isinstance(cause, BlockedAddressError):
            return ExchangeError(Failure(FailureKind.BLOCKED, str(cause)))
        if isinstance(cause, LookupFailedError):
            return ExchangeError(
                Failure(FailureKind.DNS, str(cause)),
                transient=cause.temporary,
                fault=_fault_of_lookup(cause),
            )
        if isinstance(cause, OSError) and cause.errno in OUT_OF_DESCRIPTORS:
            return ExchangeError(
                Failure(FailureKind.CONNECT, f"{_reason(cause)} {at}"),
                transient=True,
                fault=Fault.DESCRIPTORS,
            )
        if isinstance(cause, OSError) and cause.errno in NETWORK_DOWN:
            failure = Failure(FailureKind.CONNECT, f"{_reason(cause)} {at}")
            return ExchangeError(failure, transient=True, fault=Fault.OURS)
    return _by_type(error, at, stale=reused and at not in (Phase.HEAD, Phase.BODY))


def _fault_of_lookup(error: LookupFailedError) -> Fault:
    if error.temporary:
        return Fault.SILENT
    return Fault.TOLD if error.unasked else Fault.HOST


def _is_for_descriptors(error: BaseException) -> bool:
    return any(
        isinstance(cause, OSError) and cause.errno in OUT_OF_DESCRIPTORS for cause in _chain(error)
    )


CREDENTIALS_WANTED = 407
"""Always the proxy's own word (RFC 9110 §15.5.8)."""


def refused_by_proxy(status: int) -> ExchangeError:
    """Return what a proxy's refusal with *status* means."""
    if status == CREDENTIALS_WANTED:
        failure = Failure(FailureKind.CONNECT, "the proxy wants other credentials (407)")
        return ExchangeError(failure, fault=Fault.DOUBTED)
    failure = Failure(FailureKind.CONNECT, f"the proxy answered {status}")
    return ExchangeError(failure, transient=status >= 500, fault=Fault.TOLD)


def _by_proxy(error: ProxyError) -> ExchangeError:
    if isinstance(error, ProxyRefusedError):
        return refused_by_proxy(error.status)
    if isinstance(error, ProxyUnreachableError):
        failure = Failure(FailureKind.CONNECT, f"the proxy can't be reached: {_why(error)}")
        return ExchangeError(failure, transient=True, fault=Fault.PROXY)
    if isinstance(error, SocksRefusedError):
        failure = Failure(FailureKind.CONNECT, str(error))
        if error.wants_credentials:
            return ExchangeError(failure, fault=Fault.DOUBTED)
        return ExchangeError(failure, transient=error.passing, fault=Fault.TOLD)
    kind = FailureKind.CONNECT if isinstance(error, ProxyHungUpError) else FailureKind.PROTOCOL
    return ExchangeError(Failure(kind, str(error)), transient=True, fault=Fault.DOUBTED)


def _why(error: ProxyUnreachableError) -> str:
    """Return in plain words why there is no connection to the proxy."""
    for cause in _chain(error):
        if isinstance(cause, LookupFailedError | BlockedAddressError):
            return str(cause)
        if isinstance(cause, ssl.SSLError | ssl.CertificateError | aiohttp.ClientSSLError):
            return explain_tls(cause)
        if isinstance(cause, OSError) and cause.errno:
            return _reason(cause)
    return "no connection"


def _by_type(error: BaseException, at: Phase, *, stale: bool) -> ExchangeError:
    match error:
        case aiohttp.ClientProxyConnectionError():
            failure = Failure(FailureKind.CONNECT, f"the proxy: {_reason(error.os_error)}")
            return ExchangeError(failure, transient=True, fault=Fault.PROXY)
        case aiohttp.ClientHttpProxyError():
            return refused_by_proxy(error.status)
        case aiohttp.ClientSSLError() if _is_end(error):
            failure = Failure(FailureKind.CONNECT, _ended(error, at))
            return ExchangeError(failure, transient=True, fault=Fault.HOST)
        case (
            aiohttp.ClientSSLError()
            | aiohttp.ClientConnectorCertificateError()
            | aiohttp.ServerFingerprintMismatch()
            | ssl.SSLError()
            | ssl.CertificateError()
        ):
            return ExchangeError(Failure(FailureKind.TLS, explain_tls(error)))
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            failure = Failure(FailureKind.DNS, "the name can't be resolved")
            return ExchangeError(failure, transient=True, fault=Fault.SILENT)
        case aiohttp.ClientConnectorError():
            failure = Failure(FailureKind.CONNECT, _ended(error.os_error, at))
            heard = isinstance(error.os_error, ConnectionError)  # refused or reset by somebody
            return ExchangeError(
                failure, transient=True, fault=Fault.HOST if heard else Fault.SILENT
            )
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError() | UnicodeError():
            return ExchangeError(Failure(FailureKind.INPUT, "the URL can't be requested"))
        case aiohttp.ClientPayloadError() if not _ended_early(error):
            return ExchangeError(Failure(FailureKind.PROTOCOL, explain_parser(error)))
        case aiohttp.ClientResponseError() | http_exceptions.HttpProcessingError():
            return ExchangeError(Failure(FailureKind.PROTOCOL, explain_parser(error)))
        case TimeoutError():
            failure = Failure(FailureKind.TIMEOUT, f"the operating system gave up waiting {at}")
            return ExchangeError(failure, transient=True, fault=Fault.SILENT)
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError():
            if at is Phase.BODY:
                failure = Failure(FailureKind.TRUNCATED, _ended(error, at))
                return ExchangeError(failure, transient=True)
            if not stale and _is_refusal(error):
                return ExchangeError(Failure(FailureKind.TLS, explain_tls(error)))
            failure = Failure(FailureKind.CONNECT, _ended(error, at))
            return ExchangeError(failure, transient=True, stale=stale)
        case _:
            raise error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error*, what caused it, and the `os_error` aiohttp wraps, each once."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        cause = todo.pop()
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            todo += (cause.__cause__, getattr(cause, "os_error", None))


_REFUSALS = re.compile(
    "_ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE|PROTOCOL_VERSION|SECURITY)"
)
"""Alerts that say what a client is, not what happened to a connection (RFC 8446 §6.2)."""


def _ssl_error(error: BaseException) -> ssl.SSLError | None:
    return next((cause for cause in _chain(error) if isinstance(cause, ssl.SSLError)), None)


def _is_end(error: BaseException) -> bool:
    """Tell a handshake that the server broke off from one in which TLS was refused."""
    return any(getattr(cause, "reason", None) == _END for cause in _chain(error))


def _is_refusal(error: BaseException) -> bool:
    """Tell a refusal by TLS after its handshake (TLS 1.3 judges a client then) from a mere end."""
    cause = _ssl_error(error)
    return cause is not None and _REFUSALS.search(cause.reason or "") is not None


def _ended_early(error: BaseException) -> bool:
    """Tell a body that was cut short from one that isn't framed as HTTP says."""
    for cause in _chain(error):
        if isinstance(cause, http_exceptions.ContentLengthError):
            return True
        if isinstance(cause, http_exceptions.TransferEncodingError):
            return cause.message.startswith("Not enough data")
        if isinstance(cause, http_exceptions.HttpProcessingError):
            return False
    return True


def _reason(error: BaseException) -> str:
    """Return what the operating system says, in its plain words."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return "no connection"


def _ended(error: BaseException, at: Phase) -> str:
    """Return what ended a connection, or its making, and that it had come to *at*."""
    if _ssl_error(error) is not None:  # its number is none of the system's
        return f"{explain_tls(error)} {at}"
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno:
            return f"{_reason(cause)} {at}"
    closed = isinstance(error, ConnectionError | aiohttp.ClientError)
    return f"{'the server closed the connection' if closed else _reason(error)} {at}"


_END = "UNEXPECTED_EOF_WHILE_READING"

_TLS_REASONS = {
    "WRONG_VERSION_NUMBER": "the server doesn't speak TLS on this port",
    "HTTP_REQUEST": "the server speaks plain HTTP on this port",
    "UNSUPPORTED_PROTOCOL": "the server offers only outdated versions of TLS",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the server offers only outdated versions of TLS",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server asks for a certificate (see --cert)",
    _END: "the server closed the connection",
}


def explain_tls(error: BaseException) -> str:
    """Return in plain words why TLS was refused."""
    for cause in _chain(error):
        certificate = getattr(cause, "certificate_error", None)
        for candidate in (cause, certificate):
            # aiohttp's own errors are ssl's by type, but have nothing of it.
            if message := getattr(candidate, "verify_message", None):
                return f"certificate refused: {message}"
            if isinstance(candidate, ssl.SSLError) and (reason := getattr(candidate, "reason", "")):
                return _TLS_REASONS.get(reason, reason.replace("_", " ").lower())
    return "the TLS handshake failed"


def explain_parser(error: BaseException) -> str:
    """Return in plain words what was not HTTP; the text may quote the server."""
    message = getattr(error, "message", "")
    for cause in _chain(error):
        if isinstance(cause, http_exceptions.HttpProcessingError) and cause.message:
            message = cause.message
    first_line = str(message).strip().partition("\n")[0].rstrip(":")
    return f"not HTTP: {first_line[:200]}" if first_line else "not HTTP"
