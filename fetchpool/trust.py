"""The system's roots: read once, when the first connection needs them.

Reading them takes 18 ms. aiohttp does it twice while it is imported, for contexts of its own.
"""

from __future__ import annotations

import os
import ssl
import sys
from functools import cached_property
from typing import Any

_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where OpenSSL looks for roots, if they are set (SSL_CTX_set_default_verify_paths(3))."""


class SystemRoots(ssl.SSLContext):
    """A client's context as `ssl.create_default_context` makes it, made when it is first used."""

    def __new__(cls) -> SystemRoots:
        """Make one that has read nothing yet."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Begin TLS as an event loop does it."""
        return self._context.wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Begin TLS on a socket."""
        return self._context.wrap_socket(*args, **options)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(("http/1.1",))
        return context


def import_aiohttp_without_roots() -> None:
    """Import aiohttp so that its own contexts trust nobody, which spares each start 36 ms.

    For a program that is fetchpool alone: who imports fetchpool may use aiohttp's contexts, too.
    """
    if "aiohttp" in sys.modules:
        return
    before = {place: os.environ.get(place) for place in _PLACES}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    try:
        import aiohttp  # noqa: F401
    finally:
        for place, value in before.items():
            if value is None:
                del os.environ[place]
            else:
                os.environ[place] = value
