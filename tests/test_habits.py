"""Options of curl, wget, aria2c and xargs: each is answered with what is called so here."""

from __future__ import annotations

import pytest

from fetchpool.cli import app as cli
from fetchpool.config import nearest, options
from fetchpool.config.habits import _HABITS, habits, options_in, same_elsewhere

OURS = {flag for option in options() for flag in option.flags} | {"--config"}
COMMON = """
-O -x -k -i -j -P --parallel --parallel-max -b -c -L -v -s -S -f --fail --compressed -e --referer
--tries -t -T -nc --no-clobber --timestamping -N --directory-prefix --max-concurrent-downloads
--max-connection-per-server --limit-rate --retry --retry-max-time --no-check-certificate
--input-file --wait --random-wait -r --recursive
"""


@pytest.mark.parametrize(("names", "said"), _HABITS, ids=[names.split()[0] for names, _ in _HABITS])
def test_option_of_another_tool_is_answered_in_one_line(
    names: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {habits()[name] for name in names.split()} == {said}
    for name in names.split()[:1]:
        assert cli.main(["get", name, "x"]) == 2
        assert capsys.readouterr() == ("", f"fetchpool: fetchpool get has no {name}; {said}\n")
    assert said.isprintable()
    assert len(said) <= 100
    assert not said.endswith(".")


def test_what_is_recommended_exists_and_what_exists_is_not_in_the_table() -> None:
    for said in habits().values():
        assert {f"--{name}" for name in options_in(said)} <= OURS, said
    assert not set(habits()) & OURS, "it is an option of ours now"
    assert not set(habits()) & {f"--no-{option.key}" for option in options() if option.is_switch}


def test_no_option_is_in_the_table_twice() -> None:
    every = [name for names, _ in _HABITS for name in names.split()]
    assert sorted(every) == sorted(habits())


@pytest.mark.parametrize("name", COMMON.split())
def test_common_options_are_known(name: str) -> None:
    assert name in habits()


def test_options_that_are_named_are_seen() -> None:
    said = "--limit N and --per-host; fetchpool --version, -d, a--b, --x"
    assert options_in(said) == {"limit", "per-host", "x"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [("threads", "limit"), ("retry", "retries"), ("verbose", None), ("x", None), ("limit", None)],
)
def test_same_thing_under_another_name_is_known_without_dashes(
    written: str, meant: str | None
) -> None:
    assert same_elsewhere(written) == meant
    if meant is not None:
        assert nearest(written, [option.key for option in options()]) == meant
