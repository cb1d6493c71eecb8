from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fetchpool.output.sinks.directory import DirectoryStore

OpenStore = Callable[..., DirectoryStore]


def _no_hard_links(*_args: Any, **_options: Any) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["unnamed", "parts", "no hard links"])
def file_system(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """The three kinds of file system a store meets, the lesser ones by taking abilities away."""
    kind = str(request.param)
    if kind == "unnamed":
        try:
            os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
        except (AttributeError, OSError):
            pytest.skip("there is no O_TMPFILE here")
    if kind != "unnamed":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if kind == "no hard links":
        monkeypatch.setattr(os, "link", _no_hard_links)
    return kind


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "dest"


@pytest.fixture
def open_store(dest: Path) -> Iterator[OpenStore]:
    """Open stores on *dest*; *foreign* are the paths that are not ours."""
    opened: list[DirectoryStore] = []

    def make(foreign: tuple[str, ...] = (), **options: Any) -> DirectoryStore:
        store = DirectoryStore(dest, is_foreign=lambda path: path in foreign, **options)
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()
