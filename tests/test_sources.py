"""Sources: whatever bytes a list holds, each of its lines is one request or one skipped line."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.model.values import Request
from fetchpool.sources import (
    MAX_LINE,
    Batch,
    Codec,
    InputError,
    Reader,
    RequestCounter,
    RequestReader,
    SourceReadError,
    Sources,
    open_sources,
    requests_from,
)
from fetchpool.sources.lines import BLANKS, BLOCK

CODEC = Codec()


def listed(path: Path, data: bytes, name: str = "urls.txt") -> str:
    """Write a list and return its name."""
    file = path / name
    file.write_bytes(data)
    return str(file)


def read_all(sources: Sources, max_lines: int = 512) -> list[Request]:
    return [request for batch in sources.batches(max_lines) for request in batch.requests]


def read(path: Path, data: bytes) -> list[Request]:
    with open_sources([listed(path, data)], None) as sources:
        return read_all(sources)


def numbered(requests: list[Request]) -> list[tuple[int, str]]:
    return [(request.seq, request.url) for request in requests]


# --- what a line is ---


def test_lines_are_numbered_with_comments_and_blanks(tmp_path: Path) -> None:
    name = listed(tmp_path, b"# list\nhttp://a/\n\n  \t\nhttp://b/\n  # more\nhttp://c/")
    with open_sources([name], None) as sources:
        batches = list(sources.batches())
    requests = [request for batch in batches for request in batch.requests]
    assert numbered(requests) == [(2, "http://a/"), (5, "http://b/"), (7, "http://c/")]
    assert sum(batch.skipped for batch in batches) == 4
    assert batches[-1].lines == 7
    assert {(request.source, request.line, request.problem) for request in requests} == {
        (None, None, None)
    }


@pytest.mark.parametrize(
    "data",
    [
        b"http://a/\r\nhttp://b/\r\n",
        b"\xef\xbb\xbfhttp://a/\nhttp://b/",
        b"  http://a/\t\n\xc2\xa0http://b/\xc2\xa0\n",
        b"http://a/\r\n\xef\xbb\xbfhttp://b/\r",
        "\u200bhttp://a/\u200b\nhttp://b/\u200c\u200d\u2060\ufeff\u00ad".encode(),
        "\u202ahttp://a/\u202c\n\u200e http://b/\u200f\u2069".encode(),
        "\u3000http://a/\u2003\u2028\nhttp://b/\u0085".encode(),
    ],
    ids=["crlf", "byte-order-mark", "blanks", "concatenated", "no-width", "directions", "spaces"],
)
def test_what_editors_add_is_tolerated(tmp_path: Path, data: bytes) -> None:
    requests = read(tmp_path, data)
    assert numbered(requests) == [(1, "http://a/"), (2, "http://b/")]
    assert [request.problem for request in requests] == [None, None]


def test_comment_behind_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf# list\n\xef\xbb\xbf\n") == []
    assert read(tmp_path, "\u200b# list\n\u200b\u200e\n\u3000\n".encode()) == []


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n# nothing\n"])
def test_list_without_a_url_is_no_error(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data) == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (b"http://a/\x00b", "a NUL"),
        (b"http://a/\x1b[31m", "U+001B"),
        (b"http://a/\x7f", "U+007F"),
        ("http://a/\x9b31m".encode(), "U+009B"),
        (b"http://a/\tA page", "a tab"),
        (b"http://a/\rhttp://b/", "carriage return"),
    ],
)
def test_control_character_in_a_line_is_its_problem(
    tmp_path: Path, line: bytes, named: str
) -> None:
    before, request, after = read(tmp_path, b"http://x/\n" + line + b"\nhttp://y/\n")
    assert request.problem is not None
    assert named in request.problem
    assert request.problem.isprintable()
    assert (before.problem, after.problem, after.seq) == (None, None, 3)


def test_invalid_utf8_becomes_percent_escapes(tmp_path: Path) -> None:
    data = "http://a/é\n".encode() + "http://a/é\n".encode("latin-1") + b"http://a/\x9b"
    requests = read(tmp_path, data)
    assert [request.url for request in requests] == ["http://a/é", "http://a/%E9", "http://a/%9B"]
    assert [request.problem for request in requests] == [None, None, None]


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 10_000_000])
@pytest.mark.parametrize("before", [0, 1, 100, BLOCK - 1, BLOCK])
def test_line_is_too_long_beyond_its_limit_wherever_blocks_end(
    tmp_path: Path, length: int, before: int
) -> None:
    line = b"http://a/" + b"x" * (length - 9)
    comment = b"#" * before
    requests = read(tmp_path, comment + b"\n" + line + b"\nhttp://b/\n" + line)
    assert [request.seq for request in requests] == [2, 3, 4]
    for request in (requests[0], requests[2]):
        if length <= MAX_LINE:
            assert (request.url, request.problem) == (line.decode(), None)
        else:
            assert request.url == line[:200].decode()
            assert request.problem is not None
            assert f"{length:,} bytes long" in request.problem
    assert requests[1].url == "http://b/"


def test_userinfo_of_a_line_that_is_too_long_is_redacted_before_the_line_is_cut(
    tmp_path: Path,
) -> None:
    secret = b"canary" * 50
    (request,) = read(tmp_path, b"http://user:" + secret + b"@a/" + b"x" * MAX_LINE)
    assert request.url.startswith("http://***@a/xxx")


def test_long_comment_is_a_comment(tmp_path: Path) -> None:
    assert numbered(read(tmp_path, b" #" + b"x" * 200_000 + b"\nhttp://a/")) == [(2, "http://a/")]


def test_endless_line_is_read_in_bounded_memory() -> None:
    left = 300

    class Zeros(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            nonlocal left
            left -= 1
            return b"x" * size if left > 0 else b""

    tracemalloc.start()
    with open_sources(["-"], Zeros()) as sources:  # type: ignore[arg-type]
        (request,) = read_all(sources)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(request.url) == 200
    assert request.problem is not None
    assert peak < 10 * BLOCK


def test_batches_have_the_number_of_lines_asked_for(tmp_path: Path) -> None:
    data = b"".join(b"http://a/%d\n#\n" % number for number in range(5000))
    with open_sources([listed(tmp_path, data)], None) as sources:
        batches = list(sources.batches(max_lines=10))
    assert max(len(batch.requests) + batch.skipped for batch in batches) == 10
    assert [request.seq for batch in batches for request in batch.requests] == list(
        range(1, 10_000, 2)
    )


# --- laws over any bytes ---

PIECES = st.sampled_from(
    [
        b"\n",
        b"\r",
        b"\r\n",
        b"#",
        b" ",
        b"\t",
        b"\0",
        b"\xc2\xa0",
        b"\xc2",
        b"\xa0",
        b"\xef\xbb\xbf",
        b"\xef\xbb",
        "\u200b".encode(),
        "\u2069".encode(),
        b"\xe2\x80",
        b"\xc2\xad",
        b"\xff",
        "é".encode(),
        b"http://a/",
        b"x" * 70_000,
        b"\n" * 3000,
        b"http://b.example/\n" * 5000,
    ]
)
LISTS = st.lists(PIECES, max_size=30).map(lambda pieces: b"#\n" + b"".join(pieces))


def plainly(data: bytes) -> list[tuple[int, str]]:
    """Read a list in the simplest way: numbers and beginnings of URLs."""
    found = []
    for seq, line in enumerate(data.split(b"\n"), 1):
        text = line.decode("utf-8", "surrogateescape")
        text = "".join(
            f"%{ord(char) - 0xDC00:02X}" if 0xDC80 <= ord(char) <= 0xDCFF else char for char in text
        )
        text = text.strip(BLANKS)
        if text and not text.startswith("#"):
            found.append((seq, text[:200]))
    return found


@settings(max_examples=150)
@given(data=LISTS, max_lines=st.sampled_from([1, 7, 512]))
def test_any_list_is_read_as_if_read_plainly(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, max_lines: int
) -> None:
    name = listed(tmp_path_factory.mktemp("list"), data)
    with open_sources([name], None) as sources:
        requests = []
        skipped = 0
        for batch in sources.batches(max_lines):
            requests += batch.requests
            skipped += batch.skipped
            assert batch.lines == len(requests) + skipped
        assert [(r.seq, r.url[:200]) for r in requests] == plainly(data)
        for request in requests:
            assert "\n" not in request.url
            assert CODEC.unpack(CODEC.pack(request)) == request

        counter = RequestCounter(sources)
        counter.run()
        assert counter.total == len(requests)


@settings(max_examples=100)
@given(data=LISTS, cuts=st.lists(st.integers(1, 70_000), max_size=20))
def test_any_pipe_gives_the_same_requests_as_a_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int]
) -> None:
    rest = io.BytesIO(data)

    class Dribble(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return rest.read(min(size, cuts.pop() if cuts else size))

    with open_sources(["-"], Dribble()) as sources:  # type: ignore[arg-type]
        from_pipe = read_all(sources)
    from_file = read(tmp_path_factory.mktemp("list"), data)
    assert [(r.seq, r.url, r.problem) for r in from_pipe] == [
        (r.seq, r.url, r.problem) for r in from_file
    ]


# --- which sources there are ---


def test_several_sources_are_numbered_through_and_named(tmp_path: Path) -> None:
    first = listed(tmp_path, b"http://a/\n#\n", "first")
    second = listed(tmp_path, b"\nhttp://b/", "second")
    with open_sources([first, "HTTP://u:canary@c/", second, first], None) as sources:
        requests = read_all(sources)
        assert sources.several
        assert sources.seekable
        assert sources.title == "4 lists"
        assert [(r.seq, r.url, r.source, r.line) for r in requests] == [
            (1, "http://a/", first, 1),
            (3, "HTTP://u:canary@c/", "HTTP://***@c/", 1),
            (5, "http://b/", second, 2),
            (6, "http://a/", first, 1),
        ]
        assert [CODEC.unpack(CODEC.pack(request)) for request in requests] == requests
        assert "canary" not in repr(sources.names)


def test_many_files_keep_few_descriptors(tmp_path: Path) -> None:
    names = [listed(tmp_path, b"http://a/%d\n" % index, str(index)) for index in range(50)]
    before = len(os.listdir("/dev/fd"))
    with open_sources(names, None) as sources:
        requests = read_all(sources)
        assert read_all(sources) == requests
        assert len(os.listdir("/dev/fd")) <= before + 10
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (["http://a/"], "http://a/"),
        (["http://a/", "https://b/"], "2 URLs"),
        (["-"], "standard input"),
        (["http://u:canary@a/"], "http://***@a/"),
    ],
)
def test_title_names_what_is_read(names: list[str], title: str) -> None:
    with open_sources(names, io.BytesIO(b"")) as sources:
        assert sources.title == title


@pytest.mark.parametrize("mark", ["\u200b", "\ufeff", "\u202a", " ", "\u00a0"])
def test_url_as_an_argument_may_have_been_copied_with_marks(mark: str) -> None:
    with open_sources([f"{mark}HTTP://a/{mark}"], None) as sources:
        assert numbered(read_all(sources)) == [(1, "HTTP://a/")]


def test_only_streams_cannot_be_read_again(tmp_path: Path) -> None:
    name = listed(tmp_path, b"http://a/\n")
    with open_sources([name, "http://b/"], None) as sources:
        assert sources.seekable
        assert read_all(sources) == read_all(sources)
    with open_sources([name, "-"], io.BytesIO(b"http://c/")) as sources:
        assert not sources.seekable


def test_redirected_standard_input_is_a_file_read_from_where_it_stands(tmp_path: Path) -> None:
    name = listed(tmp_path, b"not this\nhttp://a/\nhttp://b/")
    with open(name, "rb", buffering=0) as stdin:
        stdin.readline()
        stdin.seek(9)
        with open_sources(["-"], stdin) as sources:
            assert sources.seekable
            requests = read_all(sources)
            assert numbered(requests) == [(1, "http://a/"), (2, "http://b/")]
            assert read_all(sources) == requests
        assert not stdin.closed
        os.fstat(stdin.fileno())


def test_odd_bytes_in_a_file_name_stay_valid_text(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(name).write_bytes(b"http://a/\n")
    with open_sources([name, name], None) as sources:
        assert {request.source for request in read_all(sources)} == {f"{tmp_path}/caf\\xe9"}


# --- what can't be read ---


def complaint(names: list[str], stdin: bytes | None = None) -> str:
    with pytest.raises(InputError) as caught:
        open_sources(names, None if stdin is None else io.BytesIO(stdin)).close()
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_missing_file_is_named_with_what_is_accepted(tmp_path: Path) -> None:
    message = complaint([str(tmp_path / "nowhere.txt")])
    assert "nowhere.txt" in message
    assert "http://" in message


def test_password_in_a_mistyped_url_is_not_repeated() -> None:
    assert "canary" not in complaint(["ftp://user:canary@example.org/"])
    assert "canary" not in complaint(["user:canary@example.org"])


def test_directory_closed_input_and_odd_names_are_refused(tmp_path: Path) -> None:
    assert "directory" in complaint([str(tmp_path)])
    assert "closed" in complaint(["-"])
    assert "only once" in complaint(["-", "-"], b"")
    assert "several lines" in complaint(["http://a/\nhttp://b/"])
    assert "null" in complaint(["a\0b"])
    assert "empty" in complaint([""])
    assert "can't be read" in complaint(["x" * 5000])


def test_list_that_is_missing_leaves_none_of_those_before_it_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    complaint([listed(tmp_path, b"http://a/\n"), str(tmp_path / "nowhere.txt")])
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    name = listed(tmp_path, b"http://a/\n")
    Path(name).chmod(0)
    assert "Permission denied" in complaint([name])


FOREIGN = [
    ("http://a/\n".encode("utf-16"), "UTF-16", "iconv"),
    ("http://a.example/\n".encode("utf-16-le"), "UTF-16LE", "iconv"),
    ("http://a.example/\n".encode("utf-16-be"), "UTF-16BE", "iconv"),
    (b"\xfe\xff" + "http://a/".encode("utf-16-be"), "UTF-16", "iconv"),
    ("http://a/\n".encode("utf-32"), "UTF-32", "iconv"),
    (b"PK\x03\x04zipped", "a zip archive", "unzip -p"),
]


@pytest.mark.parametrize(("data", "what", "command"), FOREIGN)
def test_other_than_utf8_text_is_refused_with_a_command_that_helps(
    tmp_path: Path, data: bytes, what: str, command: str
) -> None:
    message = complaint([listed(tmp_path, data, "my list")])
    assert what in message
    assert command in message
    assert "my list' | fetchpool get -" in message


@pytest.mark.parametrize(("data", "what", "command"), FOREIGN)
def test_other_than_utf8_text_in_a_pipe_is_refused_before_its_first_request(
    data: bytes, what: str, command: str
) -> None:
    with (
        open_sources(["-"], io.BytesIO(data)) as sources,
        pytest.raises(InputError, match=f"standard input is {what}.*… \\| {command}"),
    ):
        read_all(sources)


def test_list_that_fails_after_its_first_request_failed_on_the_way() -> None:
    class Failing(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            if blocks:
                return blocks.pop()
            raise OSError(5, "Input/output error")

    blocks = [b"http://a/\nhttp://b"]
    with open_sources(["-"], Failing()) as sources:  # type: ignore[arg-type]
        batches = sources.batches()
        assert numbered(next(batches).requests) == [(1, "http://a/")]
        with pytest.raises(SourceReadError, match="Input/output error"):
            next(batches)
    blocks = [b"# no request yet\n"]
    with (
        open_sources(["-"], Failing()) as sources,  # type: ignore[arg-type]
        pytest.raises(InputError, match="Input/output error"),
    ):
        read_all(sources)


def test_foreign_second_list_failed_on_the_way() -> None:
    with (
        open_sources(["http://a/", "-"], io.BytesIO(b"\x1f\x8b\x08\0")) as sources,
        pytest.raises(SourceReadError, match="gzip"),
    ):
        read_all(sources)


# --- lists read again ---


def test_replaced_list_is_read_again_as_it_was_opened(tmp_path: Path) -> None:
    names = [listed(tmp_path, b"http://a/\n", str(index)) for index in range(8)]
    with open_sources(names, None) as sources:
        requests = read_all(sources)
        for name in names[:4]:
            os.replace(listed(tmp_path, b"http://b/\n", "new"), name)
        for name in names[4:]:
            os.remove(name)
        assert read_all(sources) == requests


def test_replaced_list_is_noticed_where_too_many_were_open(tmp_path: Path) -> None:
    names = [listed(tmp_path, b"http://a/\n", str(index)) for index in range(20)]
    with open_sources(names, None) as sources:
        assert len(read_all(sources)) == 20
        # Kept under another name: a removed file's inode may be used again at once.
        os.rename(names[-1], tmp_path / "old")
        listed(tmp_path, b"http://a/\n", "19")
        with pytest.raises(SourceReadError, match="19 was replaced"):
            read_all(sources)


def test_request_that_waits_on_disk_needs_its_list_no_more(tmp_path: Path) -> None:
    name = listed(tmp_path, b"http://a/\nhttp://b/\n")
    with open_sources([name], None) as sources:
        packed = [CODEC.pack(request) for request in read_all(sources)]
        Path(name).write_bytes(b"")
    assert [CODEC.unpack(data) for data in packed] == [
        Request("http://a/", 1),
        Request("http://b/", 2),
    ]


def test_text_codec_keeps_every_field() -> None:
    request = Request("http://é/", 2**40, "näme", 7, "a problem")
    assert CODEC.unpack(CODEC.pack(request)) == request
    assert CODEC.unpack(CODEC.pack(Request("x"))) == Request("x")


def test_counter_stops_when_told(tmp_path: Path) -> None:
    with open_sources([listed(tmp_path, b"http://a/\n" * 50_000)], None) as sources:
        counter = RequestCounter(sources)
        counter.stop()
        counter.run()
        assert (counter.so_far, counter.total) == (0, None)


def test_counter_rests_three_times_as_long_as_it_works(tmp_path: Path) -> None:
    worked = iter([0.0, 0.5, 7.0, 7.25, 9.0])
    rests: list[float] = []

    def rest(seconds: float) -> bool:
        rests.append(seconds)
        return len(rests) == 2

    path = tmp_path / "urls.txt"
    path.write_text("https://h.example/\n" * 20_000)  # blocks of 64 KiB
    with open_sources([str(path)], None) as sources:
        counter = RequestCounter(sources, clock=lambda: next(worked), rest=rest)
        counter.run()
    assert rests == [1.5, 0.75]
    assert 0 < counter.so_far < 20_000
    assert counter.total is None


def test_counter_knows_the_total_when_its_thread_has_ended(tmp_path: Path) -> None:
    with open_sources([listed(tmp_path, b"http://a/\n#\n" * 5000)], None) as sources:
        counter = RequestCounter(sources)
        counter.start()
        join_threads("fetchpool-counter")
        assert (counter.so_far, counter.total) == (5000, 5000)


def test_counter_leaves_it_to_the_run_to_tell_what_cannot_be_read(tmp_path: Path) -> None:
    names = [listed(tmp_path, b"http://a/\n", str(index)) for index in range(20)]
    with open_sources(names, None) as sources:
        os.remove(names[-1])
        counter = RequestCounter(sources)
        counter.run()
        assert (counter.so_far, counter.total) == (19, None)


# --- across to the event loop ---


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Run a coroutine under each of the loops."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_in_loop(coroutine: object) -> object:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(coroutine, 30))  # type: ignore[arg-type]

    return run_in_loop


def join_threads(name: str) -> None:
    """Wait for the threads called *name*."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(30)


def join_readers() -> None:
    """Wait for the threads of readers that were closed."""
    join_threads("fetchpool-reader")


async def drain(reader: RequestReader) -> list[Request]:
    requests: list[Request] = []
    while (batch := await reader.next_batch()) is not None:
        requests += batch.requests
    return requests


def test_reader_hands_over_everything_in_order(run: Callable[..., object], tmp_path: Path) -> None:
    name = listed(tmp_path, b"".join(b"#\nhttp://a/%d\n" % number for number in range(20_000)))

    async def main() -> None:
        with open_sources([name], None) as sources:
            reader = Reader(sources.batches())
            requests: list[Request] = []
            lines = skipped = 0
            while (batch := await reader.next_batch()) is not None:
                requests += batch.requests
                lines = batch.lines
                skipped += batch.skipped
            assert [request.seq for request in requests] == list(range(2, 40_001, 2))
            assert (lines, skipped) == (40_000, 20_000)
            assert await reader.next_batch() is None

    run(main())


def test_first_line_of_a_pipe_does_not_wait_for_the_next(run: Callable[..., object]) -> None:
    async def main() -> None:
        source, sink = os.pipe()
        with open(source, "rb") as stdin, open_sources(["-"], stdin) as sources:
            reader = Reader(sources.batches())
            for number in range(5):
                os.write(sink, b"http://a/%d\nhttp://unfinished" % number)
                batch = await reader.next_batch()
                assert batch is not None
                assert len(batch.requests) == 1
            os.close(sink)
            assert [request.url for request in await drain(reader)] == ["http://unfinished"]

    run(main())


def test_named_pipe_is_opened_when_its_turn_comes(
    run: Callable[..., object], tmp_path: Path
) -> None:
    async def main() -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with open_sources(["http://first/", str(pipe)], None) as sources:
            reader = Reader(sources.batches())
            batch = await reader.next_batch()
            assert batch is not None
            assert batch.requests[0].url == "http://first/"
            await asyncio.to_thread(pipe.write_bytes, b"http://second/\n")
            assert [request.url for request in await drain(reader)] == ["http://second/"]

    run(main())


def test_pipe_made_non_blocking_by_others_is_read(run: Callable[..., object]) -> None:
    async def main() -> None:
        source, sink = os.pipe()
        os.set_blocking(source, False)
        with open(source, "rb") as stdin, open_sources(["-"], stdin) as sources:
            reader = Reader(sources.batches())
            waiting = asyncio.ensure_future(reader.next_batch())
            await asyncio.sleep(0.01)
            os.write(sink, b"http://a/\n")
            batch = await waiting
            assert batch is not None
            assert batch.requests[0].url == "http://a/"
            os.close(sink)
            assert await reader.next_batch() is None

    run(main())


def test_reader_reads_a_window_ahead_and_no_further(run: Callable[..., object]) -> None:
    async def main() -> None:
        taken = 0
        goal = 1_000_000
        reached = threading.Event()

        def endless() -> Iterator[Batch]:
            nonlocal taken
            while True:
                taken += 1
                if taken == goal:
                    reached.set()
                yield Batch([Request("http://a/", taken)], 0, taken)

        reader = Reader(endless(), window=10)
        got = 0
        for _ in range(50):
            batch = await reader.next_batch()
            assert batch is not None
            assert 1 <= len(batch.requests) <= 10
            got += len(batch.requests)
            assert taken <= got + 10
        goal = got + 10
        assert taken == goal or reached.wait(30)
        await reader.aclose()

    run(main())
    join_readers()
    assert not any(thread.name == "fetchpool-reader" for thread in threading.enumerate())


def test_cancelled_next_batch_loses_nothing(run: Callable[..., object]) -> None:
    async def main() -> None:
        go_on = threading.Semaphore(0)

        def items() -> Iterator[str]:
            for number in range(5):
                go_on.acquire()
                yield f"http://a/{number}"

        reader = requests_from(items())
        got: list[int] = []
        while len(got) < 5:
            waiting = asyncio.ensure_future(reader.next_batch())
            await asyncio.sleep(0)
            go_on.release()
            waiting.cancel()
            try:
                batch = await waiting
            except asyncio.CancelledError:
                batch = await reader.next_batch()
            assert batch is not None
            got += [request.seq for request in batch.requests]
        assert got == [1, 2, 3, 4, 5]
        assert await reader.next_batch() is None

    run(main())


def test_error_comes_after_what_was_read_before_it_and_every_time(
    run: Callable[..., object],
) -> None:
    async def main() -> None:
        def items() -> Iterator[str]:
            yield "http://a/"
            yield "http://b/"
            raise LookupError("broken")

        reader = requests_from(items())
        got = 0
        while got < 2:
            batch = await reader.next_batch()
            assert batch is not None
            got += len(batch.requests)
        for _ in range(2):
            with pytest.raises(LookupError, match="broken"):
                await reader.next_batch()

    run(main())


def test_closing_ends_a_silent_read(run: Callable[..., object]) -> None:
    async def main() -> None:
        source, sink = os.pipe()
        with open(source, "rb") as stdin, open_sources(["-"], stdin) as sources:
            reader = Reader(sources.batches())
            waiting = asyncio.ensure_future(reader.next_batch())
            await asyncio.sleep(0)
            await reader.aclose()
            assert await waiting is None
            assert await reader.next_batch() is None
            os.close(sink)
            join_readers()

    run(main())


def test_closing_the_reader_closes_what_its_thread_opened(
    run: Callable[..., object], tmp_path: Path
) -> None:
    join_readers()
    before = len(os.listdir("/dev/fd"))
    name = listed(tmp_path, b"http://a/\n" * 100_000)

    async def main() -> None:
        with open_sources([name], None) as sources:
            reader = Reader(sources.batches())
            assert await reader.next_batch() is not None
            await reader.aclose()

    run(main())
    join_readers()
    assert len(os.listdir("/dev/fd")) <= before


def test_program_ends_while_its_reader_waits_for_a_silent_pipe() -> None:
    program = """
        import asyncio, sys
        from fetchpool.sources import Reader, open_sources

        async def main():
            reader = Reader(open_sources(["-"], sys.stdin.buffer).batches())
            batch = await reader.next_batch()
            print(batch.requests[0].url, flush=True)
            waiting = asyncio.ensure_future(reader.next_batch())
            await asyncio.sleep(0)
            waiting.cancel()

        asyncio.run(main())
    """
    source, sink = os.pipe()
    os.write(sink, b"http://a/\n")
    try:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            stdin=source,
            capture_output=True,
            timeout=30,
            check=False,
        )
    finally:
        os.close(source)
        os.close(sink)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"http://a/\n", b"")


# --- iterables ---


async def generated(items: list[object]) -> AsyncIterator[object]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("form", [list, iter, generated])
def test_strings_of_an_iterable_are_lines_of_a_list_and_requests_are_requests(
    run: Callable[..., object], form: Callable[[list[object]], object]
) -> None:
    items: list[object] = [
        "http://a/\r\n",
        "",
        Request("# no comment here"),
        Request("http://b/"),
        Request("http://c/", 77, "elsewhere", 9),
        "http://d/\0",
        "http://e/\udce9",
        "http://f/\ud800",
        " \ufeff\t\n",
        " # a comment",
        Request(" "),
    ]
    requests = run(drain(requests_from(form(items))))  # type: ignore[arg-type]
    assert isinstance(requests, list)
    assert numbered(requests) == [
        (1, "http://a/"),
        (3, "# no comment here"),
        (4, "http://b/"),
        (77, "http://c/"),
        (6, "http://d/\0"),
        (7, "http://e/%E9"),
        (8, "http://f/%ED%A0%80"),
        (11, ""),
    ]
    assert [request.seq for request in requests if request.problem] == [6]
    assert (requests[3].source, requests[3].line) == ("elsewhere", 9)


def test_first_item_of_an_iterable_does_not_wait_for_the_next(run: Callable[..., object]) -> None:
    async def main() -> None:
        go_on = threading.Event()

        def items() -> Iterator[str]:
            yield "http://a/"
            go_on.wait()
            yield "http://b/"

        reader = requests_from(items())
        first = await reader.next_batch()
        assert first is not None
        assert numbered(first.requests) == [(1, "http://a/")]
        go_on.set()
        assert numbered(await drain(reader)) == [(2, "http://b/")]

    run(main())


@pytest.mark.parametrize("form", [list, generated])
def test_item_of_another_type_is_an_error(
    run: Callable[..., object], form: Callable[[list[object]], object]
) -> None:
    async def main() -> None:
        reader = requests_from(form(["http://a/", 5]))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="item 2 is of type int"):
            await drain(reader)
        with pytest.raises(TypeError, match="item 2 is of type int"):
            await reader.next_batch()

    run(main())


@pytest.mark.parametrize("items", ["http://a/", b"http://a/", Request("http://a/"), 5])
def test_single_url_is_no_iterable_of_urls(items: object) -> None:
    with pytest.raises(TypeError):
        requests_from(items)  # type: ignore[arg-type]


def test_closing_closes_an_asynchronous_generator(run: Callable[..., object]) -> None:
    async def main() -> None:
        closed = False

        async def items() -> AsyncIterator[str]:
            nonlocal closed
            try:
                yield "http://a/"
                yield "http://b/"
            finally:
                closed = True

        reader = requests_from(items())
        assert await reader.next_batch() is not None
        await reader.aclose()
        assert closed

    run(main())
