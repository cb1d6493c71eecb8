"""What is told while a run is on: to a person, to the log file, and counted."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from fetchpool.model.limits import AUTO, most_per_host
from fetchpool.network.connector import cleanup_closed_is_needless
from fetchpool.reporting.event_log import EventSink, open_event_log
from fetchpool.reporting.stats import Stats
from fetchpool.reporting.terminal import Heading, Reporter
from fetchpool.run.choices import exposed_files, opened

if TYPE_CHECKING:
    from fetchpool.model.values import Outcome
    from fetchpool.network.descriptors import Budget
    from fetchpool.pipeline.fetcher import Fetcher
    from fetchpool.run.call import Call

_FORMS_TOLD = 8
"""Lists of which it is said what they were taken for, where there are several."""


class Telling:
    """Reporter, log file and counters of a run."""

    def __init__(self, call: Call, reporter: Reporter | None) -> None:
        """Tell nobody where *reporter* is None."""
        self._call = call
        self.reporter = reporter or Reporter(None)
        self.is_heard = reporter is not None
        self.events: EventSink = open_event_log(None)
        self.stats = Stats(monotonic())
        self._warned_of_descriptors = False

    def open_log(self) -> None:
        """Open `--log-file`; raises `OutputError`."""
        path = self._call.config.log_file
        self.events = opened("--log-file", path, partial(open_event_log, path))

    def begin(self, budget: Budget) -> None:
        """Say what is about to be fetched, and what of the settings can't be had."""
        call, config = self._call, self._call.config
        if budget.warning:
            self._warned_of_descriptors = True
            self.reporter.warn(budget.warning)
        if config.cleanup_closed and cleanup_closed_is_needless():
            self.reporter.warn(
                "--cleanup-closed does nothing on this Python, which closes TLS connections itself."
            )
        for path in exposed_files(config):
            self.reporter.warn(
                f"other users of this machine can read {path}, which has secrets in it: chmod 600"
            )
        taken = call.lists.forms
        if call.lists.several:
            self._tell_forms(taken)
            taken = []
        self.reporter.start(
            Heading(
                source=taken[0] if taken else call.title,
                destination=call.dest_text,
                limit=budget.limit,
                per_host=most_per_host(config.per_host),
                finds_limit=config.limit == AUTO,
                finds_per_host=config.per_host == AUTO,
                rate=config.rate_here,
                host_rate=config.host_rate,
                max_time_s=config.max_time,
            )
        )
        self.events.event("run-started", source=call.title, destination=call.dest_text)

    def _tell_forms(self, taken: list[str]) -> None:
        """Say what some of several lists were taken for."""
        for form in taken[:_FORMS_TOLD]:
            self.reporter.warn(form)
        if len(taken) > _FORMS_TOLD:
            self.reporter.warn(f"and {len(taken) - _FORMS_TOLD} more lists that are no plain ones")

    def stopping(self, reason: str) -> None:
        """Note that somebody asked the run to stop."""
        self.events.event("stopping", why=reason)

    def failed(self, outcome: Outcome) -> None:
        """Note a URL that failed."""
        self.events.event(
            "failed",
            seq=outcome.request.seq,
            url=outcome.request.url,
            error=outcome.error,
            status=outcome.status,
            detail=outcome.detail,
        )

    def warn_of_lost_bodies(self, count: int) -> None:
        """Say that the bodies of *count* records are not where these said."""
        if count:
            which = "1 record names a body that isn't" if count == 1 else (
                f"{count} records name bodies that aren't"
            )  # fmt: skip
            self.reporter.warn(
                f"{which} in its container, as after a loss of power: fetched again."
            )

    def warn_of_descriptors(self, lowered_to: int | None) -> None:
        """Say once that the descriptors suffice for *lowered_to* requests only; None: they do."""
        if lowered_to is not None and not self._warned_of_descriptors:
            self._warned_of_descriptors = True
            self.reporter.warn(
                f"no more files can be opened: {lowered_to} requests at a time from now "
                "on. Raise the limit with 'ulimit -n'."
            )

    def connections(self, fetcher: Fetcher) -> None:
        """Count what *fetcher* received, over how many connections, and what limits it found."""
        self.stats.limits_found(fetcher.found)
        self.stats.received_so_far(fetcher.bytes_received)
        for _ in range(fetcher.connections_opened):
            self.stats.connection_opened()
