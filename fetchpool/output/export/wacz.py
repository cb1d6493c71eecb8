"""A run's WARCs as one file that players open: WACZ 1.1.1, `fetchpool export DEST --wacz`.

    archive/*.warc.gz     as they are
    indexes/index.cdx.gz  all their indexes, in blocks of lines; index.idx says where each begins
    pages/pages.jsonl     the pages among the records
    datapackage.json      what there is, with its hashes

https://specs.webrecorder.net/wacz/1.1.1/
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from time import gmtime, strftime, time
from typing import IO

import msgspec

import fetchpool
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.readable import Readable
from fetchpool.output.sinks.reading import files_in
from fetchpool.output.warc.cdx import ENDING as INDEX
from fetchpool.output.warc.cdx import SortedLines
from fetchpool.output.warc.reading import entries_of

WARC = ".warc.gz"
LINES_IN_BLOCK = 1024
_PIECE = 1 << 20
_PAGE_TYPES = ("text/html", "application/xhtml+xml")


class NoArchiveError(Exception):
    """There is no complete WARC in a run directory."""


class _Page(msgspec.Struct, gc=False):
    ok: bool
    seq: int = 0
    final_url: str | None = None
    url: str = ""
    content_type: str | None = None
    started_at: str | None = None
    container: str | None = None


_decode = msgspec.json.Decoder(_Page).decode


def write_wacz(source: Path, output: Path) -> None:
    """Write all complete WARCs in *source* to *output*, which is replaced in one step.

    A run may be on there: a WARC that is growing is left out. Raises `NoArchiveError` where there
    is none, OSError, `StoreError`.
    """
    files = files_in(source, "warc")
    warcs = [files[name] for name in sorted(files) if name.endswith(WARC)]
    if not warcs:
        raise NoArchiveError
    output = Path(os.path.realpath(output))
    with tempfile.NamedTemporaryFile(
        dir=output.parent, prefix=f".{output.name}.", delete=False
    ) as aside:
        try:
            _write(aside, source, warcs, files)
            Path(aside.name).chmod(0o666 & ~_umask())
            os.replace(aside.name, output)  # noqa: PTH105
        except BaseException:
            Path(aside.name).unlink(missing_ok=True)
            raise


def _write(
    file: IO[bytes], source: Path, warcs: list[Readable], files: Mapping[str, Readable]
) -> None:
    with zipfile.ZipFile(file, "w") as package:
        resources = [
            _add(package, f"archive/{path.name}", _pieces(path), zipfile.ZIP_STORED)
            for path in warcs
        ]
        starts: list[bytes] = []
        lines = _blocks(_index_of(warcs, files), starts)
        resources.append(_add(package, "indexes/index.cdx.gz", lines, zipfile.ZIP_STORED))
        resources.append(_add(package, "indexes/index.idx", starts))
        pages = _pages(Layout(source).ledger, {path.name for path in warcs})
        resources.append(_add(package, "pages/pages.jsonl", pages))
        described = {
            "profile": "data-package",
            "wacz_version": "1.1.1",
            "created": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(time())),
            "software": f"fetchpool/{fetchpool.__version__}",
            "resources": resources,
        }
        data = json.dumps(described, indent=2).encode()
        told = _add(package, "datapackage.json", [data])
        digest = {"path": "datapackage.json", "hash": told["hash"]}
        _add(package, "datapackage-digest.json", [json.dumps(digest, indent=2).encode()])


def _add(
    package: zipfile.ZipFile,
    path: str,
    pieces: Iterable[bytes],
    packing: int = zipfile.ZIP_DEFLATED,
) -> dict[str, str | int]:
    """Put *pieces* into *package* as *path*; return what is to be said of it."""
    info = zipfile.ZipInfo(path, gmtime(time())[:6])
    info.compress_type = packing
    info.external_attr = 0o644 << 16
    found, size = hashlib.sha256(), 0
    with package.open(info, "w", force_zip64=True) as member:
        for piece in pieces:
            member.write(piece)
            found.update(piece)
            size += len(piece)
    name = path.rpartition("/")[2]
    return {"name": name, "path": path, "hash": f"sha256:{found.hexdigest()}", "bytes": size}


def _pieces(path: Readable) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _index_of(warcs: list[Readable], files: Mapping[str, Readable]) -> Iterator[bytes]:
    """Yield the lines of the indexes of *warcs*, sorted; one that is not in *files* is made."""
    with ExitStack() as stack:
        sources: list[Iterable[bytes]] = []
        for path in warcs:
            index = files.get(path.name.removesuffix(WARC) + INDEX)
            if index is not None:
                sources.append(stack.enter_context(index.open("rb")))
                continue
            lines = SortedLines(Path(tempfile.gettempdir()))
            stack.callback(lines.close)
            for entry in entries_of(path):
                if (line := entry.line(path.name)) is not None:
                    lines.add(line)
            sources.append(lines.merged())
        yield from heapq.merge(*sources)


def _blocks(lines: Iterator[bytes], starts: list[bytes]) -> Iterator[bytes]:
    """Yield *lines* in gzip members; put a line about each into *starts*."""
    meta = {"format": "cdxj-gzip-1.0", "filename": "index.cdx.gz"}
    starts.append(f"!meta 0 {json.dumps(meta)}\n".encode())
    offset = 0
    while block := list(islice(lines, LINES_IN_BLOCK)):
        packing = zlib.compressobj(wbits=31)
        data = packing.compress(b"".join(block)) + packing.flush()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        said = json.dumps({"offset": offset, "length": len(data), "digest": digest})
        starts.append(block[0].partition(b"{")[0] + f"{said}\n".encode())
        offset += len(data)
        yield data


def _pages(ledger: Path, warcs: set[str]) -> Iterator[bytes]:
    """Yield the list of pages: records of HTML whose responses are in *warcs*."""
    yield b'{"format": "json-pages-1.0", "id": "pages", "title": "All Pages"}\n'
    for block in read_blocks(ledger):
        for line, entry in zip(block.lines(), block.entries, strict=True):
            if entry is None:
                continue
            record = _decode(line)
            is_page = record.ok and (record.content_type or "").lower().startswith(_PAGE_TYPES)
            name = (record.container or "").rpartition("/")[2]
            if is_page and name in warcs:
                url = record.final_url or record.url
                page = {"id": str(record.seq), "url": url, "ts": record.started_at}
                yield f"{json.dumps(page)}\n".encode()


def _umask() -> int:
    """Return the file mode that new files don't get; asking means setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
