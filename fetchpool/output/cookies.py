"""Writes the cookies of a run to the file of `--save-cookies`, in one step."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

from fetchpool.config import Config, ConfigError
from fetchpool.model.cookies import Cookie, write_cookies
from fetchpool.output.export.files import write_whole
from fetchpool.output.ledger import OutputError

_COOKIE_FILE = re.compile(rb"#( Netscape)? HTTP Cookie File")
"""The first line of a cookies.txt, by which Python and wget know it."""


def check_cookie_target(config: Config) -> None:
    """Raise `ConfigError` where what `--save-cookies` would replace is no cookies.txt.

    `OutputError` where nothing can be written there: said before the run, not after.
    """
    if config.cookie_target is None:
        return
    target = Path(os.path.realpath(config.cookie_target))
    what = f"--save-cookies {config.cookie_target}"
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {what}: no such directory")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {what}: no permission to make files beside it")
    if not target.exists():
        return
    if not target.is_file():
        raise OutputError(f"cannot write {what}: not a regular file")
    is_read = config.cookies is not None and _is_same(Path(config.cookies.path), target)
    try:
        with target.open("rb") as file:
            begin = file.read(64)
    except OSError as error:
        raise OutputError(f"cannot write {what}: it can't be read: {error.strerror}") from error
    if begin and not is_read and not _COOKIE_FILE.match(begin):
        raise ConfigError(
            f"{what} would overwrite a file that is no cookies.txt: name another, or write "
            "--save-cookies= for that of --cookies"
        )


def save_cookies(config: Config, cookies: Iterable[Cookie]) -> None:
    """Replace the file of `--save-cookies`, which only its owner may read.

    A link stays one, and what it leads to is replaced. Raises `OutputError`.
    """
    assert config.cookie_target is not None
    target = Path(os.path.realpath(config.cookie_target))
    beside = None
    try:
        fd, beside = mkstemp(prefix=f".{target.name[:200]}-", dir=target.parent)  # of mode 0600
        try:
            write_whole(fd, write_cookies(cookies).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        Path(beside).replace(target)
    except OSError as error:
        if beside is not None:
            with suppress(OSError):
                Path(beside).unlink()
        raise OutputError(
            f"cannot write --save-cookies {config.cookie_target}: {error.strerror}"
        ) from error


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other
