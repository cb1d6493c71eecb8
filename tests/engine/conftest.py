"""What tests of the engine share: each kind of loop, an authority for certificates."""

from __future__ import annotations

from functools import partial

import pytest

from tests.loops import LOOPS, Run, run_on
from tests.servers.tls import Authority


@pytest.fixture(params=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """A function that runs a coroutine to its end, on each kind of loop."""
    return partial(run_on, request.param)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()
