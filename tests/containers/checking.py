"""What stores of containers hold, as other programs read it, held against the records."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from fetchpool.model.bodies import NoSuchBodyError
from fetchpool.output.sinks.containers import path_of
from fetchpool.output.sinks.reading import read_body
from fetchpool.output.warc.bodies import beside, body_at
from fetchpool.output.warc.cdx import ENDING as INDEX
from tests.containers.rows import check_rows, rows_of
from tests.harness import Record
from tests.warc.readers import check_container

ROWS = ("parquet", "sqlite")
"""Those that have a row for each record."""
STORES = ("tar", "warc", *ROWS)
"""Those whose containers can be checked here."""


class Body(NamedTuple):
    """A body as another program has found it."""

    container: str
    offset: int
    data: bytes | None
    """None: a row without a body."""
    record: Mapping[str, object]
    """What stands beside it; of rows all that the record says."""


def bodies_in(store: str, dest: Path) -> Iterator[Body]:
    """Yield what is in the containers of *dest*, which are all sealed; AssertionError else."""
    paths = sorted((dest / store).iterdir())
    assert not [path for path in paths if path.name.endswith((".open", ".new"))]
    for path in paths:
        if not path.name.endswith(INDEX):
            yield from _READERS[store](path, f"{store}/{path.name}")


def check_containers(store: str, records: Iterable[Record], dest: Path) -> None:
    """Assert that each record's body is where it says, and that nothing else is in containers.

    Of a refresh, those of the run before may be there as well.
    """
    records = list(records)
    before = set()
    if any("change" in record for record in records):
        lines = dest.joinpath(".fetchpool/previous.jsonl").read_bytes().splitlines()
        before = {json.loads(line).get("container") for line in lines}
    named = [record for record in records if "container" in record]
    before |= _kept_from_before(dest) - {record["container"] for record in named}
    bodies = [each for each in bodies_in(store, dest) if each.container not in before]
    found = {(each.container, each.offset): each for each in bodies}
    assert len(named) == len({(record["container"], record["offset"]) for record in named})
    assert set(found) == {(record["container"], record["offset"]) for record in named}
    for record in named:
        body = found[record["container"], record["offset"]]
        assert body.record["url"] in (record["url"], record["final_url"])
        if body.data is None:
            assert not record["ok"]
            assert record["length"] == 0
            continue
        if store != "warc":
            assert record["length"] == record["bytes"]
        if record["ok"]:
            assert len(body.data) == record["bytes"]
            _check_target(record, body.data)
    if store in ROWS:
        check_rows(dest, store, refreshed=bool(before), moved=True)
    assert all("container" in record for record in records if record["ok"] and record["bytes"])
    check_places(store, named, dest)


def check_places(store: str, records: Iterable[Record], dest: Path) -> None:
    """Assert that each body is where its record says, whatever has been killed."""
    for record in records:
        if "container" not in record:
            continue
        assert path_of(dest, record["container"]).exists(), record
        place = record["container"], record["offset"], record["length"]
        if store in ROWS and not record["ok"]:
            with pytest.raises(NoSuchBodyError):
                list(read_body(dest, None, place))
            continue
        body = b"".join(read_body(dest, None, place))
        if record["ok"]:
            assert len(body) == record["bytes"], record
            _check_target(record, body)


def _check_target(record: Record, body: bytes) -> None:
    """Assert that the body is that URL's: the counting server's bodies say it themselves."""
    words = body.split(maxsplit=2)
    if len(words) > 1 and words[1].startswith(b"/"):
        assert record["final_url"].endswith(words[1].decode().rstrip(".")), record


def _tar(path: Path, name: str) -> Iterator[Body]:
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        last = members[-1]
        end = last.offset_data + -(-last.size // 512) * 512
        assert path.read_bytes()[end:] == bytes(1024), "there is more than the tar, or less"
        for told, body in zip(members[::2], members[1::2], strict=True):
            key, _, ending = body.name.partition(".")
            assert told.name == f"{key}.json"
            assert ending
            record = json.loads(_content(tar, told))
            assert int(key) >= 1
            yield Body(name, body.offset_data, _content(tar, body), record)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def _warc(path: Path, name: str) -> Iterator[Body]:
    """Yield each response but those of redirects that were followed."""
    entries = check_container(path)
    index = path.with_name(path.name.removesuffix(".warc.gz") + INDEX)
    lines = sorted(filter(None, (each.line(path.name) for each in entries)))
    assert index.read_bytes() == b"".join(lines), "the index is another container's"
    requests, responses = entries[1::2], entries[2::2]
    assert {each.kind for each in requests} == {"request"}
    for request, response in zip(requests, responses, strict=True):
        assert request.fields["warc-concurrent-to"] == response.fields["warc-record-id"]
        if b"\nLocation:" not in response.head:
            data = b"".join(body_at(path, response.offset, response.length, beside(path)))
            told = {"url": response.fields["warc-target-uri"]}
            yield Body(name, response.offset, data, told)


def _kept_from_before(dest: Path) -> set[str]:
    """Return the containers that records have named once: a WARC is kept for its captures."""
    archived = dest / ".fetchpool" / "archived"
    return set(archived.read_text().splitlines()) if archived.exists() else set()


def _rows(path: Path, name: str) -> Iterator[Body]:
    for row in rows_of(path):
        yield Body(name, row["number"], row["body"], row)


_READERS: dict[str, Callable[[Path, str], Iterator[Body]]] = {
    "tar": _tar,
    "warc": _warc,
    "parquet": _rows,
    "sqlite": _rows,
}


def examples(store: str) -> list[str]:
    """Return the programs that docs/stores.md shows for *store*."""
    text = Path(__file__).parents[2].joinpath("docs/stores.md").read_text("utf-8")
    section = text.partition(f"\n## {store}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```py\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
