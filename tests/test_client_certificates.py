"""`--cert` and `--key`: who is asked for a certificate shows it, whichever way the request goes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from threading import Thread
from typing import Literal

import pytest
from cryptography.hazmat.primitives import serialization

from fetchpool import Config, ConfigError, FetchPool
from fetchpool.model.values import FailureKind, Outcome
from tests.loops import LOOPS
from tests.servers.counting import CountingServer
from tests.servers.tls import Authority

PASSPHRASE = b"canary-phrase"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def files(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of certificates and keys."""
    place = tmp_path_factory.mktemp("files")
    authority.write_roots(place / "roots.pem")
    leaf, other = (authority.ca.issue_cert(f"{name}@example.org") for name in "ab")
    leaf.cert_chain_pems[0].write_to_path(str(place / "cert.pem"))
    leaf.private_key_pem.write_to_path(str(place / "key.pem"))
    leaf.private_key_and_cert_chain_pem.write_to_path(str(place / "both.pem"))
    other.private_key_pem.write_to_path(str(place / "other.pem"))
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE),
    )
    (place / "locked.pem").write_bytes(locked)
    (place / "text.pem").write_text("no PEM\n")
    return place


def _asking(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = authority.fresh(version)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    return context


async def fetched(config: Config, urls: list[str]) -> list[Outcome]:
    async with FetchPool(config) as pool:
        return [outcome async for outcome in pool.fetch(urls)]


@pytest.mark.parametrize("way", ["direct", "session"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_server_that_asks_for_a_certificate_gets_it(
    authority: Authority, files: Path, way: Literal["direct", "session"], version: ssl.TLSVersion
) -> None:
    cert, key, both = (str(files / f"{name}.pem") for name in ("cert", "key", "both"))
    roots = str(files / "roots.pem")
    with CountingServer(context=_asking(authority, version)) as server:
        urls = [server.url(f"/{number}") for number in range(4)]
        for config in (
            # From the third connection on TLS sessions are resumed.
            Config(cacert=roots, cert=cert, key=key, exchange=way, force_close=True, limit=1),
            Config(cacert=roots, cert=both, exchange=way),
            Config(insecure=True, cert=both, exchange=way),
        ):
            assert [outcome.ok for outcome in await fetched(config, urls)] == [True] * 4
        refused = await fetched(Config(cacert=roots, exchange=way, retries=0), urls[:1])
        assert refused[0].error in (FailureKind.TLS, FailureKind.CONNECT)
        untrusting = await fetched(Config(cert=both, exchange=way, retries=0), urls[:1])
        assert untrusting[0].error is FailureKind.TLS
        assert "certificate refused" in (untrusting[0].detail or "")


@pytest.mark.parametrize("loop", LOOPS)
def test_server_may_ask_once_it_knows_the_url(authority: Authority, files: Path, loop: str) -> None:
    context = authority.fresh(ssl.TLSVersion.TLSv1_3)
    context.verify_mode = ssl.CERT_REQUIRED
    context.post_handshake_auth = True
    authority.ca.configure_trust(context)
    listening = socket.create_server(("127.0.0.1", 0))
    shown: list[bool] = []

    def serve() -> None:
        plain, _ = listening.accept()
        with context.wrap_socket(plain, server_side=True) as secure:
            for _ in range(2):
                secure.recv(4096)
                shown.append(bool(secure.getpeercert()))
                if len(shown) == 1:
                    secure.verify_client_post_handshake()
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    config = Config(cacert=files / "roots.pem", cert=files / "both.pem", per_host=1)
    thread = Thread(target=serve)
    thread.start()
    with listening, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
        outcomes = runner.run(fetched(config, [f"{url}1", f"{url}2"]))
    thread.join()
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert shown == [False, True]


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("cert", "locked", "locked.pem has a passphrase, and nobody is asked for it"),
        ("cert", "other", "is not that of the certificate in"),
        ("cert", "text", "text.pem holds no private key"),
        ("cert", None, "it lacks a certificate or its key"),
        ("text", None, "it lacks a certificate or its key"),
        ("none", None, "can't be read: No such file"),
        ("cert", "none", "--key .*none.pem can't be read: No such file"),
    ],
)
def test_what_can_not_be_used_is_refused_in_one_line(
    files: Path, cert: str, key: str | None, said: str
) -> None:
    named = None if key is None else files / f"{key}.pem"
    with pytest.raises(ConfigError, match=said) as caught:
        FetchPool(Config(cert=files / f"{cert}.pem", key=named))
    assert str(caught.value).isprintable()
