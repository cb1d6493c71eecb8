"""nginx on loopback, plain and TLS, and how many answers its log says it gave.

/small/…   1 KB     /page/…   10 KB     /text/…   100 KB in gzip     /large/…   100 MB
/once/page/…        10 KB, and the connection is closed
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measuring import on_cores
from benchmarks.processes import tree

SMALL = 1024
PAGE = 10 * 1024
TEXT = 100 * 1024
TLS_HOSTS = 250

_CONFIGURATION = """\
daemon off;
worker_processes {workers};
worker_rlimit_nofile 65536;
{user}
pid {place}/nginx.pid;
error_log {place}/error.log warn;
events {{ worker_connections 16384; }}
http {{
    log_format seen '$status $body_bytes_sent $request_completion';
    access_log {place}/seen.log seen buffer=64k flush=100ms;
    client_body_temp_path {place}/temporary;
    proxy_temp_path {place}/temporary;
    fastcgi_temp_path {place}/temporary;
    uwsgi_temp_path {place}/temporary;
    scgi_temp_path {place}/temporary;
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    open_file_cache max=100 inactive=1h;
    ssl_session_cache shared:TLS:16m;
    server {{
        listen 0.0.0.0:{port} reuseport backlog=4096;
        include {place}/locations;
    }}
{tls}
}}
"""

_LOCATIONS = """\
root {place}/bodies;
location /small/ {{ return 200 "{small}"; }}
location /page/ {{ rewrite ^ /page break; }}
location /once/ {{ keepalive_timeout 0; rewrite ^ /page break; }}
location /text/ {{ add_header Content-Encoding gzip; rewrite ^ /text.gz break; }}
location /large/ {{ rewrite ^ /large break; }}
"""

_TLS_HOST = """\
    server {{
        listen {address}:{port} ssl reuseport backlog=1024;
        ssl_certificate {place}/tls/{address}.pem;
        ssl_certificate_key {place}/tls/{address}.pem;
        include {place}/locations;
    }}
"""


def tls_address(number: int) -> str:
    """Return the address of TLS host *number*, from 0."""
    return f"127.10.{number // 250}.{number % 250 + 1}"


@dataclass
class Nginx:
    """The running server."""

    place: Path
    port: int
    tls_port: int | None
    """None where trustme is missing."""
    large: int
    """Length of the large body in bytes."""
    process: int
    _read: int = field(default=0)

    @property
    def ca(self) -> Path:
        """The certificate that signed those of all TLS hosts."""
        return self.place / "ca.pem"

    def url(self, path: str, address: str = "127.0.0.1") -> str:
        """Return a plain URL."""
        return f"http://{address}:{self.port}{path}"

    def tls_url(self, host: int, path: str) -> str:
        """Return a URL of TLS host *host*."""
        return f"https://{tls_address(host)}:{self.tls_port}{path}"

    def run_on(self, cores: frozenset[int]) -> None:
        """Let all its processes run on *cores* only, from now on."""
        for process in tree(self.process):
            os.sched_setaffinity(process, cores)

    def forget(self) -> None:
        """Begin a new count of answers."""
        time.sleep(0.15)  # the log's buffer is written every 0.1 s
        self._read = (self.place / "seen.log").stat().st_size

    def answered(self, expected: int | None = None) -> int:
        """Return how many complete 200s were sent since `forget`; wait a little for *expected*."""
        patient_until = time.monotonic() + 1.0
        while True:
            time.sleep(0.15)
            with (self.place / "seen.log").open("rb") as log:
                log.seek(self._read)
                lines = log.read().splitlines()
            good = sum(line.startswith(b"200 ") and line.endswith(b" OK") for line in lines)
            if expected is None or good >= expected or time.monotonic() > patient_until:
                return good


@contextmanager
def nginx(place: Path, program: str, cores: frozenset[int], large: int) -> Iterator[Nginx]:
    """Run nginx with all it needs in the directory *place*; *large* is its large body's length."""
    _write_bodies(place, large)
    port = _free_port()
    tls_port = _free_port() if _write_certificates(place) else None
    (place / "nginx.conf").write_text(configuration(place, port, tls_port, len(cores)))
    with on_cores(cores), (place / "said").open("wb") as said:
        process = subprocess.Popen(
            [program, "-p", str(place), "-c", str(place / "nginx.conf")],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        _wait_for(port, process)
        yield Nginx(place, port, tls_port, large, process.pid)
    finally:
        process.terminate()
        process.wait()


def configuration(place: Path, port: int, tls_port: int | None, workers: int) -> str:
    """Return nginx.conf."""
    tls_hosts = range(TLS_HOSTS if tls_port else 0)
    return _CONFIGURATION.format(
        workers=workers,
        user="user root;" if os.geteuid() == 0 else "",
        place=place,
        port=port,
        tls="".join(
            _TLS_HOST.format(address=tls_address(number), port=tls_port, place=place)
            for number in tls_hosts
        ),
    )


def _write_bodies(place: Path, large: int) -> None:
    bodies = place / "bodies"
    bodies.mkdir()
    (bodies / "page").write_bytes(b"0123456789abcdef" * (PAGE // 16))
    words = [b"%x" % random.Random(1).getrandbits(24) for _ in range(500)]
    text = b" ".join(random.Random(2).choices(words, k=TEXT))[:TEXT]
    (bodies / "text.gz").write_bytes(gzip.compress(text, 6))
    block = random.Random(3).randbytes(2**20)
    with (bodies / "large").open("wb") as file:
        for start in range(0, large, len(block)):
            file.write(block[: large - start])
    (place / "locations").write_text(_LOCATIONS.format(place=place, small="0123456789abcdef" * 64))


def _write_certificates(place: Path) -> bool:
    """Write a CA and a certificate for each TLS host; return False where trustme is missing."""
    try:
        import trustme
    except ImportError:
        return False
    ca = trustme.CA()
    ca.cert_pem.write_to_path(place / "ca.pem")
    (place / "tls").mkdir()
    for number in range(TLS_HOSTS):
        issued = ca.issue_cert(tls_address(number))
        issued.private_key_and_cert_chain_pem.write_to_path(
            place / "tls" / f"{tls_address(number)}.pem"
        )
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("nginx did not start")


def find_nginx() -> str | None:
    """Return the path of nginx; Debian keeps it where users' PATH doesn't lead."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
