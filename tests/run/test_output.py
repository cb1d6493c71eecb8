"""DEST taken for a run: what is opened, in which order it is given back, and what is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fetchpool.config import Config
from fetchpool.model.bodies import Representation, StoreError
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Head, Outcome, Request
from fetchpool.output.ledger import DirectoryBusyError, Ledger, OutputError, Record, encode
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.sinks.directory import DirectoryStore
from fetchpool.output.sinks.null import NullStore
from fetchpool.run import output as module
from fetchpool.run.output import Output, open_output
from tests.ledger import runs
from tests.ledger.runs import outcome
from tests.stores.bodies import files_in

ABOUT = Representation("http://h/page", '"e"', 8)
HEAD = Head(200, (("content-type", "text/html"),))


async def opened(stack: AsyncExitStack, dest: Path, **options: Any) -> Output:
    return await open_output(stack, Config(**options), Layout(dest), ["list.txt"], named=True)


def append(ledger: Ledger, of: Outcome, *, finish: bool = False) -> None:
    """Put the record of *of* into the ledger and close that, as a run does when it ends."""
    runs.append(ledger, [encode(Record.of(of))])
    if finish:
        ledger.finish(1)
    ledger.close()


async def test_directory_is_held_until_the_stack_is_unwound(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        output = await opened(stack, tmp_path)
        assert output.layout.dest == tmp_path
        assert output.spill_directory == str(tmp_path / ".fetchpool")
        with pytest.raises(DirectoryBusyError):
            await opened(stack, tmp_path)
    async with AsyncExitStack() as stack:
        await opened(stack, tmp_path)


async def test_without_bodies_nothing_is_stored_and_the_directory_is_held_all_the_same(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        output = await opened(stack, tmp_path, no_body=True)
        assert isinstance(output.sink, NullStore)
        await output.settle(list)
        output.remove_outdated()  # nothing to do
        with pytest.raises(DirectoryBusyError):
            await opened(stack, tmp_path, no_body=True)


async def test_bodies_are_on_disk_before_the_records_that_name_them(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        output = await opened(stack, tmp_path)
        settled = await output.settle(list)
        assert settled.ledger.before_sync == output.sink.sync


@pytest.mark.parametrize(
    ("again", "stays"),
    [({}, True), ({"fresh": True}, False), ({"add": True}, True)],
    ids=["goes on", "from the beginning", "adds"],
)
async def test_pieces_of_bodies_stay_where_the_run_goes_on(
    tmp_path: Path, again: dict[str, Any], stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:  # stopped after one of two
        output = await opened(stack, tmp_path)
        requests = [Request(f"http://h/{n}", n) for n in (1, 2)]
        settled = await output.settle(lambda: requests)
        append(settled.ledger, outcome(requests[0], path=None))
    asked: list[bool] = []
    monkeypatch.setattr(DirectoryStore, "recover", lambda *_, goes_on, anew: asked.append(goes_on))
    async with AsyncExitStack() as stack:
        await (await opened(stack, tmp_path, **again)).settle(lambda: requests)
    assert asked == [stays]


async def test_pieces_without_an_earlier_run_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(DirectoryStore, "recover", lambda *_, goes_on, anew: asked.append(goes_on))
    async with AsyncExitStack() as stack:
        await (await opened(stack, tmp_path)).settle(list)
    assert asked == [False]


@pytest.mark.parametrize("name", ["__init__", "recover"])
async def test_sink_that_cannot_be_opened_is_told_as_trouble_with_the_output(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreError("cannot look through parts", "parts", 5)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, name, refuse)
        async with AsyncExitStack() as stack:
            with pytest.raises(OutputError, match="cannot look through parts"):
                await (await opened(stack, tmp_path)).settle(list)
    async with AsyncExitStack() as stack:
        await opened(stack, tmp_path)  # the directory was let go


async def test_state_has_a_place_that_does_not_depend_on_where_bodies_are(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "bodies", tmp_path / "home")
    request = Request("http://h/page", 1)
    for config in (Config(), Config(fresh=True)):
        async with AsyncExitStack() as stack:
            output = await open_output(stack, config, layout, ["list.txt"], named=True)
            assert output.spill_directory == str(tmp_path / "home" / ".fetchpool")
            settled = await output.settle(lambda: [request])
            writer = output.sink.open(parse_url("http://h/page"), HEAD, ABOUT)
            writer.write(b"half")
            assert len(list((tmp_path / "home" / ".fetchpool" / "parts").iterdir())) == 2
            writer.write(b"half")
            path = writer.commit().path
            append(settled.ledger, outcome(request, path=path), finish=True)
        assert files_in(tmp_path / "bodies") == {path: b"halfhalf"}
        assert [each.name for each in (tmp_path / "bodies").iterdir()] == ["h+80"]
        assert runs.whole_lines(tmp_path / "home" / "results.jsonl")
    assert (tmp_path / "home" / ".fetchpool" / "previous.jsonl").exists()


# --- files that another name has taken the place of


def store(output: Output, content_type: str) -> str:
    """Store the answer to one URL as *content_type*; return where it is."""
    head = Head(200, (("content-type", content_type),))
    return str(output.sink.put(parse_url("http://h/page"), head, b"body").path)


async def first_run(dest: Path) -> str:
    """Leave a finished run whose body has one name."""
    async with AsyncExitStack() as stack:
        output = await opened(stack, dest)
        request = Request("http://h/page", 1)
        settled = await output.settle(lambda: [request])
        path = store(output, "text/html")
        append(settled.ledger, outcome(request, path=path), finish=True)
    return path


async def test_file_under_an_earlier_name_goes_when_the_run_ends(tmp_path: Path) -> None:
    earlier = await first_run(tmp_path)
    async with AsyncExitStack() as stack:
        output = await opened(stack, tmp_path, fresh=True)
        await output.settle(lambda: [Request("http://h/page", 1)])
        path = store(output, "application/pdf")
        assert path != earlier
        assert (tmp_path / earlier).exists()
    assert not (tmp_path / earlier).exists()
    assert (tmp_path / path).exists()


async def test_file_that_a_record_names_stays(tmp_path: Path) -> None:
    earlier = await first_run(tmp_path)
    async with AsyncExitStack() as stack:
        output = await opened(stack, tmp_path, fresh=True)
        request = Request("http://h/page", 1)
        settled = await output.settle(lambda: [request])
        store(output, "application/pdf")
        append(settled.ledger, outcome(request, path=earlier))
    assert (tmp_path / earlier).exists()


class Files(DirectoryStore):
    """Has some outdated files, and trouble with removing them where it is to."""

    def __init__(self, *paths: str, trouble: Exception | None = None) -> None:
        self.paths = paths
        self.trouble = trouble
        self.removed: list[set[str]] = []
        self.forgotten = False

    def outdated(self) -> Iterator[str]:
        return iter(self.paths)

    def remove_outdated(self, paths: Iterable[str]) -> None:
        self.removed.append({*paths})
        if self.trouble is not None:
            raise self.trouble

    def forget_outdated(self) -> None:
        self.forgotten = True


async def test_outdated_files_are_looked_up_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OUTDATED_AT_ONCE", 2)
    async with AsyncExitStack() as stack:
        output = await opened(stack, tmp_path, no_body=True)
        files = Files("a", "b", "c")
        Output(output.directory, files).remove_outdated()
    assert files.removed == [{"a", "b"}, {"c"}]
    assert files.forgotten


@pytest.mark.parametrize("trouble", [StoreError("no", "a", 5), OSError(5, "no")], ids=repr)
async def test_what_cannot_be_removed_now_is_left_to_a_later_run(
    tmp_path: Path, trouble: Exception
) -> None:
    async with AsyncExitStack() as stack:
        output = await opened(stack, tmp_path, no_body=True)
        files = Files("a", trouble=trouble)
        Output(output.directory, files).remove_outdated()
    assert not files.forgotten
