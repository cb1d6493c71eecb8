"""Media types and extensions: the table is sound, and says what people expect."""

from __future__ import annotations

import re

import pytest

from fetchpool.output import media
from fetchpool.output.media import answers_for, extension_of, is_medium, is_script, split_extension


def test_every_type_is_one_and_has_an_extension_that_a_name_can_bear() -> None:
    for media_type, extension in media._EXTENSION_OF_TYPE.items():
        assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", media_type)
        assert re.fullmatch(r"(?=[0-9]*[a-z])[a-z0-9]{1,8}", extension)
        assert split_extension(f"x.{extension}") == ("x", extension)
        assert is_medium(extension), "so that the table never takes its own extension away"
        assert answers_for(extension, "text/html") is None


def test_no_extension_is_both_a_medium_and_a_script() -> None:
    assert not media._MEDIA & media._SCRIPTS


def test_generic_types_tell_nothing() -> None:
    for generic in (None, "", "application/octet-stream", "binary/octet-stream", "x", "text"):
        assert extension_of(generic) is None
        assert answers_for("php", generic) is None


@pytest.mark.parametrize(
    "extension", ["aspx", "asp", "php", "php5", "cgi", "ashx", "jsp", "do", "cfm", "action"]
)
def test_extension_of_a_program_gives_way_to_any_known_type(extension: str) -> None:
    assert is_script(extension)
    assert answers_for(extension, "image/jpeg") == "jpg"
    assert answers_for(extension, "text/plain") == "txt"


def test_longest_extension_is_found_whole() -> None:
    longest = "abcdefgh.minisig.minisig.minisig"
    assert len(longest) == media.MAX_EXTENSION
    assert split_extension(f"x.{longest}") == ("x", longest)
