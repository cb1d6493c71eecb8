"""The program through proxies that others wrote: tinyproxy for HTTP, microsocks for SOCKS5."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import run_fetchpool
from tests.servers.counting import CountingServer
from tests.servers.real_proxies import microsocks, tinyproxy
from tests.servers.tls import Authority

USER, CANARY = "me", "canary-4711"


@contextmanager
def running(kind: str, directory: Path) -> Iterator[str]:
    """Run the proxy that *kind* needs; yield its `HOST:PORT`."""
    if kind != "http":
        pytest.importorskip("python_socks")
    proxies = tinyproxy(directory, USER, CANARY) if kind == "http" else microsocks(USER, CANARY)
    with proxies as place:
        yield place


@pytest.mark.parametrize("kind", ["http", "socks5h"])
def test_all_kinds_of_url_go_through_it_and_its_password_stays_unwritten(
    tmp_path: Path, kind: str
) -> None:
    (tmp_path / "proxy").mkdir()
    secure = CountingServer(context=Authority().contexts["good"])
    with CountingServer() as plain, secure, running(kind, tmp_path / "proxy") as place:
        bases = [plain.url("", "localhost"), secure.url("", "localhost").replace("http:", "https:")]
        urls = [f"{base}/{n}?size=5000" for base in bases for n in range(20)]
        refused = "http://127.0.0.1:1/"
        (tmp_path / "list").write_text("\n".join([*urls, refused]) + "\n")
        args = ["get", "list", "-o", "out", "--insecure", "--retries", "0", "--log-file", "log"]
        right, wrong = (f"{kind}://{USER}:{CANARY}{more}@{place}" for more in ("", "x"))
        result = run_fetchpool([*args, "-4", "--proxy", right], cwd=tmp_path)
        again = [*args, "--fresh", "--outage-patience", "0.5", "--proxy", wrong]
        turned_away = run_fetchpool(again, cwd=tmp_path)
    assert [result.of(url)["ok"] for url in urls] == [True] * len(urls), result.stderr
    assert len(plain.counts.hits) == len(secure.counts.hits) == 20
    lost = result.of(refused)
    assert (lost["ok"], lost["error"]) == (False, "status" if kind == "http" else "connect")
    if kind != "http":  # tinyproxy says 401 to a wrong password, as a server does
        assert turned_away.returncode == 75
        assert "the proxy wants other credentials" in turned_away.stderr
    written = [
        path for path in (tmp_path).rglob("*") if path.is_file() and "proxy" not in str(path)
    ]
    said = "".join(each.stdout + each.stderr for each in (result, turned_away))
    assert CANARY not in said
    assert [path for path in written if CANARY.encode() in path.read_bytes()] == []
