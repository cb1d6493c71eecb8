"""A fleet has the face of a pool, and divides a run's limits among its workers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fetchpool.config import Config
from fetchpool.output.ledger.layout import Layout
from fetchpool.reporting.stats import Stats
from fetchpool.scaling.fleet import Fleet
from fetchpool.scaling.messages import Tick
from fetchpool.sources import requests_from
from tests.workers.puppets import Agency, until
from tests.workers.test_dispatch import Observer, url

CONFIG = Config(workers=2, limit=7, per_host=3)


async def test_workers_are_told_the_run_and_limits_that_add_up(tmp_path: Path) -> None:
    agency, layout = Agency(), Layout(tmp_path)
    async with Fleet(CONFIG, layout, shows=True, hire=agency.hire) as fleet:
        assert fleet.budget.limit == 7
        assert (fleet.connections_opened, fleet.bytes_received) == (0, 0)
        dispatch = fleet.fetch_from(
            requests_from([url(0, 1), url(1, 2)]),
            stats=Stats(0.0),
            observer=Observer(),
            spill_directory=str(tmp_path),
        )
        consumer = asyncio.create_task(dispatch.batch())
        puppets = [await agency.puppet(index) for index in range(2)]
        for puppet in puppets:
            await puppet.greet()
            assert puppet.setup is not None
            assert puppet.setup.config == CONFIG
            assert puppet.setup.layout is not None
            assert puppet.setup.layout.dest == tmp_path
            assert (puppet.setup.spill_directory, puppet.setup.shows) == (str(tmp_path), True)
        assert sorted(each.setup.share.limit for each in puppets if each.setup) == [3, 4]
        puppets[0].say(Tick(connections=2, received=10))
        puppets[1].say(Tick(connections=3, received=20))
        await until(lambda: fleet.connections_opened == 5)
        assert (fleet.connections_opened, fleet.bytes_received) == (5, 30)
        consumer.cancel()
    assert [puppet.code for puppet in puppets] == [-9, -9], "leaving ends them"
    await agency.close()


async def test_fleet_that_is_left_unused_has_hired_nobody() -> None:
    agency = Agency()
    async with Fleet(CONFIG, None, shows=False, hire=agency.hire):
        pass
    assert agency.hired == []
