"""Content-Disposition, as servers write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.disposition import suggested_filename
from fetchpool.model.values import Head


def suggested(value: str | bytes) -> str | None:
    text = value if isinstance(value, str) else value.decode("latin-1")
    return suggested_filename(Head(200, (("content-disposition", text),)))


@pytest.mark.parametrize(
    ("value", "filename"),
    [
        (b"attachment", None),
        (b"", None),
        (b"attachment; filename=a.pdf", "a.pdf"),
        (b'attachment; filename="a b.pdf"', "a b.pdf"),
        (b"ATTACHMENT; FileName=a.pdf ; size=3", "a.pdf"),
        (b"filename=a.pdf", "a.pdf"),
        (b"inline;filename = a.pdf", "a.pdf"),
        (b"attachment; filename=a b.pdf", "a b.pdf"),
        (b'attachment; filename="a;b.pdf"; x=y', "a;b.pdf"),
        (b'attachment; x="; filename=bad"; filename=good', "good"),
        (b'attachment; filename="a\\"b\\\\c.pdf"', 'a"b\\c.pdf'),
        (b'attachment; filename="C:\\dir\\a.pdf"', "C:\\dir\\a.pdf"),
        (b'attachment; filename="never ends.pdf', "never ends.pdf"),
        (b'attachment; filename="a.pdf"; filename="b.pdf"', "a.pdf"),
        (b'attachment; filename=""', None),
        (b"attachment; filename=", None),
        (b"attachment; xfilename=a.pdf", None),
        (b'attachment; name="x"; filename=a.pdf', "a.pdf"),
    ],
)
def test_filename_is_read_whatever_stands_around_it(value: bytes, filename: str | None) -> None:
    assert suggested(value) == filename


@pytest.mark.parametrize(
    ("value", "filename"),
    [
        (b"attachment; filename=plain.pdf; filename*=UTF-8''na%C3%AFve.pdf", "naïve.pdf"),
        (b"attachment; filename*=UTF-8''na%C3%AFve.pdf; filename=plain.pdf", "naïve.pdf"),
        (b"attachment; filename*=utf-8'en'%e4%b8%ad.pdf", "中.pdf"),
        (b"attachment; filename*=ISO-8859-1''caf%E9.pdf", "café.pdf"),
        (b"attachment; filename*=\"UTF-8''a%20b.pdf\"", "a b.pdf"),
        (b"attachment; filename*=UTF-8''\xe4\xb8\xad.pdf", "中.pdf"),
        (b"attachment; FILENAME*=UTF-8''a.pdf", "a.pdf"),
        (b"attachment; filename*=UTF-8''a'b.pdf", "a'b.pdf"),
    ],
)
def test_extended_filename_wins_wherever_it_stands(value: bytes, filename: str) -> None:
    assert suggested(value) == filename


@pytest.mark.parametrize(
    "extended",
    [b"UTF-8''%ff", b"bogus'x'%zz", b"idna''x", b"utf-16''%ff%fe", b"no-quotes", b"UTF-8'x", b""],
)
def test_extended_filename_that_is_none_gives_way_to_the_plain_one(extended: bytes) -> None:
    assert suggested(b"attachment; filename*=" + extended + b"; filename=plain") == "plain"
    assert suggested(b"attachment; filename*=" + extended) is None


@pytest.mark.parametrize(
    ("value", "filename"),
    [
        ('attachment; filename="naïve 中.pdf"'.encode(), "naïve 中.pdf"),
        ('attachment; filename="café.pdf"'.encode("latin-1"), "café.pdf"),
        ("attachment; filename=中.pdf".encode(), "中.pdf"),
        (b'attachment; filename="a%20b.pdf"', "a%20b.pdf"),
    ],
)
def test_raw_bytes_are_utf8_or_else_latin1(value: bytes, filename: str) -> None:
    assert suggested(value) == filename


@given(st.text() | st.text(st.sampled_from("filename*=\"'\\; UTF-8%Cé")))
def test_any_header_gives_a_name_or_none(value: str) -> None:
    for header in (value, f"attachment; filename={value}", f"attachment; filename*=UTF-8''{value}"):
        found = suggested(header)
        assert found is None or isinstance(found, str)


def test_a_huge_header_is_read_in_one_pass() -> None:
    """Milliseconds; two passes within each other would take hours."""
    for piece in ("; a", "a=b; ", ";   ", '"', "\\", "'", 'a="', "a\t"):
        suggested("attachment; " + piece * 100_000)
        suggested('attachment; filename="' + piece * 100_000)
