"""The kinds of value a setting can have: how each is read, checked and shown.

    text ──read──▶ value ──check──▶ value as Config keeps it ──show──▶ text for a person

`read` is for the command line and the environment, where everything is text; a TOML file and the
library give typed values to `check`. `read` returns a text that it doesn't understand unchanged, so
that only `check` refuses.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_YEAR_S = 31_536_000
_MAX_BYTES = 2**63 - 1

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_REAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_SIZE = re.compile(r"([0-9]{1,20})(\.[0-9]{1,9})?\s*([kmgt]?)(ib|b|)", re.IGNORECASE)
_ON, _OFF = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
# Controls, and the lone surrogates that stand for bytes which are no UTF-8.
_UNFIT_FOR_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")


class ConfigError(ValueError):
    """A user's mistake: one line that names the option, what it accepts, and what to try."""


class Unfit(ValueError):
    """A value that its kind refuses; the caller knows its origin and raises `ConfigError`."""

    def __init__(self, problem: str, remedy: str | None = None) -> None:
        """*problem* follows the option's name; without a *remedy* the option's example is shown."""
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


def quoted(value: object) -> str:
    """Return *value* as one short, printable piece of a message, whatever it holds."""
    try:
        text = repr(str(value)) if isinstance(value, str) else repr(value)
    except ValueError:
        # Python refuses to write out whole numbers of more than 4300 digits.
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"


def plain(text: str) -> str:
    """Return *text* unchanged if it is one printable word, else quoted and escaped."""
    return text if text and text.isprintable() and " " not in text else repr(text)


class Kind:
    """One kind of value; these methods suit a text."""

    accepts = "a text"
    """Completes the sentence "--option takes …"."""
    metavar = "TEXT"
    bare = False
    """Written without quotes in a TOML file and in Python."""
    secret = False
    """Never shown, not even in the message that refuses it."""
    keeps_empty = False
    """An empty environment variable is a value, not the same as none."""
    repeatable = False
    """The option may be given several times; the environment has one value a line."""
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> object:
        """Return the value that *text* stands for, or *text* if it stands for none."""
        return text

    def check(self, value: object) -> Any:
        """Return *value* as `Config` keeps it, or raise `Unfit`."""
        raise NotImplementedError

    def show(self, value: Any) -> str:
        """Return *value* for a person, printable and without secrets."""
        return plain(str(value))

    def unfit(self, value: object) -> Unfit:
        """Return the refusal of *value* that says what is accepted instead."""
        got = "" if self.secret else f", not {quoted(value)}"
        return Unfit(f"takes {self.accepts}{got}")


class Whole(Kind):
    """A whole number within bounds."""

    metavar = "N"
    bare = True

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.accepts = f"a whole number from {low} to {high}"

    def read(self, text: str) -> object:
        number = text.strip()  # int() would take fewer kinds of blanks
        return int(number) if _WHOLE.fullmatch(number) else text

    def check(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.unfit(value)
        if not self.low <= value <= self.high:
            raise self.unfit(value)
        return int(value)


class WholeOr(Whole):
    """A whole number within bounds, or one *word*."""

    def __init__(self, word: str, low: int, high: int) -> None:
        super().__init__(low, high)
        self._word = word
        self.accepts += f", or {word}"

    def check(self, value: object) -> Any:
        if isinstance(value, str) and value.strip().lower() == self._word:
            return self._word
        return super().check(value)


class Real(Kind):
    """A finite number: 0, or one within bounds."""

    bare = True

    def __init__(self, metavar: str, accepts: str, low: float, high: float) -> None:
        self.metavar, self.accepts = metavar, accepts
        self.low, self.high = low, high

    def read(self, text: str) -> object:
        number = text.strip()
        return float(number) if _REAL.fullmatch(number) else text

    def check(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.unfit(value)
        # Refuses NaN and infinity too. Compared before converted: float() overflows on huge whole
        # numbers.
        if value != 0 and not self.low <= value <= self.high:
            raise self.unfit(value)
        return abs(float(value))

    def show(self, value: float) -> str:
        return repr(value).removesuffix(".0")


def seconds() -> Real:
    """Return the kind of a duration: 0, or a millisecond to a year."""
    return Real("SECONDS", f"seconds: 0, or 0.001 to {_YEAR_S}", 0.001, _YEAR_S)


def requests_per_second() -> Real:
    """Return the kind of a rate: 0, or about one request a day to a million a second."""
    return Real("R", "requests per second: 0, or 0.00001 to 1000000", 1e-5, 1e6)


class Size(Kind):
    """A number of bytes, with the suffixes of GNU coreutils: K = KiB = 1024, KB = 1000, …"""

    accepts = "a size in bytes such as 65536, 10M, 1.5G or 1GiB"

    def __init__(self, metavar: str) -> None:
        self.metavar = metavar

    def check(self, value: object) -> int:
        size = self._bytes(value) if isinstance(value, str) else value
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= _MAX_BYTES:
            raise self.unfit(value)
        return int(size)

    def _bytes(self, text: str) -> int:
        match = _SIZE.fullmatch(text.strip())
        if match is None:
            raise self.unfit(text)
        whole, fraction, letter, suffix = match.groups()
        step = 1000 if suffix.lower() == "b" else 1024
        unit: int = step ** " kmgt".index(letter.lower() or " ")
        size = int(whole) * unit
        if fraction:
            size += int(fraction[1:]) * unit // 10 ** (len(fraction) - 1)
        return size

    def show(self, value: int) -> str:
        for power, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
            if value and value % 1024**power == 0:
                return f"{value // 1024**power}{letter}"
        return str(value)


class Switch(Kind):
    """On or off."""

    metavar = ""
    bare = True
    accepts = "1, true, yes or on, or 0, false, no or off"

    def read(self, text: str) -> object:
        word = text.strip().lower()
        if word not in _ON | _OFF:
            raise self.unfit(text)
        return word in _ON

    def check(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise Unfit(f"takes true or false, not {quoted(value)}")
        return value

    def show(self, value: bool) -> str:
        return "true" if value else "false"


def lines_of(text: str) -> list[str]:
    """Return the lines of *text*; an environment variable can hold several values."""
    return [line for line in re.split(r"\r?\n", text) if line.strip()]


class Pairs(Kind):
    """Pairs of name and value, in the order given: a mapping, pairs, or texts."""

    repeatable = True
    mark: str
    """What stands between name and value in a text."""

    def read(self, text: str) -> object:
        return lines_of(text)

    def pair_of(self, item: object) -> tuple[str, str] | None:
        """Return the name and the value in *item*, a pair or a text; None where it is neither."""
        if isinstance(item, str) and self.mark in item:
            item = tuple(item.split(self.mark, 1))
        match item:
            case (str(name), str(text)):
                return name, text
        return None

    def check_once(self, what: str, names: Sequence[str]) -> None:
        """Raise `Unfit` where one of *names*, each of a *what*, comes twice."""
        for name in names:
            if names.count(name) > 1:
                raise Unfit(f"takes each {what} once, not {name} twice", "drop one of them")

    def items_of(self, value: object) -> Iterable[object]:
        """Return the supposed pairs of *value*; raises `Unfit` where it can hold none."""
        if isinstance(value, Mapping):
            return value.items()
        if isinstance(value, str):
            return lines_of(value)
        if isinstance(value, Sequence):
            return value
        raise self.unfit(value)


class Choice(Kind):
    """One word of a closed list."""

    def __init__(self, metavar: str, *choices: str) -> None:
        self.metavar, self.choices = metavar, choices
        self.accepts = f"{', '.join(choices[:-1])} or {choices[-1]}"

    def check(self, value: object) -> str:
        if not isinstance(value, str) or value.lower() not in self.choices:
            raise self.unfit(value)
        return value.lower()


class Text(Kind):
    """A line of text that may be sent in a header."""

    accepts = "one line of text without control characters"
    keeps_empty = True

    def check(self, value: object) -> str:
        if not isinstance(value, str) or not is_header_text(value):
            raise self.unfit(value)
        return value


def is_header_text(text: str) -> bool:
    """Tell whether *text* can be a header's value: no controls but tab (RFC 9110 §5.5), UTF-8."""
    return not _UNFIT_FOR_HEADER.search(text)


class FilePath(Kind):
    """A path of a file; `-` only where it means standard output."""

    accepts = "the path of a file"
    metavar = "PATH"

    def __init__(
        self,
        metavar: str = "PATH",
        *,
        dash: bool = False,
        promised: Callable[[str], None] = lambda path: None,
    ) -> None:
        """*promised* raises `Unfit` where the name promises what isn't written (see `forms`)."""
        self.metavar, self.dash, self._check_promise = metavar, dash, promised

    def check(self, value: object) -> str:
        path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
        if not isinstance(path, str) or not path or "\0" in path:
            raise self.unfit(value)
        if path == "-" and not self.dash:
            raise Unfit(f"takes {self.accepts}, and '-' is none", "write ./- for a file named so")
        self._check_promise(path)
        return path


class Destination(FilePath):
    """A directory for bodies and records."""

    accepts = "the path of a directory"

    def __init__(self, promised: Callable[[str], None]) -> None:
        super().__init__("DEST", promised=promised)
