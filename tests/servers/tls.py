"""Certificates for servers on loopback: one good, the others wrong in one way each."""

from __future__ import annotations

import datetime as dt
import ssl
import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = ("127.0.0.1", "localhost", "::1")
_DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority of the tests and the server contexts it signs.

    `contexts` are made once each: making a key takes milliseconds, a run needs many servers.
    """

    def __init__(self) -> None:
        self.ca = trustme.CA()

    def write_roots(self, path: Path) -> Path:
        """Write the authority's own certificate to *path*, for `--cacert`, and return *path*."""
        self.ca.cert_pem.write_to_path(str(path))
        return path

    @cached_property
    def contexts(self) -> dict[str, ssl.SSLContext]:
        """Server contexts by name; each but `good` must be refused by a verifying client."""
        now = dt.datetime.now(dt.UTC)
        return {
            "good": self._context(self.ca.issue_cert(*NAMES)),
            "expired": self._context(
                self.ca.issue_cert(*NAMES, not_before=now - 9 * _DAY, not_after=now - _DAY)
            ),
            "not-yet-valid": self._context(
                self.ca.issue_cert(*NAMES, not_before=now + _DAY, not_after=now + 9 * _DAY)
            ),
            "wrong-host": self._context(self.ca.issue_cert("other.example", "127.9.9.9")),
            "untrusted": self._context(trustme.CA().issue_cert(*NAMES)),
            "self-signed": _self_signed(),
            "tls-1.1": _only_tls_1_1(self._context(self.ca.issue_cert(*NAMES))),
        }

    def fresh(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a good context that knows no sessions yet, of *version* only if one is given."""
        context = self._context(self.ca.issue_cert(*NAMES))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    @staticmethod
    def _context(leaf: trustme.LeafCert) -> ssl.SSLContext:
        return _server_context(leaf.configure_cert)


def _server_context(configure: Callable[[ssl.SSLContext], None]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    configure(context)
    return context


def _self_signed() -> ssl.SSLContext:
    """Return a context whose certificate is its own issuer, with the right names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)

    def configure(context: ssl.SSLContext) -> None:
        with trustme.Blob(pem).tempfile() as path:
            context.load_cert_chain(path)

    return _server_context(configure)


def _only_tls_1_1(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return *context* speaking nothing newer than TLS 1.1.

    OpenSSL 3 allows it at security level 0 only, for its SHA-1 signatures.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
