"""What the last good answer to a URL was is known at any time, whatever came in between."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fetchpool.model.values import Change, Earlier, FailureKind, Request
from fetchpool.output.ledger import BodyOptions, Record, RunDirectory, RunOptions, encode
from fetchpool.output.ledger.layout import Layout
from tests.ledger.runs import Run, append, outcome

NAMES = ["a", "b", "c", "d"]
GOOD, GONE, TROUBLE = "good", "gone", "trouble"

nights = st.lists(
    st.tuples(
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=5),  # the list
        st.fixed_dictionaries({name: st.sampled_from([GOOD, GONE, TROUBLE]) for name in NAMES}),
        st.one_of(st.none(), st.integers(0, 4)),  # where the run is stopped first
        st.sampled_from([True, True, True, False]),  # whether it is a refresh
    ),
    max_size=6,
)


class Refreshing(Run):
    """A run that notes what it is told of earlier answers, and has what becomes of each."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fates: dict[str, str] = {}
        self.told: dict[str, str | None] = {}
        self.left: list[str] = []
        self.night = 0

    def refresh(self, stop_after: int | None, *, refresh: bool) -> bool:
        """Do a night's command; return whether it finished."""
        options = RunOptions(body=BodyOptions(), durability="none", refresh=refresh)
        with RunDirectory.open(
            Layout(self.dest), options, named=True, sources=[str(self.list)]
        ) as directory:
            settled = directory.settle(partial(self.requests))
            requests = self.requests()
            asked: list[Request] = list(requests)
            if settled.baseline is not None:
                asked = settled.baseline.attach(requests, settled.done)
            begun = 0
            for request in asked:
                if settled.done is not None and request.seq in settled.done:
                    continue
                if begun == stop_after:
                    return False
                begun += 1
                append(settled.ledger, [self._record(request)])
            directory.note_left()
            if settled.baseline is not None:
                self.left = [each.known.url for each in settled.baseline.left() if each.is_news]
            return settled.ledger.finish(len(requests), len(requests))

    def _record(self, request: Request) -> bytes:
        name = request.url.rpartition("/")[2]
        self.told[name] = None if request.earlier is None else request.earlier.etag
        return encode(Record.of(self._outcome(request, self.fates[name])))

    def _outcome(self, request: Request, fate: str) -> Any:
        if fate == GOOD:
            change = None if request.earlier is None else Change.SAME
            return outcome(
                request, etag=f'"{self.night}"', change=change, path=f"h/{request.url[-1]}"
            )
        known = request.earlier is not None and request.earlier != Earlier()
        change = Change.GONE if known and fate == GONE else None
        failed = outcome(request, ok=False, change=change)
        return replace(failed, status=404 if fate == GONE else None, error=FailureKind.STATUS)


@given(nights)
def test_last_good_answer_is_known_whatever_runs_came_between(
    plan: list[tuple[list[str], dict[str, str], int | None, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Refreshing(Path(folder))
        known: dict[str, str] = {}  # by name: the ETag of the last good answer
        listed: set[str] = set()
        for names, fates, stop_after, compares in plan:
            names = list(dict.fromkeys(names))
            refresh = compares or not run.night  # before the first one nothing is carried
            run.night += 1
            run.fates, run.told = fates, {}
            run.write_list(*(f"http://h/{name}" for name in names))
            (run.dest / "h").mkdir(parents=True, exist_ok=True)
            for name in NAMES:
                (run.dest / "h" / name).write_bytes(b"0123456789")
            finished = run.refresh(stop_after, refresh=refresh)
            if not finished:
                assert run.refresh(None, refresh=refresh)
            if refresh:
                assert run.told == {name: known.get(name) for name in names}
                assert {url[-1] for url in run.left} == (listed & known.keys()) - set(names)
            was_known = set(known)
            for name in names:
                if fates[name] == GOOD:
                    known[name] = f'"{run.night}"'
                elif fates[name] == GONE and refresh and name in was_known:
                    del known[name]
            listed = {name for name in names if fates[name] == GOOD}
