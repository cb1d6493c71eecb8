"""The workers of a run. To the runner a fleet looks like a `FetchPool`.

Each worker owns a share of the hosts and of the limits, so limits hold over the run without a word
between them.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from fetchpool.config import Config
from fetchpool.network.descriptors import Budget, make_budget
from fetchpool.scaling.dispatch import Dispatch, FleetObserver
from fetchpool.scaling.hiring import Hire, spawn
from fetchpool.scaling.outbox import Shelf
from fetchpool.scaling.setup import Setup
from fetchpool.scaling.sharing import Share, shares

if TYPE_CHECKING:
    from fetchpool.output.ledger.layout import Layout
    from fetchpool.reporting.stats import Stats
    from fetchpool.sources import RequestReader


class Fleet:
    """The workers of a run: `--workers` as an asynchronous context manager.

    Leaving the block ends all of them.
    """

    def __init__(
        self, config: Config, layout: Layout | None, *, shows: bool, hire: Hire = spawn
    ) -> None:
        """Have bodies stored below *layout* (None: nowhere); *shows* says that somebody looks.

        *hire* starts a worker.
        """
        self._config = config
        self._layout = layout
        self._shows = shows
        self._hire = hire
        self._budget: Budget | None = None
        self._dispatch: Dispatch | None = None

    async def __aenter__(self) -> Self:
        self._budget = make_budget(self._config.limit)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._dispatch is not None:
            await self._dispatch.aclose()

    @property
    def budget(self) -> Budget:
        """How many requests the run may have in progress."""
        assert self._budget is not None
        return self._budget

    @property
    def connections_opened(self) -> int:
        """Connections opened so far, over all workers."""
        return self._dispatch.connections_opened if self._dispatch else 0

    @property
    def bytes_received(self) -> int:
        """Bytes that came over connections so far, over all workers."""
        return self._dispatch.bytes_received if self._dispatch else 0

    def fetch_from(
        self,
        reader: RequestReader,
        *,
        stats: Stats,
        observer: FleetObserver,
        spill_directory: str | None = None,
    ) -> Dispatch:
        """Return the fetching of what *reader* gives; once."""

        def setup_for(share: Share) -> Setup:
            return Setup(self._config, share, self._layout, spill_directory, self._shows)

        setups = [setup_for(share) for share in shares(self._config, self.budget.limit)]
        shelf = Shelf(spill_directory)
        self._dispatch = Dispatch(setups, shelf, reader, stats, observer, self._hire)
        return self._dispatch
