"""Passwords, tokens, certificates and cookies: who gets them, through the real program."""

from __future__ import annotations

import json
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from http.cookiejar import MozillaCookieJar
from pathlib import Path
from urllib.parse import quote

import pytest

from fetchpool.policies.credentials import basic
from fetchpool.scaling.sharing import owner
from tests.harness import run_fetchpool
from tests.program.helpers import eventually, noted, start, write_list
from tests.program.test_secrets import leaks, shown
from tests.servers.counting import CountingServer, Hit
from tests.servers.tls import Authority

HEADING = "# Netscape HTTP Cookie File\n"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def asking(authority: Authority) -> Iterator[CountingServer]:
    """A server that wants a certificate of ours."""
    context = authority.fresh()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    with CountingServer(context=context) as server:
        yield server


def fields_of(server: CountingServer, path: str) -> list[tuple[str | None, str | None]]:
    """Return what requests for *path* said in `Authorization` and `Cookie`."""
    hits = [hit for hit in server.counts.hits if hit.target.partition("?")[0] == path]
    return [(hit.get("authorization"), hit.get("cookie")) for hit in hits]


def two_hosts(port: int) -> tuple[str, str]:
    """Return two hosts of one registrable domain that have two owners if nothing joins them."""
    names = [f"h{number}.shop.localhost" for number in range(20)]
    first = names[0]
    mine = owner(f"{first}:{port}", 2)
    return first, next(name for name in names if owner(f"{name}:{port}", 2) != mine)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_goes_to_whom_it_is_for_and_is_written_nowhere(
    server: CountingServer,
    asking: CountingServer,
    authority: Authority,
    tmp_path: Path,
    workers: str,
) -> None:
    shop, inside = two_hosts(server.port)
    authority.write_roots(tmp_path / "roots.pem")
    leaf = authority.ca.issue_cert("me@example.org")
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "me.pem"))
    leaf.private_key_pem.write_to_path(str(tmp_path / "me.key"))
    secrets = {
        "netrc": f"machine {inside} login me password canary-pw\ndefault login x password canary-x",
        "tokens": f"http://api.localhost:{server.port} canary-token\n",
        "jar": f"{HEADING}.shop.localhost\tTRUE\t/\tFALSE\t0\tgiven\tcanary-given\n"
        + "".join(f"{name}.test\tFALSE\t/\tFALSE\t0\tkept\tcanary\n" for name in "abcd"),
    }
    for name, text in secrets.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "me.key").chmod(0o600)
    server.sets["/login"] = [
        "sid=canary-sid; Domain=shop.localhost; Path=/; HttpOnly; Max-Age=3600",
        "canary-host=1; Path=/",
        "canary-evil=1; Domain=localhost; Path=/",
    ]
    server.sets["/elsewhere"] = ["canary-foreign=1; Domain=shop.localhost; Path=/"]

    def hop(path: str, host: str, to: str) -> str:
        return server.url(f"{path}?to={quote(to, safe='')}", host)

    page = server.url("/page", inside)
    lines = [
        hop("/login", shop, page),
        hop("/elsewhere", "other.localhost", server.url("/from-elsewhere", inside)),
        hop("/to-api", "other.localhost", server.url("/api", "api.localhost")),
        hop("/from-api", "api.localhost", server.url("/landing", "third.localhost")),
        asking.url("/asks"),
        "http://127.0.0.1:1/refused",
    ]
    source = write_list(tmp_path / "urls.txt", lines)
    files = ["--netrc", "netrc", "--bearer-file=tokens", "--cookies", "jar"]
    args = ["get", "urls.txt", "-o", "out", *files, "--save-cookies", "--cert", "me.pem"]
    args += ["--key", "me.key", "--cacert", "roots.pem", "--workers", workers, "--retries", "0"]
    args += ["--log-file", "log", "--metrics-file", "metrics", "--records", "r.csv"]
    result = run_fetchpool(args, cwd=tmp_path)
    assert sorted(r["seq"] for r in result.records if r["ok"]) == [1, 2, 3, 4, 5]
    me, default = basic("me:canary-pw"), basic("x:canary-x")
    token, given = "Bearer canary-token", "given=canary-given"
    assert fields_of(server, "/login") == [(default, given)]
    assert fields_of(server, "/page") == [(me, f"{given}; sid=canary-sid")]
    assert fields_of(server, "/elsewhere") == [(default, None)]
    ((who, cookies),) = fields_of(server, "/from-elsewhere")
    assert (who, cookies and cookies.partition(";")[0]) == (me, given)
    assert fields_of(server, "/to-api") == [(default, None)]
    assert fields_of(server, "/api") == [(token, None)]
    assert fields_of(server, "/from-api") == [(token, None)]
    assert fields_of(server, "/landing") == [(None, None)]
    assert not any("canary-foreign" in (hit.get("cookie") or "") for hit in server.counts.hits)
    # What was kept is in the file, for its owner alone, and others read it.
    jar = tmp_path / "jar"
    assert jar.stat().st_mode & 0o777 == 0o600
    theirs = MozillaCookieJar(jar)
    theirs.load(ignore_expires=True)
    assert {(c.domain, c.name) for c in theirs if "sid" in c.name or c.name == "given"} == {
        (".shop.localhost", "sid"), (".shop.localhost", "given"),
    }  # fmt: skip
    assert f"{shop}\tFALSE\t/\tFALSE\t0\tcanary-host\t1\n" in jar.read_text()
    assert "evil" not in jar.read_text()
    if shutil.which("curl"):
        url = server.url("/curl", inside)
        resolve = f"{inside}:{server.port}:127.0.0.1"
        curl = ["curl", "-s", "--noproxy", "*", "--resolve", resolve, "-b", str(jar), url]
        subprocess.run(curl, check=True, stdout=subprocess.DEVNULL)
        sent = fields_of(server, "/curl")[0][1] or ""
        assert set(sent.split("; ")) == {given, "sid=canary-sid"}
    # The next night goes on with them. Nothing of it all is anywhere else.
    write_list(source, [server.url("/page", inside), server.url("/other", shop)])
    again = run_fetchpool([*args, "--fresh"], cwd=tmp_path)
    assert fields_of(server, "/page")[1] == (me, f"{given}; sid=canary-sid")
    assert fields_of(server, "/other") == [(default, f"{given}; sid=canary-sid; canary-host=1")]
    told = [result, again]
    if workers == "1":
        told.append(run_fetchpool(["config", *files, "--save-cookies"], cwd=tmp_path))
        told.append(run_fetchpool(["get", "urls.txt", *files, "--dry-run"], cwd=tmp_path))
        plan = json.loads(told[-1].stdout.splitlines()[0])
        assert plan["headers"] == ["Authorization", "Cookie"]
    assert jar.read_text().count("\tkept\tcanary\n") == 4  # of processes that had nothing to do
    for each in told:
        assert "canary" not in shown(each)
    assert leaks(tmp_path, *(tmp_path / name for name in secrets)) == []


def test_stopped_run_writes_its_cookies_and_tells_of_files_that_others_can_read(
    server: CountingServer, tmp_path: Path
) -> None:
    server.sets["/first"] = ["sid=1; Path=/"]
    (tmp_path / "jar").write_text(HEADING)
    (tmp_path / "jar").chmod(0o644)
    lines = [server.url("/first"), server.url("/second?until=3"), server.url("/third")]
    source = write_list(tmp_path / "urls.txt", lines)
    args = ["get", str(source), "--per-host", "1", "--cookies", "jar", "--save-cookies"]
    args += ["--log-file", "log"]
    with start(args, cwd=tmp_path) as run:
        eventually(lambda: "/second?until=3" in server.counts.targets(), "the second request")
        run.send_signal(signal.SIGINT)
        eventually(lambda: noted(tmp_path / "log", "stopping"), "the signal was seen")
        server.call(_answer(server))
        status, error = run.ended()
    assert status == 130
    assert "other users of this machine can read jar" in error
    assert "\tsid\t1\n" in (tmp_path / "jar").read_text()
    assert (tmp_path / "jar").stat().st_mode & 0o777 == 0o600
    second: Hit = server.counts.hits[-1]
    assert second.get("cookie") == "sid=1"


def test_cookies_that_can_not_be_written_are_told_of(
    server: CountingServer, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "urls.txt").write_text(server.url("/a?until=2") + "\n")
    args = ["get", "urls.txt", "-o", "out", "--save-cookies", "d/jar"]
    with start(args, cwd=tmp_path) as run:
        eventually(lambda: server.counts.hits, "the request")
        (tmp_path / "d").rmdir()
        server.call(_answer(server))
        status, error = run.ended()
    assert status == 74
    assert "cannot write --save-cookies d/jar: No such file or directory" in error


async def _answer(server: CountingServer) -> None:
    """Let those go on that wait for two answers."""
    server.answered()
    server.answered()
