"""`--refresh` with bodies in an object store: as with files, from an empty machine, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.program.helpers import one_line
from tests.program.test_refresh import CASES, NEW, TAGGED, conditions, if_none, not_modified
from tests.remote.machines import Machines
from tests.remote.store import Objects
from tests.servers.ranges import RangeServer, bare, hang_up, whole
from tests.servers.store_proxy import Asked, Fault, StoreProxy


@pytest.fixture
def machines(tmp_path: Path, objects: Objects, proxy: StoreProxy) -> Machines:
    return Machines(tmp_path, objects, proxy)


def test_another_machine_finds_out_what_has_become_of_each_url(machines: Machines) -> None:
    objects = machines.objects
    with RangeServer({f"/{name}": [case.first] for name, case in CASES.items()}) as server:
        machines.list(server, *CASES)
        machines.get()
        first = machines.records()
        for name, case in CASES.items():
            server.answers[f"/{name}"] = list(case.second)
            if first[name]["path"] is not None and case.spoil == b"":
                objects.remove(f"pre/{first[name]['path']}")
            elif first[name]["path"] is not None and case.spoil is not None:
                objects.write(f"pre/{first[name]['path']}", case.spoil)
        machines.put()
        since = len(server.asked)
        machines.get("--refresh")
        asked, put, second = conditions(server, since), machines.put(), machines.records()
    there = objects.bodies("pre")
    for name, case in CASES.items():
        record, path = second[name], first[name]["path"]
        assert (record["ok"], record.get("change")) == (case.ok, case.change), name
        assert {*asked[name]} <= {*case.conditions}, name
        assert not case.ok or record["path"] in there
        if case.body is not None and path is not None:
            assert objects.read(f"pre/{path}") == case.body, name
        if case.change == "same" and case.spoil is None:
            assert record["path"] == path
            assert path not in put, f"{name} was there"
    told = {
        (case.change, name) for name, case in CASES.items() if case.change not in (None, "same")
    }
    assert machines.changed() == told


def test_what_failed_is_compared_with_the_night_before_on_any_machine(machines: Machines) -> None:
    answers = [TAGGED, bare("HTTP/1.1 500 No"), hang_up, not_modified()]
    with RangeServer({"/x": answers, "/left": [whole(NEW, '"2"')]}) as server:
        machines.list(server, "x", "left")
        changes = []
        for night in range(4):
            machines.get("--refresh")
            changes.append(machines.records()["x"].get("change"))
            machines.list(server, "x")
            if night == 1:
                assert machines.changed() == {("left", "left")}
        asked = conditions(server, 0)
    assert changes == ["new", None, None, "same"]
    assert asked["x"] == [None, *[if_none('"1"')] * 3]


def test_a_stopped_refresh_goes_on_as_one_elsewhere(machines: Machines) -> None:
    names = [f"u{number}" for number in range(6)]
    with RangeServer({f"/{name}": [TAGGED, not_modified()] for name in names}) as server:
        machines.list(server, *names)
        machines.get()
        machines.get("--refresh", state="lost")
        # As if that machine had come as far as this with its ledger.
        manifest = machines.objects.json("pre/_fetchpool/run.json")
        piece = f"pre/_fetchpool/results-{manifest['ledger'][-1]['session']}-000000.jsonl"
        lines = machines.objects.read(piece).splitlines(keepends=True)
        machines.objects.write(piece, b"".join(lines[:2]))
        since = len(server.asked)
        said = machines.get()
        asked = conditions(server, since)
    assert len(asked) == 4
    assert all(each == [if_none('"1"')] for each in asked.values())
    assert [record["change"] for record in machines.records().values()] == ["same"] * 6
    assert "6 same" in said


def test_a_store_that_fails_while_it_is_looked_at_ends_the_run(machines: Machines) -> None:
    def fail_to_be_looked_at(asked: Asked) -> Fault | None:
        return Fault.SLOW_DOWN if asked.method == "HEAD" else None

    with RangeServer({"/x": [TAGGED, not_modified()]}) as server:
        machines.list(server, "x")
        machines.get()
        machines.proxy.fault = fail_to_be_looked_at
        said = machines.get("--refresh", "-q", "--outage-patience", "0.2", state="s", status=74)
        assert "cannot look at s3://" in one_line(said)
        assert "503" in said
        machines.proxy.fault = lambda asked: None
        assert "1 same" in machines.get(state="s")
