"""W2 and W3: pages of many HTTPS hosts, over kept connections and over new ones."""

from __future__ import annotations

import random
import ssl
from dataclasses import replace
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.peers import Task
from benchmarks.racing import Entrant, Race, run_race
from benchmarks.report import Section
from benchmarks.servers.nginx import PAGE, TLS_HOSTS

AT_ONCE = 50
WITH_ROOTS = "curl -Z, with the system's roots"


def pooled(bench: Bench) -> Section:
    """Connections are kept."""
    return _pages(bench, "W2", "HTTPS, pooled", "/page/", close=False)


def closed(bench: Bench) -> Section:
    """Each request needs a new connection: the server closes them, and the tools are told so."""
    return _pages(bench, "W3", "HTTPS, a new connection each", "/once/page/", close=True)


def _pages(bench: Bench, key: str, title: str, path: str, *, close: bool) -> Section:
    hosts = bench.size(TLS_HOSTS, 50)
    count = bench.size(4_000, 400)
    section = Section(
        key,
        title,
        f"{count:,} bodies of 10 KB from {hosts} HTTPS hosts in shuffled order, {AT_ONCE} at a "
        "time, to nothing, one core each; every host has a certificate of its own (EC P-256), "
        "signed by a CA that the tools are told to trust"
        + ("; `--force-close`." if close else "."),
    )
    if bench.nginx.tls_port is None:
        section.notes.append("Not measured: needs `pip install trustme`.")
        return section
    urls = [bench.nginx.tls_url(number % hosts, f"{path}{number}") for number in range(count)]
    random.Random(7).shuffle(urls)
    task = Task(urls, PAGE, AT_ONCE, cacert=bench.nginx.ca, close=close)
    curl = bench.peer("curl -Z")
    roots = _with_the_systems_roots(bench)
    more = []
    if curl is not None and roots is not None:
        # One certificate is curl's best case: it reads the file for each connection.
        more = [Entrant(replace(curl, slow=True), WITH_ROOTS, {"cacert": roots})]
    run_race(bench, Race(f"{key} {title}", task, bench.size(500, 100), more=more), section)
    section.notes += [
        "`--cacert` makes curl trust our CA alone, fetchpool the system's roots as well. A user's "
        "curl trusts the system's roots, and 7.88 reads their file again for each connection: "
        f"*{WITH_ROOTS[9:]}* is that, on a slice (which has more new connections to a URL).",
        "minet verifies no certificate here (`-k`): it can't be given a CA. lychee is given it as "
        "SSL_CERT_FILE.",
    ]
    return section


def _with_the_systems_roots(bench: Bench) -> Path | None:
    """Write the system's roots and our CA to one file; None where they are not in a file."""
    system = ssl.get_default_verify_paths()
    known = (system.cafile, "/etc/ssl/certs/ca-certificates.crt")
    found = next((Path(path) for path in known if path and Path(path).is_file()), None)
    if found is None:
        return None
    both = bench.nginx.place / "roots.pem"
    both.write_bytes(found.read_bytes() + b"\n" + bench.nginx.ca.read_bytes())
    return both
