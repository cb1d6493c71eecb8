"""Content-Disposition → the file name that a server suggests (`--content-disposition`)."""

from __future__ import annotations

from email.message import Message

from fetchpool.models import Head


def suggested_filename(head: Head) -> str | None:
    """Return the `filename` of *head*'s Content-Disposition (RFC 6266, `filename*` included).

    Nothing about it can be trusted: `names.body_path` makes it safe.
    """
    value = head.get("content-disposition")
    if value is None:
        return None
    message = Message()
    message["Content-Disposition"] = value.replace("\r", " ").replace("\n", " ")
    return message.get_filename()
