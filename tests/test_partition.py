"""`fetch_partition` and `host_key`: what Spark calls with the rows of a partition."""

from __future__ import annotations

import json
import pickle
import threading
import tracemalloc
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool import Config, ConfigError, fetch_partition, host_key, partition_schema
from fetchpool.model.split import shard_of
from fetchpool.model.urls import InvalidURLError, parse_url
from fetchpool.pipeline import partition
from fetchpool.scheduling import scheduler
from tests.program.conftest import server as server
from tests.servers.counting import CountingServer

pa: Any = pytest.importorskip(
    "pyarrow", reason="pyarrow is not installed: pip install 'fetchpool[parquet]'"
)


def arrow(columns: dict[str, list[Any]]) -> Any:
    return pa.RecordBatch.from_pydict(columns)


def frame(columns: dict[str, list[Any]]) -> Any:
    pandas: Any = pytest.importorskip(
        "pandas", reason="pandas is not installed: pip install pandas"
    )
    return pandas.DataFrame(columns)


def rows_of(batches: Any) -> list[dict[str, Any]]:
    """Return the rows of all *batches*, in the order of the ids in them."""
    found: list[dict[str, Any]] = []
    for batch in batches:
        assert isinstance(batch, pa.RecordBatch) or type(batch).__module__.startswith("pandas")
        is_arrow = isinstance(batch, pa.RecordBatch)
        found += batch.to_pylist() if is_arrow else batch.to_dict("records")
    return sorted(found, key=lambda row: json.loads(row["row"])["id"])


@pytest.mark.parametrize("make", [arrow, frame])
def test_each_row_gets_one_row(server: CountingServer, make: Any) -> None:
    good = server.url("/a?size=5")
    urls = [
        good,
        server.url("/b?status=404"),
        None,
        "",
        "# no comment",
        "no url",
        good,
        f" {good}\n",
    ]
    batches = [
        make({"id": [0, 1, 2], "url": urls[:3], "note": ["a", "b", "c"]}),
        make({"id": list(range(3, 8)), "url": urls[3:], "note": ["ü"] * 5}),
    ]
    function = pickle.loads(pickle.dumps(partial(fetch_partition, config=Config(retries=0))))
    rows = rows_of(function(iter(batches)))
    assert [json.loads(row["row"])["id"] for row in rows] == list(range(8))
    assert json.loads(rows[7]["row"]) == {"id": 7, "note": "ü"}
    assert [row["ok"] for row in rows] == [True, False, False, False, False, False, True, True]
    assert [row["error"] for row in rows[1:6]] == ["status", "input", "input", "input", "input"]
    assert rows[1]["status"] == 404
    assert rows[2]["detail"] == "the row has no URL"
    assert rows[0]["bytes"] == len(rows[0]["body"]) > 0
    assert rows[2]["body"] is None
    assert [f"{name} " in f"{partition_schema()}, " for name in rows[0]] == [True] * len(rows[0])
    assert list(rows[0]) == [each.split()[0] for each in partition_schema().split(", ")]


@pytest.mark.parametrize("make", [arrow, frame])
def test_columns_keep_their_types_whatever_is_missing(server: CountingServer, make: Any) -> None:
    config = Config(retries=0, no_body=True, carry="none", column="url=link")
    dead, good = make({"link": ["no url"], "x": [1]}), make({"link": [server.url("/")], "x": [1]})
    (of_dead,) = fetch_partition([dead], config)
    (of_good,) = fetch_partition([good], config)
    if make is frame:
        assert list(of_dead.dtypes) == list(of_good.dtypes)
    else:
        assert of_dead.schema == of_good.schema
        sql = {"string": "string", "bool": "boolean", "int64": "bigint", "double": "double"}
        named = ", ".join(f"{each.name} {sql[str(each.type)]}" for each in of_dead.schema)
        assert named == partition_schema(config)


def test_columns_of_a_request_are_asked_with(server: CountingServer) -> None:
    batch = arrow({"url": [server.url("/")], "how": ["post"], "what": ["x=1"]})
    config = Config(column=["method=how", "body=what"])
    ((row,),) = (each.to_pylist() for each in fetch_partition([batch], config))
    assert row["ok"]
    (hit,) = server.counts.hits
    assert ("content-length", "3") in hit.headers


def test_no_batch_gives_none_and_empty_ones_do(server: CountingServer) -> None:
    assert list(fetch_partition([])) == []
    empty = arrow({"url": []})
    assert list(fetch_partition([empty, empty])) == []
    filled = arrow({"url": [server.url("/")]})
    assert sum(each.num_rows for each in fetch_partition([empty, filled, empty])) == 1


@pytest.mark.parametrize(
    ("batch", "config", "error", "what"),
    [
        ({"link": ["u"]}, Config(), ConfigError, "no column 'url'; it has link"),
        ({"url": ["u"]}, Config(carry="id"), ConfigError, "no column 'id'; it has url"),
        ({"url": ["u"]}, Config(shard="0/2"), ConfigError, "--shard is for fetchpool.run"),
        ({"url": ["u"]}, Config(workers=2), ConfigError, "--workers is for fetchpool.run"),
    ],
)
def test_what_cannot_be_is_raised(batch: Any, config: Config, error: Any, what: str) -> None:
    before = threading.active_count()
    with pytest.raises(error, match=what):
        list(fetch_partition([arrow(batch)], config))
    assert threading.active_count() == before, "its loop has ended"


def test_other_batches_are_refused_and_what_they_raise_comes_out(server: CountingServer) -> None:
    with pytest.raises(TypeError, match=r"not builtins\.dict"):
        list(fetch_partition([{"url": "u"}]))

    def broken() -> Iterator[Any]:
        yield arrow({"url": [server.url("/")]})
        raise OSError("the upstream stage is gone")

    with pytest.raises(OSError, match="the upstream stage is gone"):
        list(fetch_partition(broken()))


def test_left_early_it_leaves_nothing_running(server: CountingServer) -> None:
    before = threading.active_count()
    batches = (arrow({"url": [server.url(f"/{n}/{m}") for m in range(600)]}) for n in range(50))
    found = fetch_partition(batches, Config(per_host=20))
    assert next(found).num_rows == 1000
    found.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(server.counts.hits) < 30_000


def test_large_bodies_make_small_batches(server: CountingServer) -> None:
    batch = arrow({"url": [server.url(f"/{n}?size={6 << 20}") for n in range(6)]})
    sizes = [each.num_rows for each in fetch_partition([batch], Config(per_host=2))]
    assert sizes == [3, 3]


def test_memory_does_not_grow_with_the_partition(
    server: CountingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that wait for their host are on disk, and their batches are not kept."""
    monkeypatch.setattr(partition, "ROWS", 50)
    monkeypatch.setattr(scheduler, "IN_MEMORY_EASY", 64)
    url, note = server.url("/"), "x" * 20_000
    batches = (arrow({"url": [url] * 20, "note": [f"{n}{note}"] * 20}) for n in range(160))
    tracemalloc.start()
    try:
        found = fetch_partition(batches, Config(per_host=1))
        assert sum(each.num_rows for each in found) == 3200
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32_000_000, "of 64 MB that all rows hold; as many with half of them"


def test_host_key_is_what_limits_and_shards_go_by() -> None:
    same = ["http://a.example/x", "https://A.example./y", " https://u:p@a.example:443/ "]
    assert {host_key(url) for url in same} == {"a.example"}
    assert host_key("http://a.example:8080/") == "a.example:8080"
    assert (host_key(None), host_key("no url")) == ("", "no url")
    assert host_key("a.example/x", default_scheme="https") == "a.example"
    assert host_key("/x", base="https://b.example/") == "b.example"


@given(st.text(max_size=40) | st.from_regex(r"https?://[a-zA-Z0-9.:@%/-]{1,30}", fullmatch=True))
def test_host_key_is_the_parsers_for_any_text(text: str) -> None:
    key = host_key(text)
    assert 0 <= shard_of(key.encode("utf-8", "surrogatepass"), 7) < 7
    try:
        assert key == parse_url(text.strip()).host_key
    except InvalidURLError:
        assert key == text.strip()
