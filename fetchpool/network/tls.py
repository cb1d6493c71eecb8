"""TLS as a client: the system's roots are read once and late; sessions are resumed.

Reading the roots takes 18 ms. While it is imported aiohttp does it twice, for its own contexts.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property

_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where OpenSSL looks for roots, if they are set (SSL_CTX_set_default_verify_paths(3))."""

MAX_HOSTS = 1_000
"""Hosts whose last session is kept; 4 KB each."""


class _Host:
    """What is known about a host after a connection to it."""

    __slots__ = ("offers", "resumes", "session")

    def __init__(self) -> None:
        self.session: ssl.SSLSession | None = None
        self.offers = 0
        self.resumes = True


class ClientContext(ssl.SSLContext):
    """A context that *make* creates for the first connection, and that resumes sessions.

    From its third connection on, a host is offered the session of the second (RFC 8446 §2.2): no
    certificate is sent and verified, which is half of a handshake. Not earlier, as keeping a
    session takes 120 µs, and most hosts of most lists get one connection. A session belongs to the
    host name whose certificate was verified; another server of that name that can't resume it makes
    a full handshake.
    """

    def __new__(cls, make: Callable[[], ssl.SSLContext]) -> ClientContext:
        """Read no roots yet."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, make: Callable[[], ssl.SSLContext]) -> None:
        self._make = make
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin TLS in the way an event loop does."""
        if session is None and isinstance(server_hostname, str):
            session = self.session_for(server_hostname)
        return self._context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def note_session(self, connection: ssl.SSLObject) -> None:
        """Keep the session of *connection*, over which a response has come, if it will be of use.

        Not earlier: in TLS 1.3 a server sends the session's ticket after the handshake.
        """
        name = connection.server_hostname
        if name is None or connection.session_reused:
            return
        if name not in self._hosts:
            self._enter(name)
            return
        host = self._hosts[name]
        self._hosts.move_to_end(name)
        refused = host.session is not None
        session = None if refused or not host.resumes else connection.session
        if session is not None and not (session.has_ticket or session.id):
            session = None
        host.session = session

    def offers(self, name: str) -> int:
        """Return how many connections have offered the host *name* a session."""
        host = self._hosts.get(name)
        return 0 if host is None else host.offers

    def resume_no_more(self, name: str) -> None:
        """Make full handshakes with the host *name* from now on."""
        host = self._hosts.get(name) or self._enter(name)
        host.session = None
        host.resumes = False

    def session_for(self, name: str) -> ssl.SSLSession | None:
        """Return the session to offer the host *name*, and count the offer; None: there is none."""
        host = self._hosts.get(name)
        if host is None or host.session is None:
            return None
        host.offers += 1
        return host.session

    def _enter(self, name: str) -> _Host:
        host = self._hosts[name] = _Host()
        if len(self._hosts) > MAX_HOSTS:
            self._hosts.popitem(last=False)
        return host

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = self._make()
        context.set_alpn_protocols(("http/1.1",))
        return context


def why_no_roots(path: str) -> str | None:
    """Return why *path* is no file of certificates, for a person to read; None: it is one."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return f"{path} holds no certificate"
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"
    return None


def load_certificate(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    """Have *context* present the certificate in *cert* to servers that ask for one.

    Raises OSError, ssl.SSLError among them, and ValueError where the key has a passphrase: OpenSSL
    would ask for it on the terminal.
    """

    def no_passphrase() -> str:
        raise ValueError("passphrase")

    context.load_cert_chain(cert, key, no_passphrase)
    context.post_handshake_auth = True  # for servers that ask once they know the URL (TLS 1.3)


def why_no_certificate(cert: str, key: str | None) -> str | None:
    """Return why *cert* and *key* can't be used, for a person to read; None: they can."""
    for option, path in (("--cert", cert), ("--key", key)):
        try:
            if path is not None:
                os.close(os.open(path, os.O_RDONLY))
        except OSError as error:
            return f"{option} {path} can't be read: {error.strerror}"
    try:
        load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert, key)
    except ValueError:
        path = key or cert
        return (
            f"the key in {path} has a passphrase, and nobody is asked for it: write it without one "
            f"to a file of yours (openssl pkey -in {path} -out plain.key), and name that with --key"
        )
    except OSError as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            return f"the key in {key or cert} is not that of the certificate in {cert}"
        what = f"--key {key} holds no private key" if key else "it lacks a certificate or its key"
        return f"--cert {cert} takes a PEM file, and {what}"
    return None


def import_aiohttp_sparingly() -> None:
    """Import aiohttp without parts that aren't used: each start is 50 ms shorter.

    Its own TLS contexts trust nobody then, and it doesn't find aiodns (`resolver` loads that for
    the first name). Only for the program itself: whoever imports fetchpool may use both.
    """
    if "aiohttp" in sys.modules:
        return
    before = {place: os.environ.get(place) for place in _PLACES}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    hiding = "aiodns" not in sys.modules
    if hiding:
        sys.modules["aiodns"] = None  # type: ignore[assignment] # to import it is an ImportError
    try:
        import aiohttp  # noqa: F401
    finally:
        if hiding:
            del sys.modules["aiodns"]
        for place, value in before.items():
            if value is None:
                del os.environ[place]
            else:
                os.environ[place] = value
