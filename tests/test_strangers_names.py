"""Whatever a URL or a header is called: what is written lies below DEST, in files of its own.

watched/
  dest/        the run's; here alone something may change
  beside/      what a name that escapes, or a planted symlink, would hit
  cwd/         where the program runs, its HOME in it
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fetchpool.model.urls import parse_url
from fetchpool.output.names import body_path
from tests.harness import Result, check_bodies, run_fetchpool
from tests.servers.thread import ThreadedServer

PATHS = (
    "/", "/.", "/..", "/%2e%2e", "/../../../escaped", "/%2e%2e/%2e%2e/escaped",
    "/..%2f..%2fescaped",
    "/..%5c..%5cescaped", "/..\\..\\escaped", "/....//....//escaped", "/%c0%ae%c0%ae/escaped",
    "/%252e%252e/escaped", "/a/..%00/escaped", "//etc/passwd", "/etc/passwd", "/C:/escaped",
    "/C:%5cescaped", "/%00", "/a%00.html", "/a%00/../b", "/~root/.ssh/authorized_keys", "/~",
    "/-rf",
    "/--help", "/CON", "/con.", "/aux.txt", "/COM1.html", "/nul/x.html", "/lpt%C2%B9", "/trailing.",
    "/trailing..", "/trailing.txt.", "/trailing%20", "/%20leading", "/.hidden", "/.git/config",
    "/.bashrc", "/.fetchpool", "/.fetchpool/lock", "/.fetchpool/state.json", "/results.jsonl",
    "/results.jsonl/x", "/a", "/a/", "/a/b", "/a/b/c.html", "/A", "/a%2fb", "/a.html", "/a.html/b",
    "/index.html", "/INDEX.html", "/\u00c5", "/A%CC%8A", "/%E2%84%AB", "/\ufb01le.txt", "/file.txt",
    "/%E2%80%AEgpj.exe", "/%1b%5b2J", "/%0d%0aX:%20y", "/$(touch%20escaped)", "/`touch%20escaped`",
    "/;touch%20escaped", "/|x", "/*", "/<>", "/%22", "/'", "/%ff%fe", "/x:stream", "/x::$DATA",
    "/?", "/?../../escaped", "/?a=/etc/passwd", "/a?b", "/a%3fb", "/" + "x" * 300, "/" + "x" * 301,
    "/" + "\u00e9" * 200 + ".html", "/" + "%F0%9F%92%A9" * 80, "/d" * 150, "/d" * 151,
    "/" + ("y" * 200 + "/") * 20 + "z.html",
)  # fmt: skip
HOSTS = (
    "results.jsonl", "RESULTS.JSONL", "results.jsonl.", ".fetchpool", "fetchpool", "..", "con",
    "aux.txt", "nul.", "-rf", "--help", "a_b.test", "~root", "`x`.test", "$(x)", "'x'", "a;b",
    "example.test", "example.test+80", "example.test+443s", "x" * 63 + ".test", "[::1]",
    "127.0.0.1",
    "xn--9ca.test", "\u00c9.test", "10.0.0.1", "a.", "*.test", "c:80", "%2e%2e", "%2fescaped",
)  # fmt: skip
DISPOSITIONS = (
    b"attachment", b'attachment; filename="../../escaped"', b"attachment; filename=/etc/escaped",
    b'attachment; filename="/tmp/escaped"', b'attachment; filename="..\\..\\escaped"',
    b'attachment; filename="C:\\escaped.exe"', b'attachment; filename=".."',
    b'inline; filename="."',
    b'attachment; filename=""', b'attachment; filename="/"', b'attachment; filename="escaped/"',
    b"attachment; filename*=UTF-8''..%2f..%2fescaped",
    b"attachment; filename*=UTF-8''%2Ftmp%2Fescaped%00.txt",
    b"attachment; filename*=utf-16''%ff%fe",
    b"attachment; filename*=bogus'x'%zz", b"attachment; filename*0=../; filename*1=../escaped",
    b"attachment; filename*0*=''%2e%2e%2f; filename*9=x", b'attachment; filename="CON"',
    b'attachment; filename="nul.txt"', b'attachment; filename="results.jsonl"',
    b'attachment; filename=".fetchpool"', b'attachment; filename="~/.bashrc"',
    b'attachment; filename="-rf"', b'attachment; filename="trailing. "', b'attachment; filename="',
    b'attachment; filename="a"; filename="../escaped"', b"attachment; filename=a b c",
    b'attachment; filename="\x1b[2Jx.txt"', b'attachment; filename="\xe2\x80\xaegpj.exe"',
    b'attachment; filename="\xff\xfe.txt"', b'attachment; filename="' + b"x" * 5000 + b'.txt"',
    b'attachment; filename="' + b"../" * 3000 + b'escaped"', b"attachment; " + b"a=b; " * 3000,
    b"attachment; filename=x.txt; filename*=UTF-8''na%C3%AFve.pdf",
    b'attachment; filename="\xe4\xb8\xad.tar.gz"',
    b"=?utf-8?q?attachment?=; filename=\"=?utf-8?q?..=2Fescaped?=\"", b";;;filename===x", b"\xff",
)  # fmt: skip
"""Values of Content-Disposition; the n-th comes with `/disposition/n`."""


class Anything(ThreadedServer):
    """Answers every request, also as a proxy for any host, with the request's target."""

    url: str
    asked: list[bytes]
    """Targets, in the order of their requests."""

    async def _open(self) -> None:
        self.asked = []
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
                self.asked.append(target)
                head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(target)
                if found := re.search(rb"/disposition/([0-9]+)\Z", target):
                    head += b"Content-Disposition: %s\r\n" % DISPOSITIONS[int(found[1])]
                writer.write(head + b"\r\n" + target)
        except (OSError, asyncio.IncompleteReadError):
            return  # the program has what it wants
        finally:
            writer.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Anything]:
    with Anything() as anything:
        yield anything


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    for directory in ("beside/deep", "cwd/home", "dest"):
        (tmp_path / directory).mkdir(parents=True)
    for victim in ("victim", "beside/victim", "beside/deep/victim", "cwd/victim"):
        (tmp_path / victim).write_text("not yours")
    return tmp_path


Entry = tuple[int, int, int, int, int, bytes]


def everything_but_dest(watched: Path) -> dict[str, Entry]:
    """Return what lies beside DEST: a file made, changed, replaced or deleted shows."""
    found = {}
    for folder, directories, files in os.walk(watched):
        if folder == str(watched):
            directories.remove("dest")
        for name in [".", *directories, *files]:
            path = os.path.join(folder, name)
            is_file = stat.S_ISREG((info := os.lstat(path)).st_mode)
            content = Path(path).read_bytes() if is_file else b""
            found[path] = (info.st_mode, info.st_ino, info.st_size, info.st_mtime_ns,
                           info.st_nlink, content)  # fmt: skip
    return found


def fetch(watched: Path, urls: Sequence[str], *options: str) -> Result:
    """Fetch *urls* into DEST; nothing beside it must have changed."""
    (watched / "cwd" / "list.txt").write_text("".join(f"{url}\n" for url in urls))
    before = everything_but_dest(watched)
    args = ["get", "list.txt", "-o", str(watched / "dest"), *options]
    result = run_fetchpool(args, cwd=watched / "cwd")
    assert everything_but_dest(watched) == before, result.stderr
    return result


def check_dest(watched: Path, result: Result) -> None:
    """Assert that DEST holds plain files and directories only: those the records speak of."""
    dest = watched / "dest"
    check_bodies(result.records, dest)
    hosts = {record["path"].partition("/")[0] for record in result.records if record["path"]}
    assert set(os.listdir(dest)) == {".fetchpool", "results.jsonl"} | hosts
    for path in dest.rglob("*"):
        info = path.lstat()
        assert stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode), path
        assert stat.S_ISDIR(info.st_mode) or info.st_nlink == 1, path
    # One URL, one file: also where case and Unicode form don't count.
    files = {
        unicodedata.normalize("NFKC", record["path"]).casefold(): record["final_url"]
        for record in result.records
        if record["path"]
    }
    assert set(files.values()) == {r["final_url"] for r in result.records if r["path"]}
    for record in result.records:
        if record["path"]:
            # Not the `?` of an empty query, which aiohttp's URLs lose.
            target = (dest / record["path"]).read_text().rstrip("?")
            assert record["final_url"].rstrip("?").endswith(target), record


@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_no_url_and_no_header_leads_out_of_dest(
    watched: Path, server: Anything, exchange: str
) -> None:
    urls = [f"{server.url}{path}" for path in PATHS]
    urls += [f"{server.url}/disposition/{number}" for number in range(len(DISPOSITIONS))]
    result = fetch(watched, urls, "--content-disposition", "--exchange", exchange)
    assert [record for record in result.records if not record["ok"]] == []
    assert len(result.records) == len(urls)
    check_dest(watched, result)


def test_no_host_leads_out_of_dest(watched: Path, server: Anything) -> None:
    urls = [f"http://{host}{path}" for host in HOSTS for path in ("/", "/../escaped", "/a.html")]
    result = fetch(watched, urls, "--proxy", server.url)
    assert {record["error"] for record in result.records} == {None, "input"}
    assert len(result.records) == len(urls)
    assert {"results.jsonl", "con", "example.test+80"} <= {
        parse_url(record["url"]).host for record in result.records if record["ok"]
    }
    check_dest(watched, result)


@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_suggested_names_are_read_as_their_servers_mean_them(
    watched: Path, server: Anything, exchange: str
) -> None:
    wanted = {
        b"attachment; filename=x.txt; filename*=UTF-8''na%C3%AFve.pdf": "naïve~#.pdf",
        b'attachment; filename="\xe2\x80\xaegpj.exe"': "_gpj~#.exe",
        b'attachment; filename="\xe4\xb8\xad.tar.gz"': "中~#.tar.gz",
    }
    numbers = {DISPOSITIONS.index(value): name for value, name in wanted.items()}
    urls = [f"{server.url}/disposition/{number}" for number in numbers]
    result = fetch(watched, urls, "--content-disposition", "--exchange", exchange)
    check_dest(watched, result)
    for number, name in numbers.items():
        path = result.of(f"{server.url}/disposition/{number}")["path"]
        assert re.sub("~[0-9a-f]{16}", "~#", path.rpartition("/")[2]) == name


RENAMED = {
    "/E_1.fastq.gz?x": "8f+/E_1.fastq~8f63ab0fd0a8d1f1.gz",
    "//x.html": "_~e4a6a0577479b2b4/x.html",
    "/?id=cat": "33+/index~33ab0fd0a8d1f163.bin",
    "/a.html": "a.html",
}
"""What versions before called files of these URLs, but for the digits."""


@pytest.mark.parametrize("option", ["--once", "--retry-failed"])
def test_bodies_with_the_names_of_an_earlier_version_are_kept(
    watched: Path, server: Anything, option: str
) -> None:
    """Nothing is fetched again, nor moved, because its name would be another today."""
    urls = [f"{server.url}{path}" for path in RENAMED]
    dest = watched / "dest"
    records = fetch(watched, urls).records
    for record, (path, name) in zip(
        sorted(records, key=lambda record: record["seq"]), RENAMED.items(), strict=True
    ):
        old = f"{record['path'].partition('/')[0]}/{name}"
        (dest / old).parent.mkdir(exist_ok=True)
        (dest / record["path"]).rename(dest / old)
        record["path"] = old
        assert record["url"].endswith(path)
    lines = [json.dumps(record, separators=(",", ":")) + "\n" for record in records]
    (dest / "results.jsonl").write_text("".join(lines))
    server.asked.clear()
    result = fetch(watched, [*urls, f"{server.url}/new.html", urls[0]], option)
    assert [(r["url"], r["path"]) for r in result.records[:4]] == [
        (r["url"], r["path"]) for r in records
    ]
    assert sorted(server.asked) == [b"/E_1.fastq.gz?x", b"/new.html"], "the two without a record"
    check_bodies(result.records, dest)


def test_planted_symlinks_are_not_followed(watched: Path, server: Anything) -> None:
    """A link in place of each directory and file on the way of a URL, in turn."""
    dest, beside = watched / "dest", watched / "beside"
    leads = [beside, beside / "deep", beside / "victim", beside / "new", Path("../../beside")]
    urls: list[str] = []
    planted: list[Path] = []
    path = body_path(parse_url("http://h0.test/one/two/page.html"))
    for depth in range(path.count("/") + 1):
        for lead in leads:
            url = f"http://h{len(urls)}.test/one/two/page.html"
            parts = body_path(parse_url(url)).split("/")
            link = dest.joinpath(*parts[: depth + 1])
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(lead)
            urls.append(url)
            planted.append(link)
    result = fetch(watched, urls, "--proxy", server.url)
    assert all(record["ok"] for record in result.records), result.records
    for record in result.records:
        place = dest
        for part in record["path"].split("/"):
            place /= part
            assert not place.is_symlink(), record
        assert place.read_text() == record["url"]
    assert all(link.is_symlink() for link in planted)


@pytest.fixture(scope="module")
def finished(server: Anything, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DEST of a run that has ended."""
    cwd = tmp_path_factory.mktemp("finished")
    (cwd / "cwd").mkdir()
    (cwd / "cwd" / "list.txt").write_text(f"{server.url}/a.html\n")
    run_fetchpool(["get", "cwd/list.txt", "-o", "dest"], cwd=cwd)
    return cwd / "dest"


@pytest.mark.parametrize(
    "name",
    [".fetchpool", ".fetchpool/parts", ".fetchpool/lock", ".fetchpool/state.json", "results.jsonl"],
)
def test_symlink_in_place_of_the_runs_own_is_not_followed(
    watched: Path, server: Anything, finished: Path, name: str
) -> None:
    shutil.copytree(finished, watched / "dest", dirs_exist_ok=True)
    place = watched / "dest" / name
    lead = "deep" if place.is_dir() else "victim"
    if place.exists():
        place.rename(watched / "dest" / "moved")
    place.symlink_to(watched / "beside" / lead)
    # Refused or replaced: `fetch` looks at what the link leads to.
    assert fetch(watched, [f"{server.url}/a.html"]).returncode in {0, 73}
