"""The machine a figure was measured on: processor, kernel, cores, file systems."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path

from benchmarks.measuring import GIB


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory() -> int:
    """Return the bytes of memory the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def file_system(place: Path) -> str:
    """Return the type of the file system that holds *place*, like `ext4` or `tmpfs`."""
    place = place.resolve()
    best, kind = "", "?"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, this_kind = line.split()[:3]
        if place.is_relative_to(mounted) and len(mounted) >= len(best):
            best, kind = mounted, this_kind
    return kind


def memory_place() -> Path | None:
    """Return a directory on tmpfs, or None if there is none to write to."""
    for place in (Path("/dev/shm"), Path(tempfile.gettempdir())):
        if place.is_dir() and os.access(place, os.W_OK) and file_system(place) == "tmpfs":
            return place
    return None


def disk_place() -> Path | None:
    """Return a directory on a file system that isn't memory, or None."""
    for place in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path.home(), Path.cwd()):
        in_memory = file_system(place) in {"tmpfs", "ramfs"}
        if place.is_dir() and os.access(place, os.W_OK) and not in_memory:
            return place
    return None


def why_no_space(place: Path, needed: int) -> str | None:
    """Return a sentence if *place* lacks *needed* bytes and a tenth more, else None."""
    free = shutil.disk_usage(place).free
    if free >= needed * 1.1:
        return None
    return f"needs {needed / GIB:.1f} GiB in {place}, which has {free / GIB:.1f}"


def described() -> list[str]:
    """Return what a reader wants to know of the machine, a line each."""
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "?")
    except OSError:  # a system without /etc/os-release
        system = "?"
    return [
        f"{processor()}, {os.cpu_count()} cores, {memory() / GIB:.0f} GiB",
        f"{platform.system()} {platform.release()}, {system}",
        f"Python {platform.python_version()}",
    ]
