"""An S3 on loopback, and what is in it, looked at with plain requests."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from tests.program.helpers import eventually

_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
"""Not looked at by moto, but a bucket is not shown to who has none."""
_NUMBERS = itertools.count(1)
_NAMESPACE = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}


def environment(endpoint: str) -> dict[str, str]:
    """Return what points obstore to *endpoint*, and to no cloud."""
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-store",
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextlib.contextmanager
def moto(log: Path) -> Iterator[int]:
    """Have moto's server run for a block; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    env = {"PATH": os.environ["PATH"], "HOME": str(log.parent), "MOTO_ALLOW_NONEXISTENT_REGION": ""}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env
        )
    try:
        eventually(lambda: _answers(port) or process.poll() is not None, "moto's server answers")
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


class Objects:
    """A bucket of its own in the S3 at *port*."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.bucket = f"bucket-{os.getpid()}-{next(_NUMBERS)}"
        self._ask("PUT", f"/{self.bucket}")

    def url(self, prefix: str) -> str:
        return f"s3://{self.bucket}/{prefix}"

    def names(self, prefix: str = "") -> set[str]:
        """Return the names of all objects below *prefix*, without it."""
        found: set[str] = set()
        after = ""
        while True:
            query = f"list-type=2&prefix={quote(prefix)}&start-after={quote(after)}"
            page = ElementTree.fromstring(self._ask("GET", f"/{self.bucket}?{query}")[1])
            some = [each.text or "" for each in page.iterfind("s3:Contents/s3:Key", _NAMESPACE)]
            if not some:
                return {name.removeprefix(prefix) for name in found}
            found |= set(some)
            after = some[-1]

    def bodies(self, prefix: str) -> set[str]:
        """Return the names of the objects below *prefix* that are no business of the program's."""
        return {key for key in self.names(f"{prefix}/") if not key.startswith("_fetchpool/")}

    def read(self, key: str) -> bytes:
        return self._ask("GET", f"/{self.bucket}/{quote(key)}")[1]

    def headers(self, key: str) -> dict[str, str]:
        return self._ask("HEAD", f"/{self.bucket}/{quote(key)}")[0]

    def write(self, key: str, data: bytes) -> None:
        self._ask("PUT", f"/{self.bucket}/{quote(key)}", data)

    def remove(self, key: str) -> None:
        self._ask("DELETE", f"/{self.bucket}/{quote(key)}")

    def json(self, key: str) -> Any:
        return json.loads(self.read(key))

    def _ask(self, method: str, target: str, body: bytes = b"") -> tuple[dict[str, str], bytes]:
        with contextlib.closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request(method, target, body, {"Authorization": _SIGNED})
            response = connection.getresponse()
            data = response.read()
            assert response.status < 300, (method, target, response.status, data)
            return {name.lower(): value for name, value in response.getheaders()}, data
