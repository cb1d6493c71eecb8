"""Refuses names of outputs that promise another place or another form than is written.

A name that ends in `.parquet` or begins with `s3://` would become a directory, or a file of JSON,
and the user would notice too late.
"""

from __future__ import annotations

import os
import re
import stat

from fetchpool.config.values import Choice, ConfigError, Destination, FilePath, Unfit, quoted
from fetchpool.model.remote import remote_of

_PACKED = ("gz", "bz2", "xz", "zst", "lz4", "lz", "br", "lzma", "z", "zip", "7z", "rar")
_ARCHIVES = ("tar", "tgz", "tbz", "tbz2", "txz", "tzst", "jar", "iso", "squashfs", "cpio")
_WEB_ARCHIVES = ("warc", "arc", "wacz", "cdx", "cdxj")
_SHEETS = ("parquet", "arrow", "feather", "ipc", "orc", "avro", "xlsx", "xls", "xlsm", "ods", "tsv")
_DATA = (
    *("h5", "hdf5", "msgpack", "cbor", "pkl", "npz", "tfrecord", "geojson"),
    *("xml", "yaml", "yml", "toml"),
)
_TABLES = (*_SHEETS, *_DATA)
_DATABASES = (
    *("sqlite", "sqlite3", "db", "db3", "duckdb", "mdb", "lmdb", "sql"),
    *("gpkg", "mbtiles", "pmtiles"),
)
_RECORDS = ("csv", "jsonl", "ndjson", "json")
_PAGES = ("html", "htm", "pdf", "md", "docx", "doc", "odt", "txt")
_MEDIA = ("jpg", "jpeg", "png", "gif", "webp", "svg", "mp3", "mp4", "webm", "mkv", "avi", "wav")

_OTHER_FORMS = tuple({*_TABLES, *_DATABASES, *_PAGES, *_MEDIA} - {"txt"})
"""Forms that are never written here; `.txt` fits any text."""

_STORES = "s3|s3a|s3n|gs|gcs|az|abfss?|adl|wasbs?|r2|b2|oss|cos|swift|hdfs|webhdfs|rclone"
_SCHEME = re.compile(
    rf"[a-z][a-z0-9+.-]*:/|(?:{_STORES}|s?ftp|ftps|scp|ssh|smb|nfs|webdavs?|davs?):", re.IGNORECASE
)
_ON_A_HOST = re.compile(r"[\w.-]+@[\w.-]+:")
_SUFFIX = re.compile(r"[^/]\.([a-z0-9]+)/*\Z", re.IGNORECASE)


def check_directory(path: str) -> None:
    """Raise `Unfit` where *path* names something other than a directory to be made.

    An existing directory may have any name but that of another place. Object stores that bodies go
    to (`s3://bucket/prefix`) are none of those.
    """
    try:
        if remote_of(path) is not None:
            return
    except ValueError as error:
        problem = f"takes s3://bucket/prefix, and {quoted(path)} {error}"
        raise Unfit(problem, "write it so, and set credentials in the environment") from None
    _check_place(path, "name a local directory, and copy it there afterwards")
    if os.path.isdir(path):  # noqa: PTH112
        return
    suffix = _suffix(path)
    if suffix in _RECORDS:
        other = f"name a directory, and write the records with --records {quoted(path)}"
        if suffix in ("csv", "jsonl"):
            other += ", or later with fetchpool export"
    elif store := _store_of(path):
        directory = quoted(_without_suffixes(path))
        other = f"name a directory for such files: --output {directory} --store {store}"
    elif suffix in _ARCHIVES or suffix in _PACKED:
        other = "name a directory, and pack it afterwards (tar -caf, zip -r)"
    elif suffix in _TABLES or suffix in _DATABASES:
        other = "name a directory; fetchpool export makes CSV or JSON Lines of its records"
    elif suffix in (*_PAGES, *_MEDIA) and not os.path.lexists(path):
        other = "name a directory; the record of a URL says which file its body is in"
    else:
        return
    form = _form(path)
    raise Unfit(f"takes a directory, and {quoted(path)} is the name of a {form} file", other)


def _store_of(path: str) -> str | None:
    """Return which `--store` makes files with the name of *path*; None: none does."""
    suffix = _suffix(path)
    inner = _suffix(path.rstrip("/")[: -len(suffix) - 1]) if suffix in _PACKED else suffix
    if suffix in _WEB_ARCHIVES or inner in _WEB_ARCHIVES:
        return "warc"
    if inner == "tar" or suffix in ("tgz", "tbz", "tbz2", "txz", "tzst"):
        return "tar"
    if suffix == "parquet":
        return "parquet"
    return "sqlite" if suffix in ("sqlite", "sqlite3", "db", "db3") else None


def _without_suffixes(path: str) -> str:
    """Return *path* without what says its form: `crawl` for `crawl.warc.gz`."""
    path = path.rstrip("/")
    if _suffix(path) in _PACKED:
        path = path.rpartition(".")[0]
    return path.rpartition(".")[0]


def check_file(path: str) -> None:
    """Raise `Unfit` where *path* is not on this machine's file system."""
    _check_place(path, "name a local file, and copy it there afterwards")


def check_text_file(path: str) -> None:
    """Raise `Unfit` where *path* has the name of another form than lines of text."""
    _check_packed(path)
    if _suffix(path) in (*_RECORDS, *_OTHER_FORMS) and not _is_special(path):
        form = _form(path)
        raise Unfit(
            f"is written as plain text, and {quoted(path)} is the name of a {form} file",
            f"name it without {form}",
        )


def check_records_file(path: str, *, asked: bool, by: str = "--records-format") -> None:
    """Raise `Unfit` where *path* has the name of another form than the records in it.

    *asked* says that the user chose the form, with the option *by*: then only names of packed
    files are refused.
    """
    _check_packed(path)
    if _suffix(path) in _OTHER_FORMS and not asked and not _is_special(path):
        raise Unfit(
            f"takes .csv or .jsonl, and {quoted(path)} is the name of a {_form(path)} file",
            f"name it .csv or .jsonl and convert that, or choose one of both with {by}",
        )


def _check_packed(path: str) -> None:
    """Raise `Unfit` where *path* is not on this machine, or has the name of a packed file."""
    check_file(path)
    suffix = _suffix(path)
    if suffix in (*_PACKED, *_ARCHIVES, *_WEB_ARCHIVES) and not _is_special(path):
        raise Unfit(
            f"is written as plain text, and {quoted(path)} is the name of a {_form(path)} file",
            f"name it without .{suffix}, and pack it afterwards",
        )


def _check_place(path: str, remedy: str) -> None:
    if path.lower().startswith("file:/"):
        raise Unfit(f"takes a path, not {quoted(path)}", "leave out file://")
    if _SCHEME.match(path) or _ON_A_HOST.match(path):
        raise Unfit(f"takes a path on this machine, not {quoted(path)}", remedy)


def _suffix(path: str) -> str:
    found = _SUFFIX.search(path)
    return found[1].lower() if found else ""


def _form(path: str) -> str:
    """Return the end of *path* that names its form: `.csv`, or `.tar.gz` if packed."""
    suffix = _suffix(path)
    inner = _suffix(path.rstrip("/")[: -len(suffix) - 1]) if suffix in _PACKED else ""
    known = (*_ARCHIVES, *_WEB_ARCHIVES, *_RECORDS, *_OTHER_FORMS)
    return f".{inner}.{suffix}" if inner in known else f".{suffix}"


def _is_special(path: str) -> bool:
    """Tell whether *path* is a pipe or a device, whose reader knows what comes."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


EXPORTED_STORES = ("files", "tar", "parquet", "sqlite")


def check_export_store(output: str | None, store: str, form: str | None) -> tuple[str, str]:
    """Return which directory `fetchpool export --store` makes, and how bodies lie in it.

    Raises `ConfigError`.
    """
    if form is not None:
        raise ConfigError("--format is about records, --store about bodies: drop one of them")
    try:
        kind = Choice("KIND", *EXPORTED_STORES).check(store)
    except Unfit as unfit:
        raise ConfigError(f"--store {unfit.problem}: try --store tar") from None
    if output in (None, "-"):
        raise ConfigError("--store writes a directory: name a new one with --output")
    try:
        return Destination(check_directory).check(output), kind
    except Unfit as unfit:
        raise ConfigError(f"--output {unfit.problem}: {unfit.remedy or 'try -o pages'}") from None


def check_export_wacz(output: str | None, store: str | None, form: str | None) -> str:
    """Return which file `fetchpool export --wacz` writes; raises `ConfigError`."""
    for name, given in (("--store", store), ("--format", form)):
        if given is not None:
            raise ConfigError(f"{name} can't be combined with --wacz: drop one of them")
    if output in (None, "-"):
        raise ConfigError("--wacz writes a file: name it with --output, as in -o pages.wacz")
    try:
        return FilePath().check(output)
    except Unfit as unfit:
        raise ConfigError(f"--output {unfit.problem}: {unfit.remedy or 'try -o x.wacz'}") from None


def _check_json_lines(path: str) -> None:
    """Raise `Unfit` where *path* has the name of another form than JSON lines."""
    check_records_file(path, asked=False)
    if _suffix(path) == "csv":
        raise Unfit("is written as JSON lines", "name it .jsonl, and convert that")


def check_merge(records: str | None, manifest: str | None) -> tuple[str | None, str | None]:
    """Return where `fetchpool merge` writes its manifest, and the records; raises `ConfigError`."""
    try:
        option = "--manifest"
        if manifest is not None:
            manifest = FilePath(promised=check_file).check(manifest)
        option = "--records"
        if records is not None:
            records = FilePath(dash=True).check(records)
            _check_json_lines(records)
    except Unfit as unfit:
        remedy = unfit.remedy or f"try {option} all.jsonl"
        raise ConfigError(f"{option} {unfit.problem}: {remedy}") from None
    return manifest, records


def check_export(output: str | None, form: str | None) -> tuple[str, str]:
    """Return where `fetchpool export` writes (`-` is standard output), and the form.

    Raises `ConfigError`.
    """
    try:
        wanted = "auto" if form is None else Choice("FORMAT", "csv", "jsonl").check(form)
    except Unfit as unfit:
        raise ConfigError(f"--format {unfit.problem}: try --format csv") from None
    if output in (None, "-"):
        return "-", wanted
    try:
        path = FilePath().check(output)
        check_records_file(path, asked=wanted != "auto", by="--format")
    except Unfit as unfit:
        raise ConfigError(f"--output {unfit.problem}: {unfit.remedy or 'try -o x.csv'}") from None
    return path, wanted


REPORTS = {"html": "html", "htm": "html", "md": "markdown", "markdown": "markdown", "xml": "junit"}
"""Forms of `fetchpool report`, by the end of a file's name."""


def check_report(output: str | None, form: str | None) -> tuple[str, str]:
    """Return where `fetchpool report` writes (`-` is standard output), and the form.

    Raises `ConfigError`.
    """
    try:
        wanted = None if form is None else Choice("FORMAT", "html", "markdown", "junit").check(form)
    except Unfit as unfit:
        raise ConfigError(f"--format {unfit.problem}: try --format markdown") from None
    if output in (None, "-"):
        if wanted is None:
            raise ConfigError(
                "which report? Name a file, as in -o report.html, or give --format html, markdown "
                "or junit for standard output"
            )
        return "-", wanted
    try:
        path = FilePath().check(output)
        _check_packed(path)
    except Unfit as unfit:
        remedy = unfit.remedy or "try -o report.html"
        raise ConfigError(f"--output {unfit.problem}: {remedy}") from None
    wanted = wanted or REPORTS.get(_suffix(path))
    if wanted is None:
        raise ConfigError(
            f"--output takes .html, .md or .xml, and {quoted(path)} says none of them: name it so, "
            "or give --format html, markdown or junit"
        )
    return path, wanted
