"""`host_key`: by what engines that spread rows must bring those of one host together."""

from __future__ import annotations

from fetchpool.model.split import host_in_line
from fetchpool.model.urls.completing import completed


def host_key(url: str | None, *, default_scheme: str | None = None, base: str | None = None) -> str:
    """Return the host that *url* counts against, as `Config.per_host` knows it.

    http and https, upper and lower case, with or without a final dot are one host; a port that
    isn't the scheme's own is part of it. What is no URL is its own key, None an empty one. Give
    *default_scheme* and *base* if `Config` has them.
    """
    text = "" if url is None else url.strip()
    if text and (default_scheme is not None or base is not None):
        text = completed(text, default_scheme, base)
    return host_in_line(text) or text
