"""`--robots`, as the program does it: once an origin, before its URLs, over all processes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness import Result, run_fetchpool
from tests.program.helpers import write_list
from tests.servers.counting import CountingServer

ROBOTS = "/robots.txt"

RULES = "User-agent: other\nDisallow: /\n\nUser-agent: *\nDisallow: /no\n"
BIG = f"{RULES}# {'x' * 500 * 1024}\nDisallow: /late\n# {'x' * 200 * 1024}\nDisallow: /too/late\n"

WISHES = {
    "plain": {"text": f"{RULES}Sitemap: http://x.test/\x1b[31mred.xml\nSitemap: /b.xml\n"},
    "named": {"text": f"{RULES}User-agent: MyBot\nDisallow: /mine\n"},
    "none": {"status": "404"},
    "busy": {"status": "429"},
    "broken": {"status": "503"},
    "silent": {"hangup": "1"},
    "moved": {"to": "/1"},
    "circle": {"to": ROBOTS},
    "big": {"text": BIG},
    "slow": {"text": f"{RULES}Crawl-delay: 0.2\n"},
}
"""How the robots.txt of a host of this name wants to be answered."""

ADDRESSES = {name: f"127.0.3.{number}" for number, name in enumerate(WISHES, 1)}

CASES = {
    "plain/yes": None,
    "plain/no": "blocked robots.txt: Disallow: /no",
    "plain/robots.txt": None,
    "named/no": None,
    "named/mine": "blocked robots.txt: Disallow: /mine",
    "none/no": None,
    "busy/yes": "blocked robots.txt can't be had: HTTP status 429",
    "broken/yes": "blocked robots.txt can't be had: HTTP status 503",
    "silent/yes": "connect robots.txt: ",
    "moved/no": "blocked robots.txt: Disallow: /no",
    "circle/no": None,
    "big/late": "blocked robots.txt: Disallow: /late",
    "big/too/late": None,
    "slow/1": None,
    "slow/2": None,
    "slow/3": None,
}
"""What becomes of each URL: None = it is fetched."""


def set_up(server: CountingServer) -> list[str]:
    """Have *server* answer as `WISHES` say; return the URLs of the cases, and hops to two."""
    for name, wishes in WISHES.items():
        server.wishes[server.host(ADDRESSES[name]) + ROBOTS] = wishes
    moved = server.host(ADDRESSES["moved"])
    for hop in range(1, 6):  # the fifth leads to the text
        server.wishes[f"{moved}/{hop}"] = {"to": f"/{hop + 1}"}
    server.wishes[f"{moved}/5"] = {"text": RULES}
    ends = [quote(url_of(server, case), safe="") for case in ("plain/no", "plain/yes")]
    hops = [url_of(server, f"none/hop?to={end}") for end in ends]
    return [*(url_of(server, case) for case in CASES), *hops]


def url_of(server: CountingServer, case: str) -> str:
    name, _, path = case.partition("/")
    return server.url(f"/{path}", ADDRESSES[name])


def run(tmp_path: Path, *options: str) -> Result:
    args = ["get", "urls.txt", "-o", "out", "--robots", "--retries", "0", "--log-file", "log"]
    return run_fetchpool([*args, "-A", "mybot/1.0 (+http://x.test)", *options], cwd=tmp_path)


def asked(server: CountingServer, since: int = 0) -> Counter[str]:
    """Return how often each host was asked for its robots.txt, from hit number *since* on."""
    names = {server.host(address): name for name, address in ADDRESSES.items()}
    return Counter(names[hit.host] for hit in server.counts.hits[since:] if hit.target == ROBOTS)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_robots_txt_is_asked_for_once_an_origin_and_obeyed(tmp_path: Path, workers: str) -> None:
    with CountingServer([*ADDRESSES.values()]) as server:
        urls = set_up(server)
        write_list(tmp_path / "urls.txt", urls)
        # Without a limit for a host its URLs are not split among processes all the same.
        result = run(tmp_path, "--workers", workers, "--per-host", "0", "--max-redirects", "2")
        assert result.returncode == 1, result.stderr
        for case, failure in CASES.items():
            record = result.of(url_of(server, case))
            said = f"{record['error']} {record['detail']}"
            assert record["ok"] if failure is None else said.startswith(failure), (case, record)
            assert record["attempts"] == (failure is None)
        refused, followed = (result.of(url) for url in urls[-2:])
        assert (refused["error"], refused["redirects"]) == ("blocked", 1)
        assert refused["detail"] == "robots.txt: Disallow: /no"
        assert followed["ok"]

        seen = asked(server)
        # A line of the list asks for it, too; a redirect in a circle is followed five times.
        assert (seen.pop("plain"), seen.pop("circle")) == (2, 6)
        assert set(seen.values()) == {1}, seen
        assert set(seen) == set(WISHES) - {"plain", "circle"}
        for hit in server.counts.hits:
            if hit.target == ROBOTS:
                assert hit.get("user-agent") == "mybot/1.0 (+http://x.test)"
        slow = [hit.at for hit in server.counts.hits if hit.host == server.host(ADDRESSES["slow"])]
        assert len(slow) == 4
        assert slow[-1] - slow[0] >= 2 * 0.2
        log = (tmp_path / "log").read_text()
        assert "says=rules crawl_delay=0.2 kept=0.2" in log
        assert 'says="refuses all: HTTP status 503"' in log
        for text in (log, result.stderr):
            assert "\x1b" not in text
            assert "red.xml" in text
            assert "/b.xml" in text
        assert "crawl delay 200 ms at 1 host" in result.stderr

        if workers == "2":
            return
        # The next run knows what could be had, and asks once more for the rest.
        since = len(server.counts.hits)
        run(tmp_path, "--workers", workers, "--max-redirects", "2")
        seen = asked(server, since)
        assert seen == Counter({"plain": 1, "busy": 1, "broken": 1, "silent": 1})

        # After a day nothing is known any more.
        with closing(sqlite3.connect(tmp_path / "out/.fetchpool/robots.sqlite")) as database:
            database.execute("UPDATE robots SET expires = expires - 86400")
            database.commit()
        since = len(server.counts.hits)
        run(tmp_path, "--workers", workers, "--max-redirects", "2")
        assert set(asked(server, since)) == set(WISHES)
