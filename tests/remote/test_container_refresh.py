"""`--refresh` with containers in an object store: what is as it was is taken from the old ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.program.helpers import one_line
from tests.program.test_refresh import BIG, NEW, OLD, TAGGED, conditions, if_none, not_modified
from tests.remote.machines import Machines
from tests.remote.store import Objects
from tests.servers.ranges import RangeServer, bare, whole
from tests.servers.store_proxy import StoreProxy


@pytest.fixture
def machines(tmp_path: Path, objects: Objects, proxy: StoreProxy) -> Machines:
    return Machines(tmp_path, objects, proxy)


@pytest.mark.parametrize("kind", ["tar", "warc", "parquet"])
def test_what_is_as_it_was_is_taken_from_containers_there(machines: Machines, kind: str) -> None:
    nights = {
        "same": [whole(OLD, '"1"'), not_modified()],
        "no-validator": [whole(BIG, None), whole(BIG, None)],
        "changed": [whole(OLD, '"1"'), whole(NEW, '"2"'), not_modified()],
        "gone": [TAGGED, bare("HTTP/1.1 404 No")],
        "in-trouble": [TAGGED, bare("HTTP/1.1 500 No"), not_modified()],
        **{
            f"n{number}": [whole(b"%d " % number * 500, '"1"'), not_modified()]
            for number in range(5)
        },
    }
    store = ["--store", kind, "--segment-size", "20K"]
    with RangeServer({f"/{name}": answers for name, answers in nights.items()}) as server:
        machines.list(server, *nights)
        machines.get(*store, state="first")
        found = []
        for state in ("second", "third"):
            since = len(server.asked)
            machines.get(*store, "--refresh", state=state)
            records = machines.records()
            found.append({name: records[name].get("change") for name in list(nights)[:6]})
            machines.check_containers(kind, state)
        asked = conditions(server, since)
    keeping = {"same": "same", "no-validator": "same", "n0": "same"}
    assert found[0] == {**keeping, "changed": "changed", "gone": "gone", "in-trouble": None}
    assert found[1] == {**keeping, "changed": "same", "gone": None, "in-trouble": "same"}
    assert asked["in-trouble"] == [if_none('"1"')]
    assert asked["changed"] == [if_none('"2"')]
    refused = machines.get("--store", "sqlite", "--refresh", "-q", state="x", status=2)
    assert "can't be read there body by body" in one_line(refused)
