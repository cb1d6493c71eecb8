"""What is left of the address policy where a proxy connects: no more than docs/security.md says."""

from __future__ import annotations

from base64 import b64decode
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


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_credentials_are_sent_as_the_bytes_their_escapes_stand_for(
    tmp_path: Path, server: CountingServer, proxy: RecordingProxy, scheme: str
) -> None:
    """As curl sends them: a name in UTF-8, bytes that are none, and signs of a URL."""
    with_credentials = proxy.url.replace("://", "://%C3%BCser:p%23%ff%3A%40@")
    url = server.url("/").replace("http:", f"{scheme}:")
    args = ["get", url, "-o", "out", "--retries", "0", "--proxy", with_credentials]
    run_fetchpool(args, cwd=tmp_path)
    sent = proxy.asked[0].get("proxy-authorization")
    assert sent is not None
    kind, _, text = sent.partition(" ")
    assert (kind, b64decode(text)) == ("Basic", b"\xc3\xbcser:p#\xff:@")


def test_a_bad_proxy_of_the_environment_ends_the_run_before_anything(
    tmp_path: Path, server: CountingServer
) -> None:
    args = ["get", server.url("/"), "-o", "out"]
    result = run_fetchpool(args, cwd=tmp_path, env={"http_proxy": "socks4://u:hush@h:1"})
    assert result.returncode == 2
    assert "http_proxy takes http://HOST:PORT" in result.stderr
    assert "hush" not in result.stderr
    assert not (tmp_path / "out").exists()
    assert not server.counts.hits
