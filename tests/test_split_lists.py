"""Lists read by shards: all together read each request once, with the numbers of the whole."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.config import Config
from fetchpool.config.splitting import limits_of, rules_of, split_of
from fetchpool.model.shards import Shard
from fetchpool.model.split import Split
from fetchpool.model.values import Request
from fetchpool.pipeline.host_settings import hands_over, terms_at
from fetchpool.sources import InputError, SourceReadError, Sources, open_sources
from tests.test_split import LINE

COUNT = 3
SPLITS = [Split([Shard(index, COUNT)]) for index in range(COUNT)]
BY_URL = [Split([Shard(index, COUNT)], has_limit=lambda host: False) for index in range(COUNT)]


def read(lists: Sources) -> tuple[list[Request], int]:
    """Return all requests and how many lines there are."""
    requests, lines = [], 0
    for batch in lists.batches(max_lines=3):
        requests += batch.requests
        lines = batch.lines
    return requests, lines


@pytest.mark.parametrize("splits", [SPLITS, BY_URL], ids=["by host", "by URL"])
@given(
    lines=st.lists(
        st.one_of(
            LINE.map(str.encode),
            st.sampled_from([b"", b"# note", b"'http://h.example/'", b"\xff\xfe", b" \t "]),
            st.sampled_from(["http://bücher.example/é".encode(), b"http://h.example/x\r"]),
        ),
        max_size=12,
    ),
    as_stream=st.booleans(),
)
def test_shards_read_what_the_whole_list_has(
    splits: list[Split], lines: list[bytes], as_stream: bool
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "list.txt")
        path.write_bytes(b"".join(line + b"\n" for line in lines))

        def opened(split: Split | None) -> Sources:
            if as_stream:
                return open_sources(["-"], io.BytesIO(path.read_bytes()), split=split)
            return open_sources([str(path)], None, split=split)

        try:
            with opened(None) as lists:
                whole, count = read(lists)
        except InputError:  # over half of it is no list of URLs
            return
        parts = []
        for split in splits:
            with opened(split) as lists:
                requests, own_count = read(lists)
                parts += requests
                assert own_count == count
                assert lists.without_request == count - len(whole)
        assert sorted(parts, key=lambda request: request.seq) == whole


def test_a_list_that_fails_on_the_way_has_failed_for_all_shards() -> None:
    class Breaking(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            if (data := super().read1(20)) != b"":
                return data
            raise OSError(5, "input/output error")

        read = read1

    urls = [f"http://h{n}.example/".encode() for n in range(40)]
    splits = [Split([Shard(index, 1000)]) for index in range(1000)]
    empty = next(s for s in splits if not any(s.own_requests([Request(u.decode())]) for u in urls))
    with (
        open_sources(["-"], Breaking(b"\n".join(urls) + b"\n"), split=empty) as lists,
        pytest.raises(SourceReadError),
    ):
        read(lists)


def test_hosts_of_other_shards_are_asked_one_at_a_time_at_a_part_of_their_rate() -> None:
    config = Config(shard="0/4", host_rate=8, host={"slow.example": {"host-rate": 1}})
    terms, split = terms_at(config), split_of(config)
    assert terms is not None
    assert split is not None
    own, foreign = hosts_of(split)
    assert (terms(own).per_host, terms(own).host_rate) == (10, 8)
    assert (terms(foreign).per_host, terms(foreign).host_rate) == (1, 2)
    rate = terms("slow.example").host_rate
    assert rate == (0.25 if split.is_foreign("slow.example") else 1)
    found = terms_at(Config(shard="0/4", per_host="auto"))
    assert found is not None
    assert [found(host).finds_per_host for host in (own, foreign)] == [True, False]
    assert found(foreign).per_host == 1
    assert terms_at(Config(shard="0,1/2")) is None, "no host is another's"
    assert hands_over(config) is None
    handing = hands_over(Config(shard="0/4", hand_over=True))
    assert handing is not None
    assert (handing(own), handing(foreign)) == (False, True)


def hosts_of(split: Split) -> tuple[str, str]:
    """Return a host of its shards, and one of others."""
    names = [f"h{number}.example" for number in range(100)]
    own = next(name for name in names if not split.is_foreign(name))
    return own, next(filter(split.is_foreign, names))


def test_what_decides_the_division_is_told() -> None:
    assert rules_of(Config()) == ""
    assert rules_of(Config(shard="0/2")) == "split 1 by host"
    assert rules_of(Config(shard="0/2", per_host=0, host_rate=1)) == "split 1 by host"
    assert rules_of(Config(shard="0/2", per_host=0)).startswith(
        "split 1 by URL where hosts have no"
    )
    some = Config(shard="0/2", host={"h.example": {"per-host": 0}})
    assert "h.example" in rules_of(some)
    split = split_of(some)
    assert split is not None
    assert split.shard_of_host("h.example") is None
    assert split.shard_of_host("other.example") is not None
    obeying = Config(shard="0/2", per_host=0, robots=True)
    assert rules_of(obeying) == "split 1 by host", "a robots.txt may have a pace"


def test_limits_are_told_by_their_options() -> None:
    tables = {"b.example": {"host-rate": 2}, "*.a.example": {"per-host": 1, "retries": 0}}
    assert limits_of(Config(rate=7.5, host=tables)) == {
        "--per-host": "10",
        "--host-rate": "0",
        "--rate": "7.5",
        'per-host of [host."*.a.example"]': "1",
        'host-rate of [host."b.example"]': "2.0",
    }
