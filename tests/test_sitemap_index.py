"""An index of sitemaps: what its sitemaps bring into the list, in which order, and what can't."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fetchpool.config import Config
from fetchpool.model.asking import PLAIN, Ask
from fetchpool.model.values import Request
from fetchpool.sources import Codec, FetchedSitemaps, SourceReadError, open_sources
from fetchpool.sources.fetched import MOST_BYTES, RunEndedError
from fetchpool.sources.forms import sitemap_index
from tests.test_forms import PACKERS, Pipe

H = "https://h.example"


def urlset(*urls: str) -> bytes:
    pages = "".join(f"<url><loc>\n {url} </loc></url>" for url in urls)
    return f'<?xml version="1.0"?>\n<urlset xmlns="s">{pages}</urlset>'.encode()


def index(*urls: str) -> bytes:
    sitemaps = "".join(f"<sitemap><loc>{url}</loc><lastmod/></sitemap>" for url in urls)
    return f'<?xml version="1.0"?>\n<sitemapindex xmlns="s">{sitemaps}</sitemapindex>'.encode()


class Web:
    """Gives each sitemap that a list asks for as soon as it is asked for."""

    def __init__(self, place: Path, bodies: dict[str, bytes]) -> None:
        self.asked: list[str] = []
        self.fetched = FetchedSitemaps()
        self._place = place
        self._bodies = bodies

    def read(self, data: bytes, *, pipe: bool = False, ask: Ask = PLAIN) -> list[Request]:
        """Return the requests of a list, sitemaps included."""
        path = self._place / "list"
        path.write_bytes(data)
        names, stdin = (["-"], Pipe([data])) if pipe else ([str(path)], None)
        with open_sources(
            names,
            stdin,  # type: ignore[arg-type]
            ask=ask,
            reading=Config().reading,
            fetched=self.fetched,
        ) as sources:
            return list(self._requests(each for b in sources.batches() for each in b.requests))

    def _requests(self, requests: Iterator[Request]) -> Iterator[Request]:
        for request in requests:
            if request.is_sitemap and request.problem is None:
                self.asked.append(request.url)
                self.fetched.give(request.url, self._file(request.url))
            yield request

    def _file(self, url: str) -> str | None:
        body = self._bodies.get(url)
        if body is None:
            return None
        path = self._place / f"body-{len(self.asked)}"
        path.write_bytes(body)
        return str(path)


def pages(requests: list[Request]) -> list[str]:
    return [each.url for each in requests if not each.is_sitemap]


def problems(requests: list[Request]) -> dict[str, str]:
    """Return why sitemaps can't be read, by their URLs."""
    return {each.url: each.problem for each in requests if each.problem is not None}


def test_pages_come_in_the_order_of_the_index(tmp_path: Path) -> None:
    names = [f"{H}/{number}.xml" for number in range(10)]
    bodies = {name: urlset(f"{name}?a&amp;b", f"{name}#c") for name in names}
    data = index(*names)
    web = Web(tmp_path, bodies)
    requests = web.read(data)
    assert pages(requests) == [url for name in names for url in (f"{name}?a&b", f"{name}#c")]
    assert web.asked == names
    assert [request.seq for request in requests] == list(range(1, 31))
    assert Web(tmp_path, bodies).read(data, pipe=True) == requests
    for pack in PACKERS.values():
        packed = {name: pack(body) for name, body in bodies.items()}
        assert Web(tmp_path, packed).read(pack(data)) == requests
    assert not list(tmp_path.glob("body-*"))
    codec = Codec()
    assert [codec.unpack(codec.pack(request)) for request in requests] == requests


def test_a_few_sitemaps_are_asked_for_ahead(tmp_path: Path) -> None:
    names = [f"{H}/{number}.xml" for number in range(6)]
    requests = Web(tmp_path, {name: urlset(f"{name}?") for name in names}).read(index(*names))
    ahead = sitemap_index.AHEAD
    assert [each.is_sitemap for each in requests[: ahead + 2]] == [True] * ahead + [False, True]


def test_index_within_an_index_is_read_in_its_place(tmp_path: Path) -> None:
    bodies = {
        f"{H}/a": urlset(f"{H}/1"),
        f"{H}/in": index(f"{H}/b", f"{H}/c"),
        f"{H}/b": f"\ufeff{H}/2\r\n\r\n{H}/3".encode(),  # a text file is a sitemap as well
        f"{H}/c": urlset(f"{H}/4"),
        f"{H}/d": urlset(f"{H}/5"),
    }
    requests = Web(tmp_path, bodies).read(index(f"{H}/a", f"{H}/in", f"{H}/d", f"{H}/a"))
    assert pages(requests) == [f"{H}/{number}" for number in range(1, 6)]
    assert problems(requests) == {}
    numbers = [request.seq for request in requests]
    assert len(set(numbers)) == len(numbers)


def test_sitemaps_are_asked_for_plainly_whatever_pages_are(tmp_path: Path) -> None:
    web = Web(tmp_path, {f"{H}/a": urlset(f"{H}/1")})
    sitemap, page = web.read(index(f"{H}/a"), ask=Ask("POST", (("X-A", "b"),), b"c"))
    assert (sitemap.method, sitemap.headers, sitemap.body) == ("GET", (), None)
    assert (page.method, page.body) == ("POST", b"c")


def test_indexes_that_lead_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    bodies = {f"{H}/a": index(f"{H}/b", f"{H}/c"), f"{H}/b": index(f"{H}/c", f"{H}/a")}
    bodies[f"{H}/c"] = urlset(f"{H}/1")
    requests = Web(tmp_path, bodies).read(index(f"{H}/a"))
    assert pages(requests) == [f"{H}/1"]
    assert problems(requests) == {f"{H}/a": "the index of sitemaps leads back to itself"}


def test_indexes_nested_without_end_come_to_one(tmp_path: Path) -> None:
    bodies = {f"{H}/{number}": index(f"{H}/{number + 1}") for number in range(100)}
    requests = Web(tmp_path, bodies).read(index(f"{H}/0"))
    assert problems(requests) == {f"{H}/3": "the sitemap is an index within 4 others"}


def test_more_sitemaps_than_can_be_known_end_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sitemap_index, "MOST_SITEMAPS", 3)
    with pytest.raises(SourceReadError, match="more than 3 sitemaps"):
        Web(tmp_path, {}).read(index(*(f"{H}/{number}" for number in range(4))))


UNREAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is empty"),
    "a page": (lambda: b"<!DOCTYPE html><html><body>Gone", "declares a document type"),
    "text": (lambda: b"Not found\n", "is neither XML nor a URL a line"),
    "other XML": (lambda: b"<rss><channel/></rss>", "is none, but other XML: <rss>"),
    "no XML": (lambda: b"<!-- nothing -->", "no element found"),
    "a page in an index": (
        lambda: b"<sitemapindex><url><loc>x</loc></url></sitemapindex>",
        "a <url> does not belong into a <sitemapindex>",
    ),
    "a sitemap among pages": (
        lambda: b"<urlset><sitemap><loc>x</loc></sitemap></urlset>",
        "a <sitemap> does not belong into a <urlset>",
    ),
    "entities": (
        lambda: b'<!DOCTYPE x [<!ENTITY a "aaaa">]><urlset>&a;</urlset>', "document type"
    ),
    "damaged gzip": (lambda: gzip.compress(urlset(f"{H}/1"))[:40] + b"\xff" * 99, "damaged"),
    "a bomb": (
        lambda: gzip.compress(b"<urlset>" + b" " * (MOST_BYTES + 1), 9), "longer than 128 MiB"
    ),
    "a long line": (lambda: f"{H}/".encode() + b"x" * 200_000, "a line longer than a URL may be"),
    "a long tag": (lambda: b"<urlset><a b='" + b"x" * (8 << 20), "a tag in it has no end"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "said"), UNREAD.values(), ids=UNREAD.keys())
def test_what_cannot_be_read_is_one_line_and_costs_no_other(
    tmp_path: Path, make: Callable[[], bytes], said: str
) -> None:
    bodies = {f"{H}/bad": make(), f"{H}/good": urlset(f"{H}/1")}
    web = Web(tmp_path, bodies)
    tracemalloc.start()
    try:
        requests = web.read(index(f"{H}/bad", f"{H}/good", f"{H}/not-there"))
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert pages(requests) == [f"{H}/1"]
    ((url, problem),) = problems(requests).items()
    assert url == f"{H}/bad"
    assert said in problem
    assert problem.startswith("the sitemap")
    assert len(problem) < 200
    assert problem.isprintable()
    assert peak < 12 << 20


def test_sitemap_that_breaks_off_brings_what_was_read_of_it(tmp_path: Path) -> None:
    whole = urlset(*(f"{H}/{number}" for number in range(5000)))
    requests = Web(tmp_path, {f"{H}/a": whole[:-100]}).read(index(f"{H}/a"))
    assert pages(requests) == [f"{H}/{number}" for number in range(len(pages(requests)))]
    assert len(pages(requests)) > 4900
    assert set(problems(requests)) == {f"{H}/a"}


def test_before_a_run_an_index_has_its_sitemaps_only(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(index(f"{H}/a", "h\tx", f"{H}/b", f"{H}/a"))
    with open_sources([str(path)], None, reading=Config().reading) as sources:
        assert not sources.seekable
        batches = list(sources.batches())
    found = [(each.url, each.is_sitemap) for batch in batches for each in batch.requests]
    assert found[::2] == [(f"{H}/a", True), (f"{H}/b", True)]
    assert sum(batch.skipped for batch in batches) == 1


def test_end_of_the_run_lets_the_reader_go_and_deletes_what_it_has(tmp_path: Path) -> None:
    fetched = FetchedSitemaps()
    bodies = [tmp_path / "early", tmp_path / "late", tmp_path / "unasked"]
    for body in bodies:
        body.write_bytes(b"")
    fetched.ask("a")
    fetched.ask("b")
    fetched.give("a", str(bodies[0]))
    fetched.give("c", str(bodies[2]))
    fetched.close()
    fetched.give("b", str(bodies[1]))
    assert not any(body.exists() for body in bodies)
    with pytest.raises(RunEndedError):
        fetched.wait("a")
