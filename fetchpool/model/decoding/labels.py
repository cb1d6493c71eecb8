"""What a Content-Encoding names: registered codings, and others, which mean nothing."""

from __future__ import annotations

_ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}
"""RFC 9110 §8.4.1: equivalent."""

REGISTERED = frozenset(
    {
        *("aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "identity"),
        *("pack200-gzip", "zstd"),
    }
)
"""IANA's HTTP Content Coding Registry, aliases left out.

Whatever else a server says there (`none`, `utf-8`, `binary`, `aws-chunked`) is no coding that a
body could have: browsers pass it over.
"""


def codings_in(content_encoding: list[str] | str | None) -> list[str]:
    """Return the codings of a header's value, or of all its values, in the order applied.

    Under their usual names; `identity` and what is not registered is left out.
    """
    return [name for name in _names_in(content_encoding) if name in REGISTERED - {"identity"}]


def unregistered(content_encoding: list[str] | str | None) -> list[str]:
    """Return the names among them that are no coding, each once."""
    found = [name for name in _names_in(content_encoding) if name not in REGISTERED]
    return list(dict.fromkeys(found))


def _names_in(content_encoding: list[str] | str | None) -> list[str]:
    if not content_encoding:
        return []
    label = content_encoding if isinstance(content_encoding, str) else ",".join(content_encoding)
    names = (part.strip(" \t").lower() for part in label.split(","))
    return [_ALIASES.get(name, name) for name in names if name]
