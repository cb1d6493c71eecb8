"""Whatever a server sends, the WARC is whole: every case against the real program."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterator
from hashlib import sha1, sha256
from pathlib import Path

import pytest

from fetchpool.output.sinks.reading import read_body
from fetchpool.output.warc.heads import is_chunked
from fetchpool.output.warc.payloads import payload_of
from fetchpool.output.warc.reading import Entry, unpacked
from tests.harness import WORKERS, Record, raise_descriptor_limit, run_fetchpool
from tests.servers.cases import encodings, endings, framing, heads, redirects
from tests.servers.fault import FaultServer, Options
from tests.warc.readers import check_container, index_by_others

CASES = [
    case
    for module in (encodings, endings, framing, heads, redirects)
    for case in module.CASES
    if case.options is Options.PATIENT and case.tls is None
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Record]]]:
    folder = tmp_path_factory.mktemp("hostile")
    raise_descriptor_limit()
    with FaultServer(CASES) as server:
        urls = [url for case in CASES for url in server.urls(case)]
        (folder / "list.txt").write_text("\n".join(urls) + "\n")
        args = ["get", "list.txt", "-o", "out", "--store", "warc", "--retries", "0", "-q"]
        args += ["--limit", "1000", "--per-host", "1", "--max-size", "1M", "--read-timeout", "2"]
        done = run_fetchpool([*args, "--hash", "--workers", WORKERS or "1"], cwd=folder)
        assert done.returncode == 1, done.stderr
        assert len(done.records) == len(urls)
        yield folder / "out", done.records


def test_every_record_is_whole_and_indexed_as_others_do(run: tuple[Path, list[Record]]) -> None:
    dest, records = run
    places = {(each["container"], each["offset"]) for each in records if "container" in each}
    for path in dest.glob("warc/*.warc.gz"):
        entries = check_container(path)
        index = path.with_name(path.name.replace(".warc.gz", ".cdxj"))
        assert index.read_text().splitlines() == index_by_others(path)
        places -= {(f"warc/{path.name}", each.offset) for each in entries}
        for each in entries:
            _check_digests(path, each)
    assert not places


def _check_digests(path: Path, entry: Entry) -> None:
    """Assert that the digests are those of what is there (FastWARC refuses odd chunks)."""
    record = b"".join(unpacked(path, entry.offset, entry.length))
    block = record[entry.head_length : -4]
    assert entry.fields["warc-block-digest"] == f"sha1:{b32encode(sha1(block).digest()).decode()}"
    if entry.kind == "response":
        chunked = is_chunked(entry.head)
        payload = b"".join(payload_of([block], len(entry.head), chunked=chunked))
        digest = f"sha1:{b32encode(sha1(payload).digest()).decode()}"
        assert entry.fields["warc-payload-digest"] == digest, entry


def test_body_that_was_good_is_read_back_as_it_was(run: tuple[Path, list[Record]]) -> None:
    dest, records = run
    good = [each for each in records if each["ok"] and each["sha256"]]
    assert len(good) > 50
    other = []
    for each in good:
        place = each["container"], each["offset"], each["length"]
        try:
            body = b"".join(read_body(dest, None, place))
        except OSError as error:
            other.append((each["url"], str(error)))
            continue
        if sha256(body).hexdigest() != each["sha256"]:
            other.append((each["url"], f"{len(body)} of {each['bytes']}"))
    assert not other
