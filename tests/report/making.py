"""Makes run directories to report of: records, a state and an account, without fetching."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fetchpool.cli.report import read_report
from fetchpool.model.slot_time import (
    Connections,
    HostTime,
    Lookups,
    RunAccount,
    Sample,
    SlotTime,
)
from fetchpool.model.values import FailureKind
from fetchpool.output.ledger import BodyOptions, Record, encode
from fetchpool.output.ledger.accounts import write_accounts
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.record import encode_all, rfc3339
from fetchpool.output.ledger.state import FileStamp, State, write_state
from fetchpool.reporting.report.values import Report

BEGAN = 1_800_000_000.0

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "&lt;b&gt;&#60;i&#62;",
    "]]><failure/>",
    "`code` | cell | **bold** [link](javascript:alert(1)) <b>",
    "a\\|b\\`c",
    "@everyone #1 www.example.com http://example.com",
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd",
    "\x00\x07\x1b[31mred\x7f\x85\u2028\ufffe",
    "line\r\nbreak\ttab",
    "  ",
    "${1}{{7*7}}<%= 1 %>",
)
"""What a list, a server or a directory may be called."""


def record(seq: int, url: str = "", *, label: str | None = None, **more: Any) -> Record:
    """Return a record of line *seq* that is ok, or failed with *label*: a status or a kind."""
    url = url or f"https://example.org/{seq}"
    status: int | None = 200
    error = None
    if label is not None:
        status = int(label) if label.isdigit() else None
        error = FailureKind.STATUS if status else FailureKind(label)
    fields: dict[str, Any] = {
        "seq": seq,
        "url": url,
        "ok": label is None,
        "status": status,
        "error": error,
        "detail": None,
        "final_url": url,
        "redirects": 0,
        "attempts": 1,
        "bytes": 1000,
        "wire_bytes": 500,
        "content_type": "text/html",
        "path": None,
        "sha256": None,
        "started_at": rfc3339(BEGAN + seq / 10),
        "elapsed_s": 0.25,
    }
    return Record(**{**fields, **more})


def account(**more: Any) -> RunAccount:
    """Return the account of ten seconds with ten slots; *more* may be of its `time`, too."""
    half = {"first_byte": 30.0, "per_host": 20.0}
    time = SlotTime(
        slots=10,
        slot_s=100.0,
        parts={"first_byte": 55.0, "per_host": 35.0, "tail": 10.0},
        cpu_s=2.5,
        busiest=0.25,
        connections=Connections(opened=12, reused=88, broken=3, tls_full=9, tls_resumed=3),
        lookups=Lookups(asked=2, cached=98, seconds=0.1),
        hosts=[HostTime("example.org", 50.0, {"per_host": 35.0})],
    )
    for name in SlotTime.__struct_fields__:
        setattr(time, name, more.pop(name, getattr(time, name)))
    fields: dict[str, Any] = {
        "began_at": BEGAN,
        "seconds": 10.0,
        "ended": True,
        "done": 100,
        "time": time,
        "limits": {"limit": "10", "per_host": "4"},
        "samples": [Sample(5.0, half, done=40)],
    }
    return RunAccount(**{**fields, **more})


def make_dest(
    dest: Path,
    records: Sequence[Record] = (),
    *,
    accounts: Sequence[RunAccount] = (),
    sources: Sequence[str] = ("urls.txt",),
    damage: bytes = b"",
    left: Sequence[Record] = (),
) -> Path:
    """Make *dest* the directory of a finished run with *records*; return it."""
    layout = Layout(dest)
    layout.private.mkdir(parents=True)
    layout.ledger.write_bytes(encode_all(records) + damage)
    if left:
        layout.left.write_bytes(b"".join(map(encode, left)))
    state = State(
        "run",
        BodyOptions(),
        tuple(sources),
        None,
        BEGAN,
        len(records),
        FileStamp.of(layout.ledger.stat()),
    )
    write_state(layout.state, state, fsync=False)
    if accounts:
        write_accounts(layout, list(accounts))
    return dest


def report_of(dest: Path, form: str = "html") -> Report:
    """Return what there is to report of *dest*."""
    return read_report(str(dest), dest, form)


def hostile_dest(root: Path) -> Path:
    """Make a run directory in which each text from outside is of `HOSTILE`."""
    records = []
    for seq, text in enumerate(HOSTILE, 1):
        named: dict[str, Any] = {"source": text, "line": seq, "change": "changed"}
        records.append(record(2 * seq - 1, f"https://example.org/{text}", detail=text, **named))
        records.append(
            record(
                2 * seq,
                f"https://{text}.example.org/{text}",
                label="timeout" if seq % 2 else "503",
                detail=text,
                **named,
            )
        )
    # Kinds of failure that no version has, and hosts that none would ask.
    odd = b"".join(
        encode(record(1000 + seq, f"https://h{seq}/{text}", label="connect", detail=text)).replace(
            b'"connect"', encode(record(1, text)).partition(b'"url":')[2].partition(b',"ok"')[0]
        )
        for seq, text in enumerate(HOSTILE, 1)
    )
    limits = {text: text for text in HOSTILE}
    hosts = [HostTime(text, 1.0, {text: 2.0, "per_host": 1.0}) for text in HOSTILE]
    parts = {"first_byte": 90.0, "<b>": 5.0, "</script>": 5.0}
    return make_dest(
        root / "<img src=x onerror=alert(1)>&\"'`|",
        records,
        accounts=[account(limits=limits, hosts=hosts, parts=parts, samples=[Sample(5.0, parts)])],
        sources=HOSTILE,
        damage=odd,
        left=[record(seq, text) for seq, text in enumerate(HOSTILE, 1)],
    )
