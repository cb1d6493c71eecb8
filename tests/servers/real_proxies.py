"""Proxies of Debian's on loopback, where they are installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STARTS_WITHIN_S = 20.0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    """Run *command* until the block ends; wait until it listens on *port*."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < end and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        else:
            pytest.fail(f"{command[0]} doesn't listen")
        yield
    finally:
        process.kill()
        process.wait()


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@contextmanager
def tinyproxy(directory: Path, user: str, password: str) -> Iterator[str]:
    """Run an HTTP proxy that wants to know who asks; yield `HOST:PORT`."""
    program, port = _program("tinyproxy"), _free_port()
    settings = directory / "tinyproxy.conf"
    settings.write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 20\nBasicAuth {user} {password}\n"
        "MaxClients 100\nLogLevel Critical\n"
    )
    with _running([program, "-d", "-c", str(settings)], port):
        yield f"127.0.0.1:{port}"


@contextmanager
def microsocks(user: str, password: str) -> Iterator[str]:
    """Run a SOCKS5 proxy that wants to know who asks; yield `HOST:PORT`."""
    program, port = _program("microsocks"), _free_port()
    command = [program, "-i", "127.0.0.1", "-p", str(port), "-u", user, "-P", password]
    with _running(command, port):
        yield f"127.0.0.1:{port}"
