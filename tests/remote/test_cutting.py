"""Containers in an object store are made exact again where they have more than records name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.remote.running import Runs
from tests.remote.store import Objects
from tests.remote.test_containers import KINDS
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import StoreProxy


@pytest.fixture(params=KINDS)
def runs(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    objects: Objects,
    proxy: StoreProxy,
    server: CountingServer,
) -> Runs:
    return Runs(tmp_path / "run", objects, proxy, server, kind=request.param)


def test_what_a_lost_machine_had_sent_up_too_much_goes_out_again(runs: Runs) -> None:
    """As if it had not come to the last pieces of its ledger, but had sent up all containers."""
    runs.segment_size = "40K" if runs.kind == "warc" else "15K"
    assert runs.get()[0] == 1
    there, url = runs.objects, "pre/fix/_fetchpool/"
    (part,) = there.json(f"{url}run.json")["ledger"]
    names = [name for name in there.names(url) if name.startswith(f"results-{part['session']}")]
    lines = b"".join(there.read(url + name) for name in sorted(names)).splitlines(keepends=True)
    kept = _ends_within_a_container(lines)
    for name in names:
        there.remove(url + name)
    there.write(url + min(names), b"".join(lines[:kept]))
    assert 0 < len(runs.pieces()) == kept < len(lines)
    runs.check_going_on(state="elsewhere")
    # Nothing is brought once more.
    since = len(runs.proxy.asked)
    assert runs.get("--once", state="elsewhere")[0] == 1
    read = {asked.key for asked in runs.proxy.asked[since:] if asked.method in ("GET", "HEAD")}
    assert not any(f"/{runs.kind}/" in key for key in read)


def _ends_within_a_container(lines: list[bytes]) -> int:
    """Return how many of *lines* to keep so that some container is named by others, too."""
    containers = [json.loads(line).get("container") for line in lines]
    return next(
        at
        for at in range(len(lines) - 3, 1, -1)
        if {*containers[:at]} & {*containers[at:]} - {None}
    )


@pytest.mark.parametrize("runs", ["parquet", "sqlite"], indirect=True)
def test_rows_that_no_record_names_any_more_go_from_what_is_there(runs: Runs) -> None:
    assert runs.get()[0] == 1
    status, error = runs.get("--retry-failed", state="elsewhere")
    assert status == 1, error
    runs.check("elsewhere")
