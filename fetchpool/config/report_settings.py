"""Settings of what is told of a run.

Declared as in `settings`, whose `Config` has them too.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from fetchpool.config.expressions import FailIf
from fetchpool.config.options import Also, Panel
from fetchpool.config.store_settings import StoreSettings
from fetchpool.config.values import Choice, Switch, WholeOr

MOST_FAILURES = 10_000
"""How many failed URLs `--failures` lists from memory; `all` reads them from the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReportSettings(StoreSettings):
    """What becomes of the outcomes."""

    fail_if: Annotated[
        str | None,
        Panel.REPORTING,
        FailIf(),
        "What makes the exit status 1: 'errors>N', 'errors>P%' or never",
        Also(
            default="errors>0; with --shard never",
            example="errors>5%",
            more="With `--refresh` also `new>N`, `changed>N`, `gone>N`, and `left>N` for URLs that "
            "the list has no more. Any of several does: `errors>5%,changed>0`.",
        ),
    ] = None
    quiet: Annotated[
        bool,
        Panel.REPORTING,
        Switch(),
        "Print nothing if the exit status is 0, else what failed, on stderr",
        Also(short="-q", more="Overrides `--progress`."),
    ] = False
    failures: Annotated[
        int | Literal["all"],
        Panel.REPORTING,
        WholeOr("all", 0, MOST_FAILURES),
        "How many failed URLs are listed at the end, by reason: a number, or all",
        Also(
            more="Each reason gets a share. Records kept of an earlier run are listed, too. "
            "`all` reads them from the ledger; without one (`--no-body` without `-o`) it means "
            f"{MOST_FAILURES:,}."
        ),
    ] = 20
    progress: Annotated[
        Literal["auto", "always", "never"],
        Panel.REPORTING,
        Choice("WHEN", "auto", "always", "never"),
        "Show progress: auto (on a terminal), always or never",
        Also(
            more="`auto` shows none where records or the log file go to a pipe or a terminal, or a "
            "list is typed: the display and the other text would overwrite each other."
        ),
    ] = "auto"
    timings: Annotated[
        bool,
        Panel.REPORTING,
        Switch(),
        "Say in each record what the last attempt spent its time on",
        Also(
            more="`timings` has seconds for `queued`, `dns`, `connect`, `tls`, `first_byte` and "
            "`body`; null where there was no such step, as on a kept connection. Through a proxy "
            "`dns` and `connect` are the proxy's, and a tunnel's opening belongs to `tls`."
        ),
    ] = False
