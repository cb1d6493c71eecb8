"""What a command would keep of the run in DEST, found out without a byte written there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from fetchpool.model.values import Request
from fetchpool.output.ledger.directory import RunDirectory, check_dest, not_ours
from fetchpool.output.ledger.entries import Entry
from fetchpool.output.ledger.errors import output_errors
from fetchpool.output.ledger.keeping import Kept
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.lists import Answered
from fetchpool.output.ledger.state import RunOptions, State, read_state
from fetchpool.output.ledger.waiting import Waiting


class Preview(RunDirectory):
    """DEST as a command over *sources* would find it; a run that is on is not disturbed.

    Records are matched to lines by URL, the n-th to the n-th. Raises `CannotGoOnError` and
    `OutputError` as `RunDirectory.open` does. A directory that isn't there holds nothing.
    """

    def __init__(
        self,
        layout: Layout,
        options: RunOptions,
        sources: Sequence[str],
        *,
        named: bool,
        scratch: Path,
    ) -> None:
        """Keep indexes of the records in the directory *scratch* until `close`."""
        self._open = ExitStack()
        self._found: list[Waiting] = []
        with output_errors(layout.dest):
            check_dest(layout)
            if not layout.private.exists():
                return
            if not layout.foreign.exists():
                if layout.ledger.exists() and read_state(layout.state) is None:
                    raise not_ours(layout)
                layout.foreign = scratch / "foreign"
                layout.foreign.touch()
            super().__init__(layout, None, options, sources)
            self._open.callback(self._foreign.close)
            self._check_fit(named=named)
            self._index(scratch)

    def is_answered(self, request: Request) -> bool:
        """Tell whether the line has a record that is kept; to be asked once for each, in order."""
        return any(
            each.kept_for(request.seq, request.url, variant=request.variant) is not None
            for each in self._found
        )

    def close(self) -> None:
        """Delete the indexes."""
        self._open.close()

    def _recover(self) -> State | None:
        layout, state = self._layout, read_state(self._layout.state)
        if state is not None and state.install and layout.next_ledger.exists():
            layout.ledger, layout.waiting = layout.next_ledger, layout.next_waiting
        return state

    def _index(self, scratch: Path) -> None:
        in_range: Answered | None = None
        keeping: Callable[[Entry], bool] = self._keeping()
        if self._options.add and self._own is None:
            lists = self._lists_of_stream() if self._stamps is None else ()
            keeping = Answered(lists)
            if not lists:
                return
        elif self.kept is Kept.NOTHING:
            return
        elif self._own is not None:
            in_range = Answered((self._own,))

        def counts(entry: Entry) -> bool:
            return (in_range is None or in_range(entry)) and keeping(entry)

        for number, path in enumerate((self._layout.ledger, self._layout.waiting)):
            if path.exists():
                waiting = Waiting(path, scratch / f"index{number}", counts, in_place=True)
                self._open.callback(waiting.close)
                self._found.append(waiting)
