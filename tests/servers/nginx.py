"""The real nginx on loopback, where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NGINX = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@contextmanager
def nginx(folder: Path, locations: str) -> Iterator[str]:
    """Run nginx with *locations* in its only server; yield the beginning of its URLs."""
    assert NGINX is not None
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # Its worker would be somebody who may not look into folders of tests.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"""daemon off; {user} worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 1024; }}
        http {{
          default_type text/plain; access_log off; {temporary}
          server {{ listen 127.0.0.1:{port}; keepalive_requests 100000; {locations} }}
        }}"""
    )
    command = [NGINX, "-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", f"{folder}/error.log"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            while not (folder / "pid").exists():
                assert server.poll() is None, (folder / "error.log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
