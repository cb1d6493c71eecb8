"""Azure's store as another program than ours and moto has it: Azurite, where that is installed.

FETCHPOOL_TEST_AZURITE names its `azurite-blob`, as `npm install azurite` brings it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import subprocess
from collections.abc import Iterator
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.containers.checking import check_containers
from tests.harness import read_records, run_fetchpool
from tests.program.helpers import eventually, one_line, write_list
from tests.servers.counting import CountingServer

AZURITE = os.environ.get("FETCHPOOL_TEST_AZURITE")
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Those of every Azurite."""
VERSION = "2021-12-02"
BODIES = 10

pytestmark = pytest.mark.skipif(
    AZURITE is None, reason="Azurite is not there: FETCHPOOL_TEST_AZURITE=…/azurite-blob"
)


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What points obstore to an Azurite with a container called `box`."""
    folder = tmp_path_factory.mktemp("azurite")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert AZURITE is not None
    command = [AZURITE, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    command += ["--disableTelemetry", "--skipApiVersionCheck", "--silent"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        eventually(lambda: _makes_container(port), "Azurite answers")
        yield {
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}",
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_ALLOW_HTTP": "true",
        }
    finally:
        process.kill()
        process.wait()


def _makes_container(port: int) -> bool:
    date, path = formatdate(usegmt=True), f"/{ACCOUNT}/box"
    text = f"PUT{12 * chr(10)}x-ms-date:{date}\nx-ms-version:{VERSION}\n"
    text += f"/{ACCOUNT}{path}\nrestype:container"
    signed = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    fields = {
        "x-ms-date": date,
        "x-ms-version": VERSION,
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}",
        "Content-Length": "0",
    }
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("PUT", f"{path}?restype=container", headers=fields)
        return connection.getresponse().status == 201
    except OSError:
        return False
    finally:
        connection.close()


@pytest.mark.parametrize("kind", ["files", "tar", "parquet"])
def test_a_run_goes_on_from_an_empty_machine(
    tmp_path: Path, env: dict[str, str], server: CountingServer, kind: str
) -> None:
    write_list(
        tmp_path / "urls.txt",
        [server.url(f"/{n}?size={1000 + n * 40_000}") for n in range(BODIES)],
    )
    url = f"az://box/{kind}"
    options = [] if kind == "files" else ["--store", kind, "--segment-size", "300K"]

    def get(state: str, *more: str) -> str:
        args = ["get", "urls.txt", "-o", url, "--state", state, "--hash", *options, *more]
        result = run_fetchpool(args, cwd=tmp_path, env=env)
        assert result.returncode == 0, result.stderr
        return result.stderr

    get("one", "-q")
    assert f"{BODIES} kept" in get("two", "--once")
    assert len(server.counts.hits) == BODIES
    other = "tar" if kind == "files" else "sqlite"
    args = ["export", url, "--store", other, "-o", "exported"]
    result = run_fetchpool(args, cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stderr
    records = read_records(tmp_path / "exported")
    assert sum(each["ok"] for each in records) == BODIES
    check_containers(other, records, tmp_path / "exported")
    if kind == "files":
        assert f"{BODIES} same" in get("three", "--refresh")


def test_what_is_not_ours_is_left_alone(tmp_path: Path, env: dict[str, str]) -> None:
    write_list(tmp_path / "urls.txt", ["http://127.0.0.1:1/"])
    args = ["get", "urls.txt", "-q", "-o", "az://no-such-box/x", "--state", "state"]
    refused = run_fetchpool(args, cwd=tmp_path, env=env)
    assert refused.returncode == 73
    assert "ContainerNotFound" in one_line(refused.stderr)
