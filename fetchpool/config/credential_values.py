"""Files that say who asks: each is read once, when the settings are made, and never shown."""

from __future__ import annotations

import os
import re
import stat

from fetchpool.config.forms import check_text_file
from fetchpool.config.values import FilePath, Unfit, plain, quoted
from fetchpool.model.credentials import BearerTokens, CookieFile, Netrc, SecretFile

MAX_FILE_BYTES = 16 << 20
NETRC = "~/.netrc"

_TOKEN = re.compile(r"[!-~]+")


class OptionalPath(FilePath):
    """A path that may be left out: `--option` alone means a usual one."""

    def read(self, text: str) -> object:
        """Return True for an empty text, which the option alone stands for."""
        return text or True


class _ReadFile(FilePath):
    """A file whose content `Config` keeps, and whose path it shows."""

    secret = True
    keeps: type[SecretFile]

    def check(self, value: object) -> SecretFile:  # type: ignore[override]
        """Return what the file says; raises `Unfit` without a word of it."""
        if isinstance(value, self.keeps):
            return value
        path = super().check(value)
        try:
            return self.content(path)
        except Unfit:
            raise
        except OSError as error:
            reason = error.strerror
        except ValueError:
            reason = "it is no text in UTF-8"
        raise Unfit(f"can't read {quoted(path)} ({reason})", "name a file that can be read")

    def content(self, path: str) -> SecretFile:
        """Read the file; raises OSError, ValueError or `Unfit`."""
        raise NotImplementedError

    def show(self, value: SecretFile) -> str:
        return plain(value.path)


class NetrcFile(_ReadFile, OptionalPath):
    """A netrc, as curl and ftp read it."""

    accepts = "the path of a netrc file"
    keeps = Netrc

    def __init__(self) -> None:
        super().__init__("[FILE]")

    def check(self, value: object) -> SecretFile:  # type: ignore[override]
        if value is True:
            value = os.path.expanduser(NETRC)  # noqa: PTH111 - stays as it is without a home
        return super().check(value)

    def content(self, path: str) -> Netrc:
        from netrc import NetrcParseError, netrc  # 9 ms, for who wants it

        exposed = is_exposed(path)
        try:
            hosts = netrc(path).hosts
        except NetrcParseError as error:  # its message may hold a password
            raise Unfit(
                f"takes {self.accepts}, and {quoted(path)} is none (near line {error.lineno})",
                f"mend it; --netrc= means {NETRC}",
            ) from None
        entries = {
            host.lower(): f"{login}:{password}" if login or password else None
            for host, (login, _, password) in hosts.items()
        }
        default = entries.pop("default", None)
        return Netrc(path, exposed, tuple(entries.items()), default)


class BearerFile(_ReadFile):
    """A file of tokens, each with the origin that it is for."""

    accepts = "a file of lines such as https://api.example.org TOKEN"
    keeps = BearerTokens

    def __init__(self) -> None:
        super().__init__("FILE")

    def content(self, path: str) -> BearerTokens:
        text, exposed = _read(path)
        tokens: dict[tuple[str, str, int], str] = {}
        for number, line in enumerate(text.split("\n"), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            origin = _origin(words[0]) if len(words) == 2 else None
            if origin is None or not _TOKEN.fullmatch(words[1]):
                raise Unfit(
                    f"takes {self.accepts}: line {number} of {quoted(path)} is not of that form",
                    "name the origin before each token: any other server would see it",
                )
            if origin in tokens:
                raise Unfit(
                    f"takes one token for an origin: line {number} of {quoted(path)} has another",
                    "drop one of them",
                )
            tokens[origin] = words[1]
        return BearerTokens(path, exposed, tuple(tokens.items()))


class CookiesFile(_ReadFile):
    """A cookies.txt."""

    accepts = "the path of a cookies.txt"
    keeps = CookieFile

    def __init__(self) -> None:
        super().__init__("FILE")

    def content(self, path: str) -> CookieFile:
        from fetchpool.model.cookies import BrokenLineError, read_cookies

        try:
            text, exposed = _read(path)
        except FileNotFoundError:
            return CookieFile(path, exposed=False, cookies=(), missing=True)
        try:
            cookies = tuple(read_cookies(text))
        except BrokenLineError as error:
            raise Unfit(
                f"takes {self.accepts}, and of {quoted(path)} {error}",
                "mend that line, or export the cookies in Netscape's format",
            ) from None
        return CookieFile(path, exposed, cookies, missing=False)


class SavedCookies(OptionalPath):
    """Where cookies are written: a path, or True for that of `--cookies`."""

    accepts = "the path of a cookies.txt"

    def __init__(self) -> None:
        super().__init__("[FILE]", promised=check_text_file)

    def check(self, value: object) -> str | bool:  # type: ignore[override]
        return True if value is True else super().check(value)

    def show(self, value: str | bool) -> str:
        return "the file of --cookies" if value is True else super().show(value)


def _read(path: str) -> tuple[str, bool]:
    """Return the text of the file *path*, and whether other users may read it.

    Raises OSError, and ValueError where it isn't UTF-8.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - as the user wrote it
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise Unfit(f"takes at most {MAX_FILE_BYTES >> 20} MiB, and {quoted(path)} is more")
    return data.decode("utf-8-sig"), is_exposed(path)


def is_exposed(path: str) -> bool:
    """Tell whether other users of this machine may read the file *path*; raises OSError."""
    mode = os.stat(path).st_mode  # noqa: PTH116
    return stat.S_ISREG(mode) and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def _origin(text: str) -> tuple[str, str, int] | None:
    """Return the origin that *text* names, None if it is more or less than one."""
    from fetchpool.model.urls import InvalidURLError, parse_url  # as most runs need no such file

    try:
        target = parse_url(text)
    except InvalidURLError:
        return None
    alone = target.path == "/" and target.authorization is None and not text.endswith(("?", "#"))
    return target.origin if alone else None
