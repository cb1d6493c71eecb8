"""What a server does comes to the same through a proxy: a sample of all hostile cases, both ways.

Plain http goes through a proxy whose connections serve any origin, https through its tunnels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness import Record, raise_descriptor_limit, run_fetchpool
from tests.servers.cases import CASES, redirects
from tests.servers.fault import TOKEN, Case, FaultServer, Options, token_of
from tests.servers.proxy import KeepingProxy
from tests.servers.tls import Authority

_EACH = 6
"""Every sixth case is taken."""

_OPTIONS = [
    "--retries", "0", "--limit", "1000", "--per-host", "1", "--max-size", "1M",
    "--connect-timeout", "3", "--read-timeout", "1.5", "--timeout", "4",
]  # fmt: skip
_WAYS = [("direct", "uvloop"), ("direct", "asyncio"), ("session", "uvloop")]


def _in_tunnel(case: Case) -> Case:
    return replace(case, name=f"{case.name}.tunnel", scheme="https", tls=case.tls or "good")


_SAMPLE = [case for case in CASES if case.options is not Options.SPACED][::_EACH]
PLAIN = [case for case in _SAMPLE if case.scheme == "http"]
SECURE = [case for case in _SAMPLE if case.scheme == "https"]
# Redirects lead to plain http, which from https is another case.
TUNNELLED = [_in_tunnel(case) for case in PLAIN if case not in redirects.CASES]
TAKEN = [*PLAIN, *SECURE, *TUNNELLED]


@pytest.mark.parametrize(("exchange", "loop"), _WAYS)
def test_answers_through_a_proxy_come_to_what_they_come_to_without(
    tmp_path: Path, exchange: str, loop: str
) -> None:
    raise_descriptor_limit()
    authority = Authority()
    roots = authority.write_roots(tmp_path / "roots.pem")
    with FaultServer(TAKEN, authority) as server, KeepingProxy() as proxy:
        urls = [url for case in TAKEN for url in server.urls(case)]
        (tmp_path / "list.txt").write_text("\n".join(urls) + "\n")
        ways = ["--exchange", exchange, "--event-loop", loop, "--proxy", proxy.url]
        args = ["get", "list.txt", "-o", "out", "--cacert", str(roots), *ways, *_OPTIONS]
        result = run_fetchpool(args, cwd=tmp_path, timeout=60)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert {"GET", "CONNECT"} <= {asked.method for asked in proxy.asked}
    assert sorted(record["url"] for record in result.records) == sorted(urls)
    wrong = {
        case.name: record
        for case in TAKEN
        for record in (result.of(url) for url in server.urls(case))
        if not _is_right(case, record, server, tmp_path / "out")
    }
    assert wrong == {}


def _is_right(case: Case, record: Record, server: FaultServer, dest: Path) -> bool:
    expect = case.expect
    if record["error"] not in expect.errors:
        return False
    if expect.statuses and record["status"] not in expect.statuses:
        return False
    if record["error"] is not None:
        return record["path"] is None and bool(record["detail"])
    if expect.body is None:
        return True
    own = record["url"].removeprefix(server.origin(case)).encode()
    wanted = expect.body.replace(TOKEN, token_of(case.name)).replace(b"{target}", own)
    return bool((dest / record["path"]).read_bytes() == wanted)
