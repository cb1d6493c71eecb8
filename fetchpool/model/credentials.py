"""What files with secrets say, read once; it goes to workers with the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fetchpool.model.cookies import Cookie


@dataclass(frozen=True, slots=True, repr=False)
class SecretFile:
    """The base of all of them."""

    path: str
    """As the user named it."""
    exposed: bool
    """Whether other users of this machine may read it."""

    def __repr__(self) -> str:
        """Show the path, and nothing of what is in the file."""
        return f"{type(self).__name__}({self.path!r})"


@dataclass(frozen=True, slots=True, repr=False)
class Netrc(SecretFile):
    """Who asks which host."""

    machines: tuple[tuple[str, str | None], ...]
    """`USER:PASSWORD` by host name; None where the file names a host and nobody."""
    default: str | None
    """The same for hosts that aren't named."""


@dataclass(frozen=True, slots=True, repr=False)
class BearerTokens(SecretFile):
    """Which token an origin gets."""

    tokens: tuple[tuple[tuple[str, str, int], str], ...]


@dataclass(frozen=True, slots=True, repr=False)
class CookieFile(SecretFile):
    """The cookies of a cookies.txt."""

    cookies: tuple[Cookie, ...]
    missing: bool
    """Whether there is no such file (yet)."""
