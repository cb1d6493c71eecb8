"""Text of a line → a URL that keeps its bytes; what of it is secret; what people may see of it.

parsing      text → Target, or why it is no URL
mistakes     what is wrong with a line that is no URL, and what to do about it
redaction    what of a URL, or of any line, is hidden
userinfo     where that stands in a line that is no URL
display      a stranger's text on a terminal
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
