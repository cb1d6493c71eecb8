"""A runner small enough to reason about: it opens, settles, "fetches" and appends as a run does."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from fetchpool.model.values import FailureKind, Outcome, Request
from fetchpool.output.ledger import (
    BodyOptions,
    Durability,
    Flag,
    Ledger,
    Record,
    RunDirectory,
    RunOptions,
    encode,
)
from fetchpool.output.ledger.entries import read_entry
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.record import SOURCE_KEYS

BATCH = 3


def append(ledger: Ledger, lines: Sequence[bytes]) -> None:
    """Append encoded records to *ledger*."""
    entries = [entry for line in lines if (entry := read_entry(line))]
    assert len(entries) == len(lines)
    ledger.append(b"".join(lines), entries)


def outcome(request: Request, *, ok: bool = True, **changes: Any) -> Outcome:
    """Return an outcome of *request* that looks like a real one."""
    fields: dict[str, Any] = {
        "request": request,
        "ok": ok,
        "status": 200 if ok else 503,
        "error": None if ok else FailureKind.STATUS,
        "detail": None,
        "final_url": request.url,
        "redirects": 0,
        "attempts": 1,
        "bytes": 10,
        "wire_bytes": 7,
        "content_type": "text/plain",
        "path": "h/file" if ok else None,
        "sha256": None,
        "started_at": 1_700_000_000.0,
        "elapsed_s": 0.25,
    }
    return Outcome(**{**fields, **changes})


class Run:
    """Commands over one DEST; `fetched` counts what was asked of the network, over all of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dest = root / "dest"
        self.list = root / "list.txt"
        self.fetched: Counter[str] = Counter()
        self.failing: set[str] = set()
        self.clock = iter(range(1_700_000_000, 1_800_000_000))

    def write_list(self, *urls: str) -> None:
        """Put *urls* into the list, which is changed by that even if they are the same."""
        beside = self.list.with_suffix(".new")
        beside.write_text("".join(f"{url}\n" for url in urls))
        beside.replace(self.list)

    def requests(self, urls: Sequence[str] | None = None, *, add: bool = False) -> list[Request]:
        """Return what a reader makes of the list, or of *urls* that come through a pipe.

        With *add* each names its source.
        """
        name = self.list.name if urls is None else "-"
        lines = self.list.read_text().splitlines() if urls is None else urls
        return [
            Request(url, seq, name, seq) if add else Request(url, seq)
            for seq, url in enumerate(lines, 1)
            if not url.startswith("#")
        ]

    def open(
        self,
        flag: Flag = Flag.PLAIN,
        *,
        sources: Sequence[str] | None = None,
        named: bool = True,
        body: BodyOptions | None = None,
        retry_kinds: tuple[str, ...] = (),
        durability: Durability = "none",
        add: bool = False,
    ) -> RunDirectory:
        """Open DEST as a command over the list (or over *sources*) does."""
        options = RunOptions(flag, retry_kinds, body or BodyOptions(), durability, add)
        return RunDirectory.open(
            Layout(self.dest), options, named=named, sources=sources or [str(self.list)]
        )

    def get(
        self,
        flag: Flag = Flag.PLAIN,
        *,
        pipe: Sequence[str] | None = None,
        stop_after: int | None = None,
        add: bool = False,
        **options: Any,
    ) -> bool:
        """Do a command; stop it before it begins *stop_after* more. Returns whether it finished."""
        sources = None if pipe is None else ["-"]
        with self.open(flag, sources=sources, add=add, **options) as directory:
            settled = directory.settle(partial(self.requests, add=add))
            ledger = settled.ledger
            requests = self.requests(pipe, add=add)
            lines = len(self.list.read_text().splitlines() if pipe is None else pipe)
            batch: list[bytes] = []
            begun = answered = 0
            stopped = False
            for listed in requests:
                request = replace(listed, seq=listed.seq + settled.offset)
                if settled.done is not None and request.seq in settled.done:
                    continue
                kept = None
                if settled.waiting is not None:
                    found = settled.waiting.kept_for(request.seq, request.url)
                    if found is not None and settled.waiting.in_place:
                        answered += 1
                        continue
                    kept = found and found.raw
                if kept is None:
                    if begun == stop_after:
                        stopped = True
                        break
                    begun += 1
                    kept = self.fetch(request)
                batch.append(kept)
                if len(batch) == BATCH:
                    append(ledger, batch)
                    batch = []
            else:
                ledger.expect(len(requests) - answered, lines)
            if batch:
                append(ledger, batch)
            return not stopped and ledger.finish(len(requests) - answered, lines)

    def fetch(self, request: Request) -> bytes:
        """Return the encoded record of an answer to *request*."""
        self.note_fetch(request.url)
        return encode(Record.of(self.answer(request), SOURCE_KEYS))

    def answer(self, request: Request) -> Outcome:
        """Return what the network says."""
        return outcome(request, ok=request.url not in self.failing, started_at=next(self.clock))

    def note_fetch(self, url: str) -> None:
        """Count a request for *url*."""
        self.fetched[url] += 1

    @property
    def ledger(self) -> Path:
        """The truth."""
        return self.dest / "results.jsonl"

    def records(self) -> list[dict[str, Any]]:
        """Return what is in the ledger."""
        return read_records(self.ledger)

    def by_seq(self) -> dict[int, str]:
        """Return the URL by line of all records; fails if a line has two."""
        records = self.records()
        found = {record["seq"]: record["url"] for record in records}
        assert len(found) == len(records)
        return found

    def expected(self, urls: Sequence[str] | None = None) -> dict[int, str]:
        """Return what `by_seq` has to be when all lines have a record."""
        return {request.seq: request.url for request in self.requests(urls)}


class LoggedRun(Run):
    """A run in a process of its own, which may be killed: what it fetches is noted in a file."""

    def note_fetch(self, url: str) -> None:
        with (self.root / "fetched.log").open("a") as log:
            log.write(f"{url}\n")

    def noted(self) -> Counter[str]:
        """Return what all processes fetched."""
        log = self.root / "fetched.log"
        return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records in *path*, every line of which has to be one."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of *path* that end with a line feed; none if there is no such file."""
    if not os.path.exists(path):
        return []
    return path.read_bytes().split(b"\n")[:-1]


def urls(*names: str) -> list[str]:
    """Return a URL for each name."""
    return [f"http://h/{name}" for name in names]
