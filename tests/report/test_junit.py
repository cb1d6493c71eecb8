"""The report as JUnit's XML: what CI servers count on."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fetchpool.cli import report as command
from fetchpool.reporting.report.junit import render
from tests.report.making import HOSTILE, hostile_dest, make_dest, record, report_of

SUITE = {
    *("name", "package", "id", "tests", "failures", "errors", "skipped"),
    *("time", "timestamp", "hostname"),
}


def read(text: str) -> ET.Element:
    """Return the root of *text* once it has the form that the schemas ask for.

    That is what those of Ant (JUnit.xsd) and of Jenkins (junit-10.xsd) have in common.
    """
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    assert root.attrib == {}
    for number, suite in enumerate(root):
        assert (suite.tag, set(suite.attrib)) == ("testsuite", SUITE)
        assert suite.get("id") == str(number)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
        assert re.fullmatch(r"\d+\.\d{3}", suite.get("time", ""))
        assert suite.get("name", "").strip()
        first, *cases, out, err = suite
        assert [first.tag, out.tag, err.tag] == ["properties", "system-out", "system-err"]
        assert all(set(each.attrib) == {"name", "value"} for each in first)
        for case in cases:
            assert (case.tag, set(case.attrib)) == ("testcase", {"classname", "name", "time"})
            assert re.fullmatch(r"\d+\.\d{3}", case.get("time", ""))
            for failure in case:
                assert (failure.tag, set(failure.attrib)) == ("failure", {"message", "type"})
        assert suite.get("tests") == str(len(cases))
        assert suite.get("failures") == str(sum(len(case) for case in cases))
        assert (suite.get("errors"), suite.get("skipped")) == ("0", "0")
    return root


def xml_of(dest: Path) -> ET.Element:
    return read(render(report_of(dest, "junit")))


def test_each_url_is_a_case_in_the_order_of_the_list(tmp_path: Path) -> None:
    records = [record(3, label="404"), record(1), record(2, label="dns", detail="no such name")]
    (suite,) = xml_of(make_dest(tmp_path / "run", records))
    assert suite.get("name") == "urls.txt"
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [f"https://example.org/{n}" for n in (1, 2, 3)]
    assert [len(case) for case in cases] == [0, 1, 1]
    assert cases[1][0].get("message") == "dns: no such name"
    assert cases[1][0].get("type") == "dns"
    assert (cases[1][0].text or "").startswith("line 2: https://example.org/2")
    properties = {each.get("name"): each.get("value") for each in suite[0]}
    assert properties["urls"] == "3"
    assert (properties["ok"], properties["failed"], properties["left"]) == ("1", "2", "0")


def test_each_list_is_a_suite(tmp_path: Path) -> None:
    records = [
        record(seq, source=f"list-{seq % 2}.txt", line=seq, label="404" if seq % 3 else None)
        for seq in range(1, 13)
    ]
    dest = make_dest(tmp_path / "run", records, sources=["list-1.txt", "list-0.txt"])
    one, other = xml_of(dest)
    assert (one.get("name"), other.get("name")) == ("list-1.txt", "list-0.txt")
    assert (one.get("tests"), one.get("failures")) == ("6", "4")
    assert len(other[0]) == 0  # properties are told once


def test_run_without_records_is_a_suite_without_cases(tmp_path: Path) -> None:
    (suite,) = xml_of(make_dest(tmp_path / "run"))
    assert suite.get("tests") == "0"


def test_what_is_too_much_is_one_more_case_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(command._LISTED, "junit", 10)
    records = [record(seq, label="404" if seq <= 25 else None) for seq in range(1, 51)]
    (suite,) = xml_of(make_dest(tmp_path / "run", records))
    assert (suite.get("tests"), suite.get("failures")) == ("36", "11")
    last = suite.findall("testcase")[-1]
    assert last.get("name") == "15 more URLs failed; see fetchpool status or the records"


def test_no_text_from_outside_is_obeyed(tmp_path: Path) -> None:
    text = render(report_of(hostile_dest(tmp_path), "junit"))
    root = read(text)
    assert len(root) == len(HOSTILE) + 1  # a list each, and the one of records that name none
    names = [case.get("name") or "" for case in root.iter("testcase")]
    assert len(names) == 3 * len(HOSTILE)
    assert any("]]><failure/>" in name for name in names)
    assert any("\\u202eright to left" in name for name in names)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\ufffe\uffff]", text)
