"""The names of /etc/hosts that have several addresses.

c-ares indexes that file by address. If a name's second address also belongs to another name
(`127.0.0.1 localhost`, say), c-ares returns only the first.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from pathlib import Path

HOSTS_FILE = "/etc/hosts"


class HostsFile:
    """Reads the file at the first question, and again when it has changed."""

    def __init__(self, path: str = HOSTS_FILE) -> None:
        self._path = Path(path)
        self._version: tuple[int, int, int] | None = None
        self._names: dict[str, list[str]] = {}

    def addresses(self, name: str, family: socket.AddressFamily) -> list[str]:
        """Return the addresses of *name* in the file's order if it has several, else none.

        Returns none for `localhost`, whose addresses are fixed (RFC 6761 §6.3).
        """
        self._refresh()
        found = self._names.get(name.lower(), [])
        if family == socket.AF_UNSPEC:
            return list(found)
        return [each for each in found if (":" in each) == (family == socket.AF_INET6)]

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            version = (status.st_ino, status.st_size, status.st_mtime_ns)
            if version == self._version:
                return
            lines = self._path.read_bytes().decode("ascii", "replace").splitlines()
        except OSError:
            self._version, self._names = None, {}
            return
        self._version = version
        self._names = _with_several(lines)


def _with_several(lines: list[str]) -> dict[str, list[str]]:
    """Return the names with several addresses in *lines*; a block list has none."""
    first: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for line in lines:
        address, *names = line.partition("#")[0].lower().split() or [""]
        if not names or not _is_address(address):
            continue
        for name in names:
            known = first.setdefault(name, address)
            if known != address:
                found = several.setdefault(name, [known])
                if address not in found:
                    found.append(address)
    several.pop("localhost", None)
    return several


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
