"""What a report of a bug has to say about the machine: `fetchpool --version --verbose`.

Nothing of a person's is in it: no path, no name of a host or user, no setting.
"""

from __future__ import annotations

import os
import platform
import struct
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import fetchpool
from fetchpool.config.installed import requirements_of, version_of

DEVELOPERS_EXTRAS = frozenset({"package", "pyright", "test"})
_WIDTH = 80
_MARGIN = 12


def describe_installation() -> str:
    """Return what this fetchpool is and runs on, a row for each thing: 80 columns, plain ASCII.

    A part that can't be had, a library that doesn't load, is a row that says why. Takes 0.2 s: an
    event loop and a pool of connections are made as a run makes them, and asked what they are.
    """
    rows = [
        ("compiled", _compiled()),
        ("Python", _python()),
        ("platform", f"{platform.platform()}, {os.cpu_count()} processors"),
        ("encoding", f"{sys.getfilesystemencoding()} for names of files"),
        ("TLS", _or_why_not(_tls)),
        ("event loop", _or_why_not(_loop)),
        ("exchange", _or_why_not(_exchange)),
        ("libraries", _libraries()),
        *((f"[{name}]", said) for name, said in _extras()),
    ]
    head = f"fetchpool {fetchpool.__version__}"
    return "\n".join([head, *(_row(name, said) for name, said in rows)]) + "\n"


def _row(name: str, said: str) -> str:
    plain = said.encode("ascii", "backslashreplace").decode()
    return textwrap.fill(
        plain,
        _WIDTH,
        initial_indent=f"{name:<{_MARGIN}}",
        subsequent_indent=" " * _MARGIN,
        break_on_hyphens=False,
    )


def _compiled() -> str:
    package = Path(fetchpool.__file__).parent
    modules = [
        path.relative_to(package).as_posix()
        for path in sorted(package.rglob("*"))
        if path.name.endswith(tuple(EXTENSION_SUFFIXES))
    ]
    return ", ".join(modules) or "nothing of fetchpool itself"


def _python() -> str:
    bits = struct.calcsize("P") * 8
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    threads = "" if has_lock else ", free-threaded"
    return f"{platform.python_implementation()} {platform.python_version()}, {bits} bit{threads}"


def _or_why_not(ask: Callable[[], str]) -> str:
    try:
        from fetchpool.network.tls import import_aiohttp_sparingly

        import_aiohttp_sparingly()
        return ask()
    except (ImportError, OSError, ValueError) as why:  # `ConfigError` is one of the last
        return f"can't be told: {why}"


def _tls() -> str:
    import ssl

    return ssl.OPENSSL_VERSION


def _loop() -> str:
    from fetchpool.run.ways import loop_in_use

    return loop_in_use()


def _exchange() -> str:
    from fetchpool.run.ways import exchange_in_use

    return exchange_in_use()


def _libraries() -> str:
    named = [each for each in requirements_of("fetchpool") if each.extra is None]
    found = {each.name: _version(each.name) for each in named}
    for library in named:
        for each in requirements_of(library.name):
            # One that is absent may be for another system, or another Python.
            if each.extra in library.with_extras and (version := version_of(each.name)):
                found[each.name] = version
    if not found:
        return "not known: this fetchpool is not installed, it runs from its sources"
    return ", ".join(f"{name} {found[name]}" for name in sorted(found, key=str.lower))


def _extras() -> Iterator[tuple[str, str]]:
    """Yield each extra that users may install, and the versions of what it needs."""
    found: dict[str, list[str]] = {}
    for each in requirements_of("fetchpool"):
        if each.extra is not None and each.extra not in DEVELOPERS_EXTRAS:
            found.setdefault(each.extra, []).append(f"{each.name} {_version(each.name)}")
    for extra in sorted(found):
        yield extra, ", ".join(found[extra])


def _version(package: str) -> str:
    return version_of(package) or "absent"
