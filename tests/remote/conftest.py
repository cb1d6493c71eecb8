"""An S3 for all tests of this folder, a bucket and a proxy for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.remote.store import Objects, environment, moto
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import StoreProxy


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of moto's server."""
    with moto(tmp_path_factory.mktemp("moto") / "log") as port:
        yield port


@pytest.fixture
def objects(s3: int) -> Objects:
    return Objects(s3)


@pytest.fixture
def proxy(s3: int) -> Iterator[StoreProxy]:
    with StoreProxy(s3) as there:
        yield there


@pytest.fixture
def in_process(proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch) -> StoreProxy:
    """The proxy, which obstore in this process takes for the store."""
    for name, value in environment(proxy.url).items():
        monkeypatch.setenv(name, value)
    return proxy


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with CountingServer() as there:
        yield there
