"""What lacks a scheme, made a URL as the user says: a bare host, or a path."""

from __future__ import annotations

import re

_MAY_BE_SEVERAL = re.compile(r"[\s;,|]")
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def completed(text: str, scheme: str | None, base: str | None) -> str:
    """Return *text*, stripped, with *scheme* before it if it is a bare host, or joined to *base*.

    Joined as browsers do. What has a scheme comes back as it is, and so does what can't be joined,
    or holds several.
    """
    if text.startswith(("https://", "http://")):
        return text
    if _MAY_BE_SEVERAL.search(text):
        from fetchpool.model.urls.mistakes import several_in

        if several_in(text) is not None:
            return text
    if scheme is not None:
        from fetchpool.model.urls.mistakes import would_be  # 1 ms, which most lists don't need

        found = would_be(text)
        return text if found is None else f"{scheme}:{found.partition(':')[2]}"
    if base is None or _HAS_SCHEME.match(text):
        return text
    import ada_url  # 4 ms, which most lists don't need

    try:
        return str(ada_url.URL(text, base).href)
    except ValueError:
        return text
