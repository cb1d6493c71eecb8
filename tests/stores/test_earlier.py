"""Other names of a URL's earlier bodies: which there may be, and that nothing else is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchpool.model.values import Head, Target
from fetchpool.output.sinks.directory import DirectoryStore
from tests.stores.bodies import files_in, target_of
from tests.stores.conftest import OpenStore

PLAIN = target_of("/img/a.jpg")
TYPED = target_of("/img/a")
QUERY = target_of("/img/a.png?b=c")


def typed(content_type: str, disposition: str | None = None) -> Head:
    named = () if disposition is None else (("content-disposition", disposition),)
    return Head(200, (("content-type", content_type), *named))


def put(store: DirectoryStore, target: Target, *content_types: str) -> list[str]:
    """Store a body of each type; return their paths."""
    stored = [store.put(target, typed(each), each.encode()) for each in content_types]
    return [each.path for each in stored if each.path is not None]


def test_a_body_of_another_type_outdates_the_one_of_an_earlier_process(
    open_store: OpenStore,
) -> None:
    before = put(open_store(), TYPED, "text/html", "image/jpeg")
    store = open_store()
    (now,) = put(store, TYPED, "application/pdf")
    assert set(store.outdated()) == set(before)
    assert now not in before


@pytest.mark.parametrize("target", [PLAIN, QUERY], ids=["plain", "query"])
def test_a_name_that_is_the_urls_own_outdates_nothing(
    open_store: OpenStore, target: Target
) -> None:
    put(open_store(), TYPED, "text/html", "application/pdf")
    put(open_store(), target, "image/png")
    store = open_store()
    put(store, target, "image/png")
    assert list(store.outdated()) == []


@pytest.mark.parametrize("target", [PLAIN, TYPED], ids=["plain", "typed"])
def test_a_body_that_had_to_give_way_is_outdated_when_its_place_is_free(
    dest: Path, open_store: OpenStore, target: Target
) -> None:
    (path,) = put(open_store(), target, "text/html")
    (dest / path).unlink()
    (dest / path).mkdir()
    (beside,) = put(open_store(), target, "text/html")
    (dest / path).rmdir()
    store = open_store()
    assert put(store, target, "text/html") == [path]
    assert list(store.outdated()) == [beside]


def test_a_type_cannot_be_mistaken_for_a_mark(dest: Path, open_store: OpenStore) -> None:
    put(open_store(), TYPED, " suggested", " detour", "*")
    types = (dest / ".fetchpool" / "types").read_text().splitlines()
    assert all(not line.startswith('" ') for line in types)


def test_other_urls_are_not_meant(open_store: OpenStore) -> None:
    put(open_store(), target_of("/img/b"), "text/html")
    store = open_store()
    put(store, TYPED, "image/jpeg")
    assert list(store.outdated()) == []


def test_outdated_files_are_deleted_and_forgotten(dest: Path, open_store: OpenStore) -> None:
    put(open_store(), TYPED, "text/html")
    store = open_store()
    (now,) = put(store, TYPED, "image/jpeg")
    store.remove_outdated([*store.outdated(), "gone/x.html", "../x"])
    store.forget_outdated()
    store.forget_outdated()
    assert list(files_in(dest)) == [now]
    assert list(store.outdated()) == []


def test_what_is_no_file_of_ours_stays(dest: Path, open_store: OpenStore, tmp_path: Path) -> None:
    (path,) = put(open_store(), TYPED, "text/html")
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"theirs")
    (dest / path).unlink()
    (dest / path).symlink_to(theirs)
    store = open_store()
    put(store, TYPED, "image/jpeg")
    assert list(store.outdated()) == []
    (dest / path).unlink()
    (dest / path).write_bytes(b"theirs")
    store = open_store((path,))
    put(store, TYPED, "image/jpeg")
    store.remove_outdated([path])
    assert (dest / path).read_bytes() == b"theirs"


def test_no_file_is_deleted_through_a_symlink(
    dest: Path, open_store: OpenStore, tmp_path: Path
) -> None:
    (path,) = put(open_store(), TYPED, "text/html")
    directory = (dest / path).parent
    directory.rename(tmp_path / "moved")
    directory.symlink_to(tmp_path / "moved")
    open_store().remove_outdated([path])
    assert (tmp_path / "moved" / Path(path).name).exists()


def test_torn_and_strange_lines_are_passed_over(dest: Path, open_store: OpenStore) -> None:
    put(open_store(), TYPED, "text/html")
    types = dest / ".fetchpool" / "types"
    types.write_bytes(b'17\n"\xff"\n' + types.read_bytes() + b'"image/jp')
    store = open_store()
    put(store, TYPED, "image/jpeg")
    assert len(list(store.outdated())) == 1


def test_a_kind_of_type_is_put_down_once(dest: Path, open_store: OpenStore) -> None:
    for number in range(3):
        put(open_store(), TYPED, "text/html", f"text/html; x={number}", "application/xhtml+xml")
    assert len((dest / ".fetchpool" / "types").read_bytes().splitlines()) == 2
