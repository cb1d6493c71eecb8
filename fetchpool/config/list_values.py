"""Kinds of value that say how a list is read: columns, what of them is carried, a base."""

from __future__ import annotations

from fetchpool.config.values import Kind, Pairs, Unfit, plain, quoted
from fetchpool.model.reading import COLUMN_FIELDS

_FIELDS = f"{', '.join(COLUMN_FIELDS[:-1])} or {COLUMN_FIELDS[-1]}"


class Columns(Pairs):
    """Which column gives what of a request: each field once."""

    accepts = f"FIELD=NAME, FIELD one of {_FIELDS}"
    metavar = "FIELD=NAME"
    mark = "="

    def check(self, value: object) -> tuple[tuple[str, str], ...]:
        """Accept a mapping, pairs, or texts `FIELD=NAME`."""
        pairs = tuple(self._pair(item) for item in self.items_of(value))
        self.check_once("field", [field for field, _ in pairs])
        return pairs

    def _pair(self, item: object) -> tuple[str, str]:
        field, name = (part.strip() for part in self.pair_of(item) or ("", ""))
        if field.lower() not in COLUMN_FIELDS or not name:
            raise self.unfit(item)
        return field.lower(), name

    def show(self, value: tuple[tuple[str, str], ...]) -> str:
        return ", ".join(plain(f"{field}={name}") for field, name in value)


class Carried(Kind):
    """Columns that come along."""

    accepts = "all, none, or names of columns with commas between them"
    metavar = "COLUMNS"

    def check(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip(" ,"):
            raise self.unfit(value)
        word = value.strip()
        return word.lower() if word.lower() in ("all", "none") else word


class BaseUrl(Kind):
    """A URL that others are relative to."""

    accepts = "a URL that begins with http:// or https://"
    metavar = "URL"

    def check(self, value: object) -> str:
        from fetchpool.model.urls import InvalidURLError, parse_url

        try:
            if not isinstance(value, str):
                raise self.unfit(value)
            parse_url(value)
        except InvalidURLError as error:  # not repeated: it may hold a password
            raise Unfit(f"takes {self.accepts}: {error}") from None
        return value.strip()

    def show(self, value: str) -> str:
        from fetchpool.model.urls import redact

        return plain(redact(value))

    def unfit(self, value: object) -> Unfit:
        return Unfit(f"takes {self.accepts}, not {quoted(type(value).__name__)}")
