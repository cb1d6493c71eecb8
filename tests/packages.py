"""Builds the packages as for a release, looks at what is in them, and tries the wheel as a user.

    python -m tests.packages

Needs `pip install -e '.[package]'`, and takes half a minute: `.ci/run` does it. The first thing
that is wrong ends it with status 1 and a line that says what.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import fetchpool

ROOT = Path(__file__).parent.parent
NAME = f"fetchpool-{fetchpool.__version__}"
RELEASED = "1700000000"
"""A SOURCE_DATE_EPOCH: the time of every file in the packages."""

SHARED = {
    "share/man/man1/fetchpool.1",
    "share/bash-completion/completions/fetchpool",
    "share/zsh/site-functions/_fetchpool",
    "share/fish/vendor_completions.d/fetchpool.fish",
}
HIDDEN = {".ci", ".github", ".gitignore"}
"""What of the names that begin with a dot belongs to the sources."""
MADE = {"__pycache__", "build", "dist"}


def main() -> int:
    """Do all of it; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="fetchpool-packages.") as work:
        try:
            sdist, wheel = build_twice(Path(work))
            check_sdist(sdist)
            check_wheel(wheel)
            run(sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel))
            check_as_user(Path(work) / "user", wheel)
        except AssertionError as wrong:
            print(f"packages: {wrong}")
            return 1
        except subprocess.CalledProcessError as failed:
            print(f"packages: {' '.join(failed.cmd)}: exit status {failed.returncode}")
            print(failed.stdout)
            return 1
        sizes = ", ".join(
            f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in (sdist, wheel)
        )
    print(f"packages: good, and the same when built again: {sizes}")
    return 0


def run(*command: str, cwd: Path = ROOT, **env: str) -> str:
    """Run *command* to its end and return what it wrote; `CalledProcessError` if it failed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | env,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


# -- building


def sources(root: Path) -> Iterator[Path]:
    """Yield every file of the sources in the directory *root*, without what tools have made."""
    for path in sorted(root.iterdir()):
        if path.name in MADE or path.name.endswith(".egg-info"):
            continue
        if path.name.startswith(".") and path.name not in HIDDEN:
            continue
        if path.is_dir():
            yield from sources(path)
        else:
            yield path


def build_twice(work: Path) -> tuple[Path, Path]:
    """Build in two directories that differ in what shouldn't matter; return one sdist and wheel."""
    built = []
    for name, mode, time, zone in [("a", 0o755, 1e9, "UTC"), ("other", 0o700, 1.1e9, "Asia/Tokyo")]:
        tree = work / name
        for path in sources(ROOT):
            copy = tree / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(mode if os.access(path, os.X_OK) else mode & 0o666)
            os.utime(copy, (time, time))
        # The wheel is made of the sdist.
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"]
        run(*command, cwd=tree, TZ=zone, SOURCE_DATE_EPOCH=RELEASED)
        built.append(sorted((tree / "dist").iterdir()))
    for one, other in zip(*built, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes(), f"{one.name} differs when it is built again"
    wheel, sdist = built[0]
    assert (sdist.name, wheel.name) == (f"{NAME}.tar.gz", f"{NAME}-py3-none-any.whl")
    return sdist, wheel


# -- what is in them


def compare(kind: str, found: set[str], expected: set[str]) -> None:
    """Raise `AssertionError` where the names differ."""
    for said, names in (("lacks", expected - found), ("should not have", found - expected)):
        assert not names, f"the {kind} {said} {', '.join(sorted(names)[:5])}"


def check_sdist(sdist: Path) -> None:
    """Look for every file of the sources and nothing else, so that its tests can be run."""
    with tarfile.open(sdist) as archive:
        members = [each for each in archive.getmembers() if not each.isdir()]
    found = {str(PurePosixPath(each.name).relative_to(NAME)) for each in members}
    expected = {path.relative_to(ROOT).as_posix() for path in sources(ROOT)}
    compare("sdist", found, {*expected, "PKG-INFO"})
    assert {each.mtime for each in members} == {int(RELEASED)}


def check_wheel(wheel: Path) -> None:
    """Look for the package, its licence, its command, and what goes to `share/`."""
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
    package = {path.relative_to(ROOT).as_posix() for path in sources(ROOT / "fetchpool")}
    about = [
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"),
        "licenses/fetchpool/reporting/report/assets/LICENSE-uPlot",
    ]
    expected = package | {f"{NAME}.data/data/{path}" for path in SHARED}
    compare("wheel", found, expected | {f"{NAME}.dist-info/{name}" for name in about})


# -- what a user meets


def check_as_user(place: Path, wheel: Path) -> None:
    """Install *wheel*, and nothing else, in a fresh environment; go through the first commands."""
    venv.create(place, with_pip=True)
    program = str(place / "bin" / "fetchpool")
    run(str(place / "bin" / "python"), "-m", "pip", "install", str(wheel), cwd=place)
    run(str(place / "bin" / "python"), "-m", "pip", "check", cwd=place)
    assert run(program, "--version", cwd=place) == f"fetchpool {fetchpool.__version__}\n"
    said = run(program, "--version", "--verbose", cwd=place)
    assert "can't be told" not in said, said
    assert "aiohttp absent" not in said, said
    for path in SHARED:
        assert (place / path).is_file(), f"{path} isn't there once the wheel is installed"
    demo = run(program, "demo", cwd=place)
    assert "failed" in demo, demo
    assert [path.name for path in place.iterdir() if path.suffix == ".fetched"] == []


if __name__ == "__main__":
    sys.exit(main())
