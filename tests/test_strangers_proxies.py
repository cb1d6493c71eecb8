"""What is left of the address policy where a proxy connects: no more than docs/security.md says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness import run_fetchpool
from tests.servers.counting import CountingServer
from tests.servers.proxy import RecordingProxy


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with CountingServer() as counting:
        yield counting


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    with RecordingProxy() as recording:
        yield recording


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_public_only_is_refused_beside_a_proxy_of_the_environment(
    tmp_path: Path, server: CountingServer, proxy: RecordingProxy, variable: str
) -> None:
    args = ["get", server.url("/", "localhost"), "-o", "out", "--public-only"]
    result = run_fetchpool(args, cwd=tmp_path, env={variable: proxy.url})
    assert result.returncode == 2
    assert "Add --proxy ''" in result.stderr
    assert not (tmp_path / "out").exists()
    assert not proxy.asked


@pytest.mark.parametrize(
    ("options", "env"), [(["--proxy", ""], {}), ([], {"NO_PROXY": "*"})], ids=["option", "NO_PROXY"]
)
def test_public_only_goes_without_the_environments_proxy_when_told_to(
    tmp_path: Path,
    server: CountingServer,
    proxy: RecordingProxy,
    options: list[str],
    env: dict[str, str],
) -> None:
    url = server.url("/")
    args = ["get", url, "-o", "out", "--public-only", *options]
    result = run_fetchpool(args, cwd=tmp_path, env={"HTTP_PROXY": proxy.url, **env})
    assert result.of(url)["error"] == "blocked"
    assert not proxy.asked


def test_behind_a_proxy_nobody_knows_whether_a_page_is_public(
    tmp_path: Path, server: CountingServer, proxy: RecordingProxy
) -> None:
    url = server.url(f"/?to={quote(server.url('/landed'), safe='')}", "localhost")
    result = run_fetchpool(["get", url, "-o", "out", "--proxy", proxy.url], cwd=tmp_path)
    assert result.of(url)["ok"]
