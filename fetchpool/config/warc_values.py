"""Values of the settings of web archives."""

from __future__ import annotations

import re

from fetchpool.config.values import Kind, Pairs, Unfit, is_header_text, plain, quoted

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_OURS = frozenset({"software", "format", "conformsto", "robots"})
_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class ArchiveFields(Pairs):
    """Fields of the record that each web archive begins with: pairs of name and value."""

    accepts = "'Name: value'"
    metavar = "'NAME: VALUE'"
    mark = ":"

    def check(self, value: object) -> tuple[tuple[str, str], ...]:
        """Accept a mapping, pairs, or texts `Name: value`; refuse fields made here."""
        return tuple(self._pair(item) for item in self.items_of(value))

    def _pair(self, item: object) -> tuple[str, str]:
        pair = self.pair_of(item)
        if pair is None:
            raise self.unfit(item)
        name, text = pair[0].strip(" \t"), pair[1].strip(" \t")
        if not _NAME.fullmatch(name) or not is_header_text(text):
            raise Unfit(
                f"takes {self.accepts}, both without control characters, not {quoted(name)}"
            )
        if name.lower() in _OURS:
            raise Unfit(f"can't set {name}: it is written by itself", "name another")
        return name, text

    def show(self, value: tuple[tuple[str, str], ...]) -> str:
        return ", ".join(plain(f"{name}: {text}") for name, text in value)


class FilePrefix(Kind):
    """What the names of files begin with."""

    metavar = "NAME"
    accepts = "a name of letters, digits, `_`, `.` and `-`"

    def check(self, value: object) -> str:
        if not isinstance(value, str) or not _PREFIX.fullmatch(value):
            raise self.unfit(value)
        return value
