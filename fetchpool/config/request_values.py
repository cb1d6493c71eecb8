"""Values that define a request: method, body and credentials."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fetchpool.config.values import Choice, Kind, Unfit, is_header_text, quoted
from fetchpool.model.asking import METHODS, PLAIN, Ask, Fields

if TYPE_CHECKING:
    from fetchpool.config.settings import Config

MAX_BODY_BYTES = 64 << 20
"""The longest body of a request: every process holds one copy in memory."""

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class Method(Choice):
    """A method of HTTP, in any case."""

    def __init__(self) -> None:
        super().__init__("METHOD", *METHODS)

    def check(self, value: object) -> str:
        if not isinstance(value, str) or value.strip().upper() not in self.choices:
            raise self.unfit(value)
        return value.strip().upper()


class Body(Kind):
    """The body of a request: a text, or the bytes of a file."""

    accepts = "a text, or @FILE for the bytes of a file"
    metavar = "TEXT"
    secret = True

    def check(self, value: object) -> bytes:
        """Return the bytes to send; a text is sent as UTF-8, whatever the locale."""
        if isinstance(value, str):
            body = _read(value[1:]) if value.startswith("@") else _encoded(value)
        elif isinstance(value, bytes | bytearray):
            body = bytes(value)
        else:
            raise self.unfit(value)
        if len(body) > MAX_BODY_BYTES:
            raise Unfit(f"takes at most {MAX_BODY_BYTES >> 20} MiB", "send less at a time")
        return body

    def show(self, value: bytes) -> str:
        return f"*** ({len(value)} bytes)"


class JsonBody(Body):
    """A body that is JSON."""

    accepts = "JSON, or @FILE for a file of it"

    def check(self, value: object) -> bytes:
        import json  # 5 ms that most starts don't need

        body = super().check(value)
        try:
            json.loads(body)
        except (ValueError, RecursionError):  # no details: a body is as secret as a header
            raise Unfit(
                f"takes {self.accepts}, and this is none", "see --data for others"
            ) from None
        return body


class Credentials(Kind):
    """A user and a password, for Basic authentication (RFC 7617)."""

    accepts = "USER:PASSWORD, without control characters"
    metavar = "USER:PASSWORD"
    secret = True

    def check(self, value: object) -> str:
        if not isinstance(value, str) or ":" not in value or not is_header_text(value):
            raise self.unfit(value)
        return value

    def show(self, value: str) -> str:
        return "***"


def _encoded(text: str) -> bytes:
    try:
        return os.fsencode(text) if not text.isascii() and _has_bytes(text) else text.encode()
    except UnicodeEncodeError:
        raise Unfit("takes a text, and this has half a character", "put it into a file") from None


def _has_bytes(text: str) -> bool:
    """Tell whether *text* holds bytes of a command line that aren't UTF-8."""
    return any("\udc80" <= char <= "\udcff" for char in text)


def _read(path: str) -> bytes:
    if path == "-":
        raise Unfit(
            "takes standard input (@-) on the command line of 'get' alone, where the list "
            "doesn't come from there",
            "put the body into a file",
        )
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as the user wrote it
            return file.read(MAX_BODY_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no possible file name"
        raise Unfit(f"can't read {quoted(path)} ({reason})", "name a file of bytes") from None


def ask_of(config: Config) -> Ask:
    """Return the method, fields and body that *config* sets for the lines of a list."""
    body = config.data if config.data is not None else config.json
    method = config.method or ("HEAD" if config.head else "GET" if body is None else "POST")
    if body is None:
        return PLAIN if method == "GET" else Ask(method)
    described: Fields = (("Content-Type", FORM),)
    if config.data is None:
        described = (("Content-Type", JSON), ("Accept", JSON))
    given = {name.lower() for name, _ in config.header}
    return Ask(method, tuple(each for each in described if each[0].lower() not in given), body)
