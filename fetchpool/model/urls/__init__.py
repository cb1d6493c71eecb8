"""Makes URLs of lines without changing their bytes, and hides the secrets in them.

parsing      text → Target, or why it is no URL
mistakes     what is wrong with a line that is no URL, and what to do about it
completing   a bare host or a path, made a URL
redaction    what is hidden of a URL, or of any line
userinfo     where credentials are in a line that is no URL
display      text from a list or a server on a terminal
"""

from __future__ import annotations

from fetchpool.model.urls.display import display
from fetchpool.model.urls.parsing import (
    DEFAULT_PORTS,
    MAX_HOST,
    MAX_LABEL,
    BlockedSchemeError,
    InvalidURLError,
    join_url,
    parse_url,
    text_of_line,
)
from fetchpool.model.urls.redaction import (
    REDACTED,
    conceals,
    hiding,
    is_hiding,
    redact,
    redact_in,
    redact_urls_in,
)

__all__ = [
    "DEFAULT_PORTS",
    "MAX_HOST",
    "MAX_LABEL",
    "REDACTED",
    "BlockedSchemeError",
    "InvalidURLError",
    "conceals",
    "display",
    "hiding",
    "is_hiding",
    "join_url",
    "parse_url",
    "redact",
    "redact_in",
    "redact_urls_in",
    "text_of_line",
]
