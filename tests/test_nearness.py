"""What somebody may have meant: near, or the same thing under another tool's name, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.config import ConfigError, load_settings, nearest, options
from fetchpool.config.habits import habits

NAMES = [option.key for option in options()]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("limt", "limit"),
        ("perhost", "per-host"),
        ("max-redirs", "max-redirects"),
        ("max-filesize", "max-size"),
        ("hsah", "hash"),
        ("out", "output"),
        ("time", "timeout"),
        ("threads", "limit"),
        ("header-file", "header"),
        ("verbose", None),
        ("continue", None),
        ("recursive", None),
        ("x", None),
        ("", None),
    ],
)
def test_suggestion_is_near_or_none(written: str, meant: str | None) -> None:
    assert nearest(written, NAMES) == meant


@given(st.text("abcdefghijklmnopqrstuvwxyz-", max_size=12))
def test_suggestion_shares_most_of_its_letters_with_what_was_written(written: str) -> None:
    meant = nearest(written, NAMES)
    if meant is not None and not {f"-{written}", f"--{written}"} & set(habits()):
        common = sum(min(written.count(letter), meant.count(letter)) for letter in set(written))
        assert 3 * common >= 2 * len(written)  # of two names at 0.8, the shorter is two thirds


def test_name_of_another_tool_is_nothing_where_its_option_is_not() -> None:
    assert nearest("threads", ["json", "dest"]) is None


def test_key_of_a_file_is_suggested_likewise(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("config") / "s.toml"
    for key, said in (
        ("threads", "did you mean limit?"),
        ("limit_per_host", "did you mean per-host?"),
        ("verbose", "see fetchpool get --help"),
    ):
        file.write_text(f"{key} = 4\n")
        with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
            load_settings({}, {}, file=str(file))
