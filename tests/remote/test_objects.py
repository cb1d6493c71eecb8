"""Bodies as objects: what they say of themselves, how many wait, what memory a large one takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fetchpool.config import Config
from fetchpool.model.bodies import StoreError
from fetchpool.model.remote import Remote
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Head, Outcome, Request
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.remote import leave
from fetchpool.output.sinks import Place, open_sink
from fetchpool.output.sinks.objects import AT_ONCE, ObjectsSink
from tests.ledger.runs import outcome
from tests.remote.store import Objects, environment
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import Asked, Fault, StoreProxy

pytestmark = pytest.mark.usefixtures("in_process")

LARGE = 200 << 20
MEMORY = """
import sys
from fetchpool.cli.app import main
status = main()
# Not by getrusage: its maximum has that of the process which began this one in it.
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(status)
"""


def opened(tmp_path: Path, objects: Objects, **settings: object) -> ObjectsSink:
    layout = Layout(tmp_path, remote=Remote("s3", objects.bucket, "p"))
    layout.private.mkdir()
    leave.allow(layout.lease, leave.now() + 3600)
    config = Config(**{"outage_patience": 0.1, **settings})  # type: ignore[arg-type]
    sink = open_sink(config, Place(layout, lambda path: False))
    assert isinstance(sink, ObjectsSink)
    return sink


def stored(sink: ObjectsSink, url: str, head: Sequence[tuple[str, str]], body: bytes) -> Outcome:
    put = sink.put(parse_url(url), Head(200, tuple(head)), body)
    return outcome(Request(url, 1), path=put.path, receipt=put.receipt)


def test_an_object_says_of_itself_what_the_response_said(tmp_path: Path, objects: Objects) -> None:
    sink = opened(tmp_path, objects, as_received=True)
    head = [("content-type", "text/html; charset=utf-8"), ("content-language", "de")]
    outcomes = [
        stored(sink, "http://h.example/a.html", [*head, ("content-encoding", "br")], b"1"),
        stored(sink, "http://h.example/b.html", [("content-type", "té\nxt")], b"2"),
        stored(sink, "http://h.example/c.html", [("content-type", "x/" + "y" * 300)], b"3"),
    ]
    assert objects.bodies("p") == set()
    sink.append(outcomes, ())
    said = objects.headers("p/h.example+80/a.html")
    assert said["content-type"] == "text/html; charset=utf-8"
    assert said["content-language"] == "de"
    assert said["content-encoding"] == "br"
    for name in ("b", "c"):
        assert "x" not in objects.headers(f"p/h.example+80/{name}.html")["content-type"]
    sink.close()


def test_of_several_bodies_of_one_url_the_last_stays(tmp_path: Path, objects: Objects) -> None:
    sink = opened(tmp_path, objects)
    url = "http://h.example/a.html"
    sink.append([stored(sink, url, [], body) for body in (b"1", b"2", b"3")], ())
    assert objects.read("p/h.example+80/a.html") == b"3"
    assert sink.waiting.in_memory == 0
    sink.close()


def test_a_batch_goes_up_side_by_side_and_not_at_all_where_one_cannot(
    tmp_path: Path, objects: Objects, proxy: StoreProxy
) -> None:
    sink = opened(tmp_path, objects)
    urls = [f"http://h.example/{n}.html" for n in range(3 * AT_ONCE)]
    sink.append([stored(sink, url, [], b"x") for url in urls], ())
    assert len(objects.bodies("p")) == len(urls)
    assert 1 < proxy.at_once <= AT_ONCE

    def fail_one(asked: Asked) -> Fault | None:
        return Fault.SLOW_DOWN if "/7.html" in asked.key else None

    proxy.fault = fail_one
    with pytest.raises(StoreError, match=r"/7\.html: 503"):
        sink.append([stored(sink, url, [], b"y") for url in urls], ())
    sink.close()


def test_too_much_that_waits_is_told(tmp_path: Path, objects: Objects) -> None:
    sink = opened(tmp_path, objects)
    outcomes = [stored(sink, f"http://h.example/{n}", [], bytes(1 << 20)) for n in range(16)]
    assert sink.behind
    sink.append(outcomes, ())
    assert sink.waiting.in_memory == 0
    sink.close()


def test_a_large_body_takes_no_memory(
    tmp_path: Path, objects: Objects, proxy: StoreProxy, server: CountingServer
) -> None:
    url = server.url(f"/large?size={LARGE}")
    args = ["get", url, "-q", "-o", objects.url("p"), "--state", "state"]
    env = {**environment(proxy.url), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *args], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stderr) < 150 * 1024, "kilobytes"
    (name,) = objects.bodies("p")
    assert objects.headers(f"p/{name}")["content-length"] == str(LARGE)
    assert sum("partNumber" in asked.query for asked in proxy.asked) == LARGE >> 23
