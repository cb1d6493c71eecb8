"""Records as pure bytes: what others read in them, and what must never be in them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.exchanges import Exchanged, InMemory
from fetchpool.model.urls import hiding
from fetchpool.output.warc.cdx import SortedLines
from fetchpool.output.warc.heads import without_secrets
from fetchpool.output.warc.originals import Original, Originals
from fetchpool.output.warc.payloads import dechunked
from fetchpool.output.warc.reading import BrokenRecordError, entries_of, entry_at
from fetchpool.output.warc.surt import surt
from fetchpool.output.warc.writing import IDENTICAL, Earlier, RecordMaker, date_of, warcinfo
from tests.warc.readers import check_container, index_by_others, seen_by_fastwarc

AT = 1_790_000_000.5
REQUEST = b"GET /a HTTP/1.1\r\nHost: h.test\r\nAccept: */*\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
PAGE = b"<html>" + b"some words " * 100
BIG = random.Random(1).randbytes(2_000_000)


def exchanged(
    response: bytes, url: str = "http://h.test/a", request: bytes = REQUEST, **more: Any
) -> Exchanged:
    """Return the exchange that brought *response*."""
    head = response.index(b"\r\n\r\n") + 4
    chunked = b"transfer-encoding: chunked" in response[:head].lower()
    fields = {"method": "GET", "body": None, "sent_at": AT, "peer": "192.0.2.1", **more}
    status = int(response[9:12])
    return Exchanged(
        url=url,
        request=request,
        status=status,
        recording=InMemory(response),
        head_length=head,
        length=len(response),
        chunked=chunked,
        **fields,
    )


def write(
    path: Path, exchanges: Sequence[Exchanged], earlier: Earlier | None = None
) -> list[bytes]:
    """Write a container of *exchanges*; return its index."""
    info_id, data = warcinfo(path.name, [("operator", "me")], AT)
    maker, lines = RecordMaker(info_id, Originals()), []
    for each in exchanges:
        for made in maker.records(each, earlier):
            member = b"".join(made.pieces)
            if made.capture is not None:
                lines.append(made.capture.line(path.name, len(data), len(member)))
            data += member
    path.write_bytes(data)
    return sorted(lines)


def ok(body: bytes, *fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return OK + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def in_chunks(body: bytes, *fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in (*fields, b"Transfer-Encoding: chunked"))
    halves = body[: len(body) // 2], body[len(body) // 2 :]
    # No extensions: FastWARC refuses them.
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in halves)
    return OK + lines + b"\r\n" + chunks + b"0\r\nX-Trailer: 1\r\n\r\n"


ODD = (
    b"HTTP/1.1 200 \xc3\xa9\r\nServer:nospace\r\nX-F: a\r\n b\r\n"
    b"Content-Type:text/html;charset=x\r\n"
)
RESPONSES = {
    "plain": (ok(PAGE, b"Content-Type: text/html; charset=utf-8"), PAGE),
    "odd head": (ODD + b"\r\n" + PAGE * 2, PAGE * 2),
    "no type": (ok(b""), b""),
    "empty type": (ok(b"x", b"Content-Type:"), b"x"),
    "chunks": (in_chunks(PAGE, b"Content-Type: text/plain"), PAGE),
    "gzip in chunks": (
        in_chunks(gzip.compress(PAGE), b"Content-Encoding: gzip"),
        gzip.compress(PAGE),
    ),
    "big": (ok(BIG), BIG),
    "big in chunks": (in_chunks(BIG), BIG),
    "not found": (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\nno", b"no"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", b""),
}


def test_every_message_is_read_by_others_as_it_came(tmp_path: Path) -> None:
    path = tmp_path / "x-00000.warc.gz"
    exchanges = [
        exchanged(message, f"http://www.h.test/{number}?B=1&a=%C3%A9")
        for number, (message, _) in enumerate(RESPONSES.values())
    ]
    lines = write(path, exchanges)
    entries = check_container(path)
    assert len(entries) == 1 + 2 * len(RESPONSES)
    seen = [each for each in seen_by_fastwarc(path) if each.kind != "warcinfo"]
    for request, response, (message, payload) in zip(
        seen[::2], seen[1::2], RESPONSES.values(), strict=True
    ):
        assert (request.kind, request.block) == ("request", REQUEST)
        assert (response.kind, response.block) == ("response", message)
        assert response.payload == payload
        sha1 = base64.b32encode(hashlib.sha1(payload).digest()).decode()
        assert response.fields["warc-payload-digest"] == f"sha1:{sha1}"
        assert response.fields["warc-ip-address"] == "192.0.2.1"
        assert response.fields["warc-date"] == "2026-09-21T14:13:20Z"
    assert [line.decode().rstrip("\n") for line in lines] == index_by_others(path)
    assert sorted(filter(None, (each.line(path.name) for each in entries))) == lines
    for each in entries:
        assert entry_at(path, each.offset, each.length) == each


def test_second_payload_refers_to_the_first_where_both_are_framed_alike(tmp_path: Path) -> None:
    path = tmp_path / "x-00000.warc.gz"
    page, chunked = ok(PAGE, b"X: 1"), in_chunks(PAGE)
    zipped = gzip.compress(BIG)
    messages = {
        "http://h.test/1": page,
        "http://h.test/2": ok(PAGE, b"X: 2"),
        "http://h.test/chunks": chunked,
        "http://h.test/3": chunked,
        "http://h.test/gz": ok(zipped),
        "http://h.test/coded": ok(zipped, b"Content-Encoding: gzip"),
        "http://h.test/short": ok(b"short"),
        "http://h.test/short2": ok(b"short"),
        "http://h.test/cut": page,
        "http://h.test/nobody": ok(b""),
        "http://h.test/nobody2": ok(b""),
    }
    cut = {"http://h.test/cut": "time"}
    exchanges = [exchanged(each, url, truncated=cut.get(url)) for url, each in messages.items()]
    lines = write(path, exchanges)
    check_container(path)
    seen = {
        each.fields["warc-target-uri"]: each
        for each in seen_by_fastwarc(path)
        if each.kind in ("response", "revisit")
    }
    revisits = {url for url, each in seen.items() if each.kind == "revisit"}
    assert revisits == {"http://h.test/2", "http://h.test/3"}
    for url, original in (("http://h.test/2", "1"), ("http://h.test/3", "chunks")):
        revisit, first = seen[url], seen[f"http://h.test/{original}"]
        assert revisit.block == messages[url][: messages[url].index(b"\r\n\r\n") + 4]
        assert revisit.fields["warc-profile"] == IDENTICAL
        assert revisit.fields["warc-refers-to-target-uri"] == first.fields["warc-target-uri"]
        assert revisit.fields["warc-refers-to-date"] == first.fields["warc-date"]
        assert revisit.fields["warc-payload-digest"] == first.fields["warc-payload-digest"]
        assert revisit.fields["warc-truncated"] == "length"
        assert "warc-refers-to-target-uri" not in first.fields
    assert seen["http://h.test/cut"].fields["warc-truncated"] == "time"
    assert [line.decode().rstrip("\n") for line in lines] == index_by_others(path)


def test_what_an_earlier_run_stored_is_referred_to(tmp_path: Path) -> None:
    path = tmp_path / "x-00000.warc.gz"
    digest = f"sha1:{base64.b32encode(hashlib.sha1(PAGE).digest()).decode()}"
    earlier = Earlier("http://h.test/a", "2020-01-01T00:00:00Z", digest, chunked=False, coding=b"")
    asked = REQUEST[:-2] + b'If-None-Match: "x"\r\n\r\n'
    same = b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'
    exchanges = [
        exchanged(same, request=asked),
        exchanged(ok(PAGE)),
        exchanged(ok(PAGE + b".")),
        exchanged(in_chunks(PAGE)),
        exchanged(same),
    ]
    lines = write(path, exchanges, earlier)
    kept = [each for each in seen_by_fastwarc(path) if each.kind in ("response", "revisit")]
    profiles = [each.fields.get("warc-profile", "").rpartition("/")[2] for each in kept]
    assert profiles == ["server-not-modified", "identical-payload-digest", "", "", ""]
    for each in kept[:2]:
        assert each.fields["warc-refers-to-date"] == earlier.date
        assert each.fields["warc-payload-digest"] == digest
    assert kept[0].block == same
    assert [line.decode().rstrip("\n") for line in lines] == index_by_others(path)


SECRET = b"tell-nobody"


def test_request_is_written_without_what_may_be_secret() -> None:
    request = (
        b"POST /a?key=tell-nobody&b=1 HTTP/1.1\r\nHost: h.test\r\n"
        b"Authorization: Basic tell-nobody\r\n"
        b"Proxy-Authorization: tell-nobody\r\ncookie: a=tell-nobody\r\nX-Api-Key: tell-nobody\r\n"
        b"Accept-Language: de\r\nReferer: http://u:tell-nobody@h.test/?key=tell-nobody\r\n"
        b"User-Agent: me\r\n\r\n"
    )
    url = "http://h.test/a?key=tell-nobody&b=1"
    with hiding(["key"]):
        shown = without_secrets(request, url)
        whole = without_secrets(request.replace(b"/a?", b"http://h.test/a?", 1), url)
    assert SECRET not in shown + whole
    assert shown.startswith(b"POST /a?key=***&b=1 HTTP/1.1\r\n")
    assert b"\r\nAuthorization: ***\r\n" in shown
    assert whole.startswith(b"POST http://h.test/a?key=***&b=1 HTTP/1.1\r\n")
    for field in (b"Accept-Language: de\r\n", b"User-Agent: me\r\n", b"X-Api-Key: ***\r\n"):
        assert field in shown
    assert without_secrets(REQUEST, "http://h.test/a") == REQUEST


def test_upload_is_kept_unless_a_parameter_in_it_is_secret(tmp_path: Path) -> None:
    path = tmp_path / "x-00000.warc.gz"
    url, body = "http://h.test/a?key=tell-nobody", b"a=1&key=tell-nobody"
    exchange = exchanged(ok(PAGE), url, method="POST", body=body)
    write(path, [exchange])
    check_container(path)
    assert seen_by_fastwarc(path)[1].block == REQUEST + body
    with hiding(["key"]):
        write(path, [exchange])
    _, request, response = seen_by_fastwarc(path)
    assert request.block == REQUEST.replace(b"/a", b"/a?key=***", 1)
    assert request.fields["warc-truncated"] == "unspecified"
    assert response.fields["warc-target-uri"] == "http://h.test/a?key=***"


def test_container_that_is_cut_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x-00000.warc.gz"
    write(path, [exchanged(ok(PAGE)), exchanged(ok(PAGE + b"2"))])
    data, entries = path.read_bytes(), check_container(path)
    last = entries[-1]
    for cut in (last.offset + 1, last.offset + last.length // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(BrokenRecordError):
            list(entries_of(path))
    path.write_bytes(data[: last.offset + 1])
    with pytest.raises(BrokenRecordError):
        entry_at(path, last.offset, last.length)
    path.write_bytes(data[: last.offset])
    assert list(entries_of(path)) == entries[:-1]
    with pytest.raises(BrokenRecordError):
        entry_at(path, last.offset - 3, 3)


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_chunks_are_undone_wherever_the_message_is_divided(
    parts: list[bytes], data: st.DataObject
) -> None:
    chunks = b"".join(b"%X;x=1\r\n%s\r\n" % (len(part), part) for part in parts if part)
    message = chunks + b"0\r\nX: y\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=8)))
    pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    assert b"".join(dechunked(pieces)) == b"".join(parts)


URLS = (
    "http://www.example.com/",
    "https://www2.example.com:8080/A/b%2Fc/../d/?B=2&a=1&",
    "http://[2001:db8::1]:8080/x",
    "http://h.test/%25%32%35?a=%20b%2520#",
    "http://h.test/a;jsessionid=0123456789abcdef0123456789abcdef?sid=0123456789abcdef0123456789abcdef",
    "http://h.test/(a(012345678901234567890123))/x.aspx?y",
    "http://www/?&&=",
    "http://1.2.3.4:443//a//b/.?",
)


def test_key_of_a_url_is_that_of_others() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import surt as others
    dice = random.Random(2)
    pieces = ["a", "B", "/", "//", "..", ".", "%2F", "%25", "%2541", "?", "&", "=", "%23", "%C3%A9"]
    pieces += ["+", ";", ":", "@", "[", "~", "%", "x.aspx", "cfid=1&cftoken=2", "www."]
    made = ("http://www.h.test/" + "".join(dice.choices(pieces, k=6)) for _ in range(3000))
    for url in (*URLS, *made):
        assert surt(url.partition("#")[0]) == others.surt(url), url


def test_lines_beyond_memory_come_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetchpool.output.warc.cdx.RUN_BYTES", 1000)
    monkeypatch.setattr("fetchpool.output.warc.cdx._READ_BYTES", 64)
    lines = [b"%d %s\n" % (random.Random(n).randrange(10**6), b"." * (n % 90)) for n in range(900)]
    sorting = SortedLines(tmp_path)
    for line in lines:
        sorting.add(line)
    assert list(sorting.merged()) == sorted(lines)
    assert not list(tmp_path.iterdir())
    sorting.close()


def test_payload_that_was_not_used_for_longest_is_forgotten() -> None:
    known = Originals(2)
    first, second, third = (Original(f"http://h/{n}", date_of(n)) for n in range(3))
    known.add(b"1", first)
    known.add(b"2", second)
    assert known.find(b"1") == first
    known.add(b"3", third)
    assert (known.find(b"2"), known.find(b"1"), known.find(b"3")) == (None, first, third)
