"""Hosts with settings of their own, through the real program: each is asked as its table says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from fetchpool.config.host_rules import number_of
from tests.harness import run_fetchpool
from tests.program.helpers import check_records, write_list
from tests.program.test_secrets import leaks, shown
from tests.servers.echo import EchoServer
from tests.servers.proxy import RecordingProxy

A, B, C, D, E = (f"127.0.0.{number}" for number in range(1, 6))


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer((A, B, C, D, E)) as server:
        yield server


RULES = """
retries = 1
header = ["X-Run: 1"]
[host."{A}"]
per-host = 1
retries = 0
user = "me:canary"
header = {{ X-A = "canary" }}
[host."{B}:{port}"]
user-agent = "for b"
retry-on = [404]
retry-delay = 0
[host."{C}"]
proxy = "{proxy}"
[host."{D}"]
read-timeout = 0.2
retries = 0
"""


@pytest.mark.parametrize(("way", "workers"), [("direct", "2"), ("session", "1")])
def test_each_host_is_asked_as_its_table_says(
    echo: EchoServer, tmp_path: Path, way: str, workers: str
) -> None:
    with RecordingProxy() as proxy:
        rules = tmp_path / "rules.toml"
        text = RULES.format(A=A, B=B, C=C, D=D, port=echo.port, proxy=proxy.url)
        rules.write_text(text, encoding="utf-8")
        urls = {
            "to b": echo.url(f"/1?to={quote(echo.url('/b', B), safe='')}", A),
            "to a": echo.url(f"/2?to={quote(echo.url('/a', A), safe='')}", B),
            "once": echo.url("/3?status=500&first=1", A),
            "again": echo.url("/4?status=404&first=1", B),
            "proxied": echo.url("/5", C),
            "as the run says": echo.url("/7?status=409&first=1", E),
            "silent": echo.url("/6?until=999", D),
            **{f"more {n}": echo.url(f"/more{n}", A) for n in range(4)},
        }
        write_list(tmp_path / "urls.txt", list(urls.values()))
        args = ["get", "urls.txt", "-o", "out", "--config", "rules.toml", "--keep-errors"]
        args += [
            "--retry-on",
            "404,409",
            "--retry-delay",
            "0",
            "--exchange",
            way,
            "--workers",
            workers,
            "--log-file",
            "log",
        ]
        result = run_fetchpool(args, cwd=tmp_path)
        asked = [each.target for each in proxy.asked if each.target != "*"]  # a look at it

    assert result.returncode == 1, result.stderr
    check_records(tmp_path / "out", list(urls.values()))
    records = {name: result.of(url) for name, url in urls.items()}
    told = {each.target.partition("?")[0]: each for each in echo.told}
    mine = {"x-a", "authorization", "x-run"}
    sent = {path: mine & set(each.headers) for path, each in told.items()}
    assert sent["/1"] == mine
    assert (sent["/b"], told["/b"].headers["user-agent"]) == (set(), "for b")
    assert (sent["/2"], told["/2"].headers["user-agent"]) == ({"x-run"}, "for b")
    assert sent["/a"] == {"x-a", "authorization"}
    assert told["/a"].headers["user-agent"].startswith("fetchpool/")

    assert (records["once"]["status"], records["once"]["attempts"]) == (500, 1)
    assert (records["again"]["status"], records["again"]["attempts"]) == (200, 2)
    assert (tmp_path / "out" / records["again"]["path"]).read_bytes() == b"GET\n"
    said = records["as the run says"]
    assert (said["status"], said["attempts"]) == (200, 2)
    assert asked == [urls["proxied"]]
    assert (records["silent"]["error"], records["silent"]["attempts"]) == ("timeout", 1)
    assert "no answer for 0.2 s" in records["silent"]["detail"]
    at_a = {each.connection for each in echo.told if each.headers["host"] == f"{A}:{echo.port}"}
    assert len(at_a) == 1, "one at a time, over one connection"
    assert leaks(tmp_path, rules) == []
    assert "canary" not in shown(result)


def test_each_host_gets_its_line_of_the_files(echo: EchoServer, tmp_path: Path) -> None:
    hosts = (A, B, C, D)
    write_list(tmp_path / "agents", [f"agent/{n}" for n in range(5)])
    sets = [f'{{"Accept-Language": "l{n}", "X-Key": "canary{n}"}}' for n in range(5)]
    source = write_list(tmp_path / "sets", sets)
    urls = [echo.url(f"/{n}", host) for n in range(3) for host in hosts]
    urls.append(echo.url(f"/hop?to={quote(echo.url('/there', B), safe='')}", A))
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "out", "-A", "@agents", "-H", "@sets", "--workers", "2"]
    result = run_fetchpool([*args, "--log-file", "log"], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(echo.told) == len(urls) + 1
    for each in echo.told:
        line = number_of(each.headers["host"]) % 5
        assert each.headers["user-agent"] == f"agent/{line}"
        assert each.headers["accept-language"] == f"l{line}"
        key = None if each.target == "/there" else f"canary{line}"
        assert each.headers.get("x-key") == key
    config = run_fetchpool(["config", *args[4:8], "--host", f"{A}:{echo.port}"], cwd=tmp_path)
    assert f"agent/{number_of(f'{A}:{echo.port}') % 5} " in config.stdout
    assert leaks(tmp_path, source) == []
    assert "canary" not in shown(result) + shown(config)
