"""Whatever a list, a redirect or a name server says: the program never dials what it must not.

    a network namespace from which nothing leads out, and in which every address there is, is local
      ├─ sentinel      on all addresses: must never see a connection
      ├─ site          on all addresses, another port: what may be fetched, and the redirects
      ├─ witness       on all addresses: what the sentinel would see if there were no policy
      └─ name server

Each way to exchange, on each loop, is one run with `--public-only` and one without.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness import (
    Record,
    Result,
    run_fetchpool,
    why_no_network_namespace,
    why_no_resolver,
    with_resolver,
)
from tests.servers.counting import CountingServer
from tests.servers.dns import Name, NameServer
from tests.servers.thread import ThreadedServer

PUBLIC, ALSO_PUBLIC = "8.8.8.8", "2606:4700:4700::1111"
"""Local ones here: no packet leaves the namespace."""
PRIVATE = "10.9.9.9"

PLAIN = (
    "127.0.0.1", "127.255.255.254", "0.0.0.1", "[::1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[2002:a00:1::808:808]", "[2001:0:7f00:1::f7f7:f7f7]",
    "[2001:0:808:808::80ff:fffe]", "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.0.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.254", "198.51.100.1", "203.0.113.1",
    "240.0.0.1", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[100::1]", "[2001:20::1]",
    "[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[4000::1]",
)  # fmt: skip
"""Hosts that are written as the address at which the connection arrives."""

SPELT = {
    "127.0.0.1": (
        "127.0.0.1.", "2130706433", "017700000001", "0x7f000001", "0X7F.0x0.0.0x1", "0177.0.0.1",
        "0000000177.1", "0x7f.1", "127.1", "127.0.1", "127.0.0.0x01", "%31%32%37.0.0.1",
        "127%2e0%2E0%2e1", "%ef%bc%91%ef%bc%92%ef%bc%97.0.0.1",
        "\uff11\uff12\uff17.\uff10.\uff10.\uff11", "127\u30020\uff0e0\uff611",
        "\u2460\u2461\u2466.\u24ea.0.1", "12\xad7.0.0.1", "8.8.8.8@127.0.0.1",
        "8.8.8.8:80@127.0.0.1", "8.8.8.8%40127.0.0.1@127.0.0.1", "0", "0x", "0.0.0.0",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost", "LOCALHOST.", "\uff4cocalhost",
        "inner.localhost",
    ),
    "::1": ("[0:0:0:0:0:0:0:1]", "[0000::0.0.0.1]", "[::]"),
    "10.0.0.1": ("[::FFFF:10.0.0.1]", "10.1", "167772161", "012.0.0.1"),
    "169.254.169.254": (
        "[::ffff:a9fe:a9fe]", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518",
    ),
    "::ffff:0:7f00:1": ("[::ffff:0:127.0.0.1]",),
    "64:ff9b::a00:1": ("[64:ff9b::10.0.0.1]",),
    "64:ff9b:1::a00:1": ("[64:ff9b:1::10.0.0.1]",),
    "2606:4700::5efe:7f00:1": ("[2606:4700::5efe:127.0.0.1]",),
    "172.31.255.254": ("0xac.31.65534",),
}  # fmt: skip
"""Addresses, and how else they may be written."""

SPELLINGS = {text: text.strip("[]") for text in PLAIN} | {
    text: address for address, texts in SPELT.items() for text in texts
}

NEVER_DIALLED = (
    "224.0.0.1", "239.255.255.250", "255.255.255.255", "4294967295.",
    "[fe80::1]", "[fe80::7f00:1]", "[ff02::1]", "[ff0e::1]",
)  # fmt: skip
"""The system itself connects to none of these (multicast, broadcast, a link without its name)."""

NO_HOSTS = (
    "[::1%25lo]", "[::1%lo]", "[fe80::1%25lo]", "127.0.0.1%00", "127.0.0.1%00.example.org",
    "[127.0.0.1]", "[::1", "::1", "256.0.0.1", "127.0.0.0.1", "0x1ffffffff",
    "127..1", "08.0.0.1", "127.0.0.1%20", "\u2460.\u24df.0",
)  # fmt: skip
"""What no reader of URLs may take for an address."""


def _is_literal(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


ADDRESSES = {
    spelling.strip("[]"): seen
    for spelling, seen in SPELLINGS.items()
    if _is_literal(spelling.strip("[]"))
}
"""What a name server may answer, and the address at which the connection then arrives."""
NEVER_DIALLED_ADDRESSES = [t.strip("[]") for t in NEVER_DIALLED if _is_literal(t.strip("[]"))]

_CLONE_NEWNET = 0x40000000


def _why_not() -> str | None:
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        return "ip (iproute2) or nsenter (util-linux) is not installed"
    return why_no_network_namespace() or why_no_resolver()


pytestmark = pytest.mark.skipif(_why_not() is not None, reason=str(_why_not()))


# --- the namespace and what is in it


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A network namespace in which a connection to any address arrives in the namespace itself."""
    name = f"fetchpool-strangers-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"ip netns add is not allowed here: {tried.stderr.decode().strip()}")
    try:
        for words in (
            "link set lo up",
            "route add local 0.0.0.0/0 dev lo",
            "-6 route add local ::/0 dev lo",
        ):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


class Inside(ThreadedServer):
    """A server whose thread lives in *namespace*."""

    namespace: str

    async def _open(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.namespace).open() as opened:
            entered = libc.setns(opened.fileno(), _CLONE_NEWNET)
        assert entered == 0, os.strerror(ctypes.get_errno())
        await super()._open()


class Everywhere(Inside, CountingServer):
    """A counting server on one port of all addresses."""

    def __init__(self, namespace: str) -> None:
        super().__init__(["0.0.0.0", "::"])
        self.namespace = namespace

    def at(self, host: str, path: str = "/") -> str:
        """Return the URL of *path* at *host*, spelt as it is."""
        return f"http://{host}:{self.port}{path}"

    def named(self, address: str, path: str = "/") -> str:
        """Return the URL of *path* at *address*."""
        return self.at(f"[{address}]" if ":" in address else address, path)


class Names(Inside, NameServer):
    """A name server in the namespace."""

    def __init__(self, namespace: str, names: dict[str, Name]) -> None:
        super().__init__(names)
        self.namespace = namespace


# --- what is fetched


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a list, and what its record must say."""

    url: str
    error: str | None
    attempts: int = 1
    or_ok: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The servers, and which of the runs this is: names and paths of its own keep runs apart."""

    sentinel: Everywhere
    site: Everywhere
    witness: Everywhere
    run: str

    def from_(self, page: str, location: str) -> str:
        """Return the URL of *page*, `http://host:port`, that redirects to *location*."""
        # The server sends what it is told as Latin-1; a Location of real life is UTF-8.
        told = quote(location.encode().decode("latin-1"), safe="")
        return f"{page}/{self.run}?to={told}"

    def name(self, label: str) -> str:
        """Return a host name that is this run's alone."""
        return f"{label}.{self.run}.test"


def names_of(run: str) -> dict[str, Name]:
    """Return what the name server knows for *run*."""
    known = {
        "public": Name((PUBLIC,)),
        "mixed": Name((PUBLIC, "127.0.0.1")),
        "mixed-families": Name((PUBLIC, "fd00::1")),
        "mixed-6": Name((ALSO_PUBLIC, "::ffff:10.0.0.1")),
        "alias": Name(alias=f"step.{run}.test"),
        "step": Name(alias=f"private.{run}.test"),
        "private": Name((PRIVATE,)),
        **{f"rebound-{n}": Name((PUBLIC,), then=("127.0.0.1",), ttl=0) for n in range(4)},
        **{
            f"answer-{n}": Name((address,))
            for n, address in enumerate([*ADDRESSES, *NEVER_DIALLED_ADDRESSES])
        },
    }
    return {f"{label}.{run}.test": name for label, name in known.items()}


def refused_with_public_only(place: Place) -> Iterator[Line]:
    """Everything that must be refused before a packet leaves; what is public is fetched."""
    site, sentinel = place.site, place.sentinel
    page = site.named(PUBLIC, "")
    yield Line(site.named(PUBLIC), None)
    yield Line(site.named(ALSO_PUBLIC), None)
    yield Line(site.at(place.name("public")), None)
    yield Line(place.from_(page, site.named(ALSO_PUBLIC, "/landed")), None)
    for spelling in (*SPELLINGS, *NEVER_DIALLED):
        yield Line(sentinel.at(spelling), "blocked")
        yield Line(place.from_(page, sentinel.at(spelling)), "blocked")
    for text in NO_HOSTS:
        yield Line(sentinel.at(text), "input")
        yield Line(place.from_(page, sentinel.at(text)), "redirect")
    answers = [f"answer-{n}" for n in range(len(ADDRESSES) + len(NEVER_DIALLED_ADDRESSES))]
    for label in (*answers, "mixed", "mixed-families", "mixed-6", "alias", "private"):
        yield Line(sentinel.at(place.name(label)), "blocked")
        yield Line(place.from_(page, sentinel.at(place.name(label))), "blocked")
    for url in (sentinel.at("hosts.test"), place.from_(page, sentinel.at("hosts.test"))):
        yield Line(url, "blocked")
    yield from _rebound(place)
    # Each attempt looks the name up again, and so does each of several requests.
    again = f"/{place.run}?status=503&first=1"
    yield Line(site.at(place.name("rebound-1"), again), "blocked", 2)
    for number in range(5):
        url = site.at(place.name("rebound-3"), f"/{place.run}/{number}")
        yield Line(url, "blocked", or_ok=True)


def _rebound(place: Place) -> Iterator[Line]:
    """A name that is public when it is first looked up, and private from then on."""
    site, sentinel = place.site, place.sentinel
    name = place.name("rebound-0")
    yield Line(place.from_(site.at(name), sentinel.at(name)), "blocked")
    name = place.name("rebound-2")
    onward = place.from_(site.named(ALSO_PUBLIC, ""), sentinel.at(name))
    yield Line(place.from_(site.at(name), onward), "blocked")


def fetched_without(place: Place) -> Iterator[Line]:
    """What the user's own list may reach where nothing forbids it: here the witness sees it."""
    witness = place.witness
    page = place.site.named(PRIVATE, "")
    for spelling in SPELLINGS:
        yield Line(witness.at(spelling, f"/list-{place.run}"), None)
        yield Line(place.from_(page, witness.at(spelling, f"/redirect-{place.run}")), None)
    for n in range(len(ADDRESSES)):
        yield Line(witness.at(place.name(f"answer-{n}"), f"/dns-{place.run}"), None)
    for label in ("mixed", "mixed-families", "mixed-6", "alias"):
        yield Line(witness.at(place.name(label), "/"), None)


def refused_to_a_public_page(place: Place) -> Iterator[Line]:
    """Where a public page must not lead, also without `--public-only`."""
    site, sentinel = place.site, place.sentinel
    page, other = site.named(PUBLIC, ""), site.named(ALSO_PUBLIC, "")
    for spelling in SPELLINGS:
        yield Line(place.from_(page, sentinel.at(spelling)), "blocked")
    for n in range(len(ADDRESSES)):
        yield Line(place.from_(other, sentinel.at(place.name(f"answer-{n}"))), "blocked")
    for label in ("mixed", "mixed-families", "mixed-6", "alias", "private"):
        yield Line(place.from_(page, sentinel.at(place.name(label))), "blocked")
    home = sentinel.named(PRIVATE)
    yield Line(place.from_(page, place.from_(other, home)), "blocked")
    yield Line(place.from_(site.named(PRIVATE, ""), place.from_(page, home)), "blocked")
    yield Line(place.from_(site.at(place.name("public")), home), "blocked")
    yield from _rebound(place)
    # Over a connection that is there already, kept from the list's own request.
    kept = site.named("10.9.9.8")
    yield Line(kept, None)
    yield Line(place.from_(page, f"{kept}secret-{place.run}") + "&delay=0.5", "blocked")


# --- the runs


@dataclass(slots=True)
class Runs:
    """The finished runs of one way to exchange on one loop."""

    place: Place
    lines: dict[str, list[Line]] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)

    def wrong(self, policy: str) -> str:
        """Return, a line each, what came to something else than it must."""
        records = {record["seq"]: record for record in self.results[policy].records}
        return "\n".join(
            f"{line}: {records.get(seq)}"
            for seq, line in enumerate(self.lines[policy], 1)
            if not self._is_right(line, records.get(seq))
        )

    @staticmethod
    def _is_right(line: Line, record: Record | None) -> bool:
        if record is None:
            return False
        errors = {line.error, None} if line.or_ok else {line.error}
        attempts = 0 if line.error == "input" else line.attempts
        # On a busy machine a datagram may be lost: c-ares waits 5 s, then the look-up is repeated.
        is_late = record["elapsed_s"] > 4
        return record["error"] in errors and record["attempts"] in (attempts, attempts + is_late)


_WAYS = [
    f"{exchange}-{loop}" for exchange in ("direct", "session") for loop in ("uvloop", "asyncio")
]
_LISTS = {
    "public-only": (refused_with_public_only,),
    "open": (fetched_without, refused_to_a_public_page),
}
_OPTIONS = {"public-only": ["--public-only", "--force-close"], "open": []}


@pytest.fixture(scope="module")
def runs(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Runs]]:
    """Fetch both lists in each way, two runs at a time."""
    folder = tmp_path_factory.mktemp("strangers")
    # With a dot at its end it is asked for like any name.
    names = {"localhost": Name(("127.0.0.1",))} | {
        name: known
        for way in _WAYS
        for policy in _LISTS
        for name, known in names_of(f"{way}-{policy}").items()
    }
    with (
        Everywhere(namespace) as sentinel,
        Everywhere(namespace) as site,
        Everywhere(namespace) as witness,
        Names(namespace, names) as resolver,
    ):
        finished = {way: Runs(Place(sentinel, site, witness, way)) for way in _WAYS}

        def fetch(way: str, policy: str) -> None:
            place = Place(sentinel, site, witness, f"{way}-{policy}")
            lines = [line for part in _LISTS[policy] for line in part(place)]
            cwd = folder / place.run
            cwd.mkdir()
            (cwd / "list.txt").write_text("".join(f"{line.url}\n" for line in lines))
            exchange, loop = way.split("-")
            finished[way].lines[policy] = lines
            finished[way].results[policy] = run_fetchpool(
                ["get", "list.txt", "-o", "out", "--no-body", "--exchange", exchange,
                 "--event-loop", loop, "--dns-ttl", "0", "--retries", "1", *_OPTIONS[policy]],
                cwd=cwd,
                program=["nsenter", f"--net=/run/netns/{namespace}",
                         *with_resolver(resolver.address, cwd, hosts=f"{PRIVATE} hosts.test\n")],
            )  # fmt: skip

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(fetch, *zip(*((w, p) for p in _LISTS for w in _WAYS), strict=True)))
        yield finished


@pytest.mark.parametrize("way", _WAYS)
def test_public_only_never_dials_what_is_not_public(runs: dict[str, Runs], way: str) -> None:
    assert runs[way].wrong("public-only") == ""
    rebound = [r["ok"] for r in runs[way].results["public-only"].records if "rebound-3" in r["url"]]
    assert sorted(rebound) == [False] * 4 + [True]
    site = runs[way].place.site
    dialled = {hit.address for hit in site.counts.hits if f"{way}-public-only" in hit.target}
    assert dialled == {PUBLIC, ALSO_PUBLIC}


@pytest.mark.parametrize("way", _WAYS)
def test_public_page_never_leads_to_what_is_not_public(runs: dict[str, Runs], way: str) -> None:
    assert runs[way].wrong("open") == ""
    site = runs[way].place.site
    assert not [hit for hit in site.counts.hits if hit.target.startswith("/secret")]


def test_sentinel_sees_no_connection(runs: dict[str, Runs]) -> None:
    assert runs
    sentinel = runs[_WAYS[0]].place.sentinel
    assert (sentinel.counts.connections, sentinel.counts.hits) == (0, [])


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("path", ["list", "redirect", "dns"])
def test_sentinel_would_see_them_all(runs: dict[str, Runs], way: str, path: str) -> None:
    """Without the policy every spelling arrives, so that silence above means something."""
    hits = runs[way].place.witness.counts.hits
    arrived = Counter(hit.address for hit in hits if hit.target == f"/{path}-{way}-open")
    expected = Counter((ADDRESSES if path == "dns" else SPELLINGS).values())
    for counter in (arrived, expected):  # `localhost` is either
        counter["127.0.0.1"] += counter.pop("::1")
    assert arrived == expected
