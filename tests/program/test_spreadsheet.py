"""A spreadsheet opens the table that fetchpool wrote, and fetchpool reads the one that it saved."""

from __future__ import annotations

import csv
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import clean_environment, run_fetchpool
from tests.servers.counting import CountingServer

pytestmark = pytest.mark.skipif(
    not shutil.which("soffice"), reason="soffice is not installed (apt-get: libreoffice-calc)"
)

UTF_8 = 76
"""LibreOffice's number of the encoding."""

CELLS = {
    "/1": ("Müller, A.", 'she said "yes"', "two\nlines; one cell"),
    "/2": ("=1+1", "0012", ""),
    "/3": ("日本", " blanks ", "'quoted'"),
}


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where LibreOffice keeps its settings: to make them takes it seconds."""
    return tmp_path_factory.mktemp("profile")


def convert(path: Path, ending: str, delimiter: str, profile: Path) -> Path:
    """Return what LibreOffice makes of *path* when it opens it and saves it as *ending*.

    Cells of a CSV are taken as text, as one chooses in its dialogue of import.
    """
    columns = "/".join(f"{number}/2" for number in range(1, 40))
    import_as = f"CSV:{ord(delimiter)},34,{UTF_8},1,{columns}"
    save_as = f":Text - txt - csv (StarCalc):{ord(delimiter)},34,{UTF_8}" if ending == "csv" else ""
    folder = path.parent / f"as-{ending}"
    options = [f"--infilter={import_as}"] if path.suffix == ".csv" else []
    done = subprocess.run(
        [
            "soffice", "--headless", f"-env:UserInstallation={profile.as_uri()}", *options,
            "--convert-to", f"{ending}{save_as}", "--outdir", folder, path,
        ],
        env=clean_environment(path.parent),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )  # fmt: skip
    made = folder / f"{path.stem}.{ending}"
    assert made.exists(), done.stdout + done.stderr
    return made


def write_table(path: Path, server: CountingServer, delimiter: str, encoding: str) -> None:
    """Write `CELLS`, each row with its URL in the column `Link`."""
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["Name", "Note", "Link", "Text"])
        for target, (name, note, text) in CELLS.items():
            writer.writerow([name, note, server.url(target), text])


def read_table(path: Path, delimiter: str) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8-sig")])
def test_spreadsheet_opens_the_table_that_was_written(
    server: CountingServer, tmp_path: Path, profile: Path, delimiter: str, encoding: str
) -> None:
    write_table(tmp_path / "sheet.csv", server, delimiter, encoding)
    result = run_fetchpool(["get", "sheet.csv", "--records", "out.csv"], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    workbook = convert(tmp_path / "out.csv", "xlsx", delimiter, profile)
    shown = read_table(convert(workbook, "csv", delimiter, profile), delimiter)
    harmless = {"=1+1": "'=1+1"}
    assert {row["url"]: (row["Name"], row["Note"], row["Text"]) for row in shown} == {
        server.url(target): tuple(harmless.get(cell, cell) for cell in cells)
        for target, cells in CELLS.items()
    }
    assert [(row["ok"], row["status"]) for row in shown] == [("true", "200")] * len(CELLS)
    assert shown == read_table(tmp_path / "out.csv", delimiter)


@pytest.mark.parametrize(("kind", "delimiter"), [("xlsx", ","), ("ods", ";")])
def test_list_that_a_spreadsheet_saved_is_read(
    server: CountingServer, tmp_path: Path, profile: Path, kind: str, delimiter: str
) -> None:
    write_table(tmp_path / "sheet.csv", server, delimiter, "utf-8")
    workbook = convert(tmp_path / "sheet.csv", kind, delimiter, profile)
    saved = convert(workbook, "csv", delimiter, profile)
    result = run_fetchpool(["get", saved, "-o", "out"], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert 'table, 4 columns, URLs from "Link"' in result.stderr
    assert {record["url"]: tuple(record["row"].values()) for record in result.records} == {
        server.url(target): cells for target, cells in CELLS.items()
    }
    assert sorted(server.counts.targets()) == sorted(CELLS)
