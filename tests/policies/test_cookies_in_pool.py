"""Cookies of a `FetchPool`: over both exchanges, all its lists, and in the file at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from fetchpool import Config, FetchPool
from fetchpool.model.cookies import HEADING
from fetchpool.output.ledger import OutputError
from tests.servers.counting import CountingServer


@pytest.mark.parametrize("exchange", ["direct", "session"])
async def test_pool_keeps_cookies_over_its_lists_and_writes_them_at_its_end(
    tmp_path: Path, exchange: Literal["direct", "session"]
) -> None:
    jar = tmp_path / "jar"
    jar.write_text(f"{HEADING}\n127.0.0.1\tFALSE\t/\tFALSE\t0\tgiven\t\u00fc\n", encoding="utf-8")
    with CountingServer() as server:
        server.sets["/set"] = ["sid=1; Path=/x", "old=1; Path=/", "given=2; Path=/; Max-Age=9"]
        server.sets["/unset"] = ["old=; Path=/; Max-Age=0"]
        config = Config(exchange=exchange, cookies=jar, save_cookies=True)
        async with FetchPool(config) as pool:
            for path in ("/set?to=%2Fx%2Fy", "/unset", "/z"):
                assert [outcome.ok async for outcome in pool.fetch([server.url(path)])] == [True]
            assert [cookie.name for cookie in pool.cookies()] == ["given", "sid"]
        async with FetchPool(Config(exchange=exchange)) as pool:
            assert [outcome.ok async for outcome in pool.fetch([server.url("/set")])] == [True]
            assert [outcome.ok async for outcome in pool.fetch([server.url("/none")])] == [True]
    sent = {hit.target: hit.get("cookie") for hit in server.counts.hits}
    assert sent == {
        "/set?to=%2Fx%2Fy": "given=\u00c3\u00bc",  # the bytes of UTF-8
        "/x/y": "sid=1; given=2; old=1",
        "/unset": "given=2; old=1",
        "/z": "given=2",
        "/set": None,
        "/none": None,
    }
    assert [line.split("\t")[-2:] for line in jar.read_text().splitlines()[3:]] == [
        ["given", "2"], ["sid", "1"],
    ]  # fmt: skip


async def test_pool_raises_where_its_cookies_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    pool = FetchPool(Config(save_cookies=tmp_path / "d" / "jar"))
    await pool.__aenter__()
    with CountingServer() as server:
        assert [outcome.ok async for outcome in pool.fetch([server.url("/a")])] == [True]
    (tmp_path / "d").rmdir()
    with pytest.raises(OutputError, match="cannot write --save-cookies"):
        await pool.__aexit__(None, None, None)
