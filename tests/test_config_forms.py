"""Names that promise another place or form than what is written, and settings that do nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from fetchpool.cli import app as cli
from fetchpool.config import Config, ConfigError, check_output, load_settings, options
from fetchpool.run import run
from fetchpool.run.choices import layout_of

PLACES = (
    *("r2://bucket/x", "oss://bucket/x", "b2://box/x", "abfss://a@b/x", "s3:/b/x"),
    *("hdfs://h/x", "sftp://h/x", "https://h/x", "me@host:pages", "me@host:/srv/x"),
    *("s3:bucket/x", "gs:bucket", "sftp:x", "sqlite:///x.db", "nas:/export/x"),
)
FORMS = (
    *("out.tar.gz", "out.zip", "x.tar", "x.WARC.GZ", "x.warc", "x.wacz", "x.tgz", "x.tar.zst"),
    *("x.sqlite", "x.sqlite/", "x.db", "x.duckdb", "a/b.parquet", "x.jsonl.gz", "x.7z", "x.xlsx"),
    *("x.csv", "x.tsv", "x.json", "x.jsonl", "x.arrow", "page.html", "logo.png", "list.txt"),
    *("x.tfrecord", "x.mbtiles", "x.gpkg", "x.tar.lz"),
)
DIRECTORIES = (
    *("pages", "out.d", "example.org", "v1.2", "2026-01-31", ".hidden", "a.b/c", "../x", "zip"),
    *("tar", ".tar", "x.fetched", "x.fetched/", "10:30", "a:b", "pages.old", "me@host"),
)


@pytest.mark.parametrize("name", [*PLACES, *FORMS])
def test_destination_that_is_no_directory_by_its_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_output(name)
    said = str(caught.value)
    assert repr(name) in said
    assert "name a " in said
    with pytest.raises(ConfigError, match=r"^FETCHPOOL_OUTPUT takes a "):
        load_settings({}, {"FETCHPOOL_OUTPUT": name}, file="")


@pytest.mark.parametrize(
    "name", ["s3://bucket", "S3://bucket/a/b.c", "gs://buc.ket/x/", "az://box"]
)
def test_destination_may_be_in_an_object_store(name: str) -> None:
    assert check_output(name) == name
    layout = layout_of(Config(state="here"), ["urls.txt"], name)
    assert layout is not None
    assert layout.name == name.rstrip("/").replace("S3", "s3")
    assert layout.ledger == Path("here/results.jsonl")
    layout = layout_of(Config(), ["urls.txt"], name)
    assert layout is not None
    assert layout.home == Path("urls.fetched")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("s3://", "has no name of a bucket"),
        ("s3:///x", "has no name of a bucket"),
        ("s3://a b/x", "has a name of a bucket that no store takes"),
        ("s3://b/x", "it has 3 to 63 letters, digits, '.', '-' and '_'"),
        (f"s3://{'b' * 64}/x", "it has 3 to 63 letters"),
        ("s3://key:secret@bucket/x", "has credentials, which come from the environment"),
        ("gs://bucket/a//b", "an empty part"),
        ("s3://bucket/../b", "'..'"),
        ("az://bucket/a?sig=x", "'?'"),
    ],
)
def test_place_in_an_object_store_is_written_in_one_way(name: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_output(name)
    assert why in str(caught.value)
    assert "takes s3://bucket/prefix" in str(caught.value)


@pytest.mark.parametrize("name", DIRECTORIES)
def test_destination_may_have_any_other_name(name: str) -> None:
    assert check_output(name) == name


def test_directory_that_is_there_may_go_on_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FORMS:
        os.makedirs(name, exist_ok=True)
        assert check_output(name) == name


def test_path_is_told_without_its_scheme() -> None:
    with pytest.raises(ConfigError, match="leave out file://"):
        check_output("file:///tmp/x")


@pytest.mark.parametrize(
    "name",
    [
        *("out.parquet", "r.xlsx", "r.XLS", "r.sqlite", "r.db", "r.csv.gz", "r.jsonl.zst", "r.zip"),
        *("r.tsv", "r.ods", "r.xml", "r.tar.gz", "r.html", "s3://bucket/r.csv", "r.feather"),
    ],
)
def test_records_of_a_form_that_is_not_there_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="--records"):
        Config(records=name)


def test_text_that_is_no_data_is_not_written_under_the_name_of_data() -> None:
    for name in ("x.json", "x.jsonl", "x.csv", "x.parquet", "x.html", "x.db", "x.log.gz"):
        with pytest.raises(ConfigError, match=r"--log-file. is written as plain text"):
            Config(log_file=name)
        with pytest.raises(ConfigError, match=r"--metrics-file. is written as plain text"):
            Config(metrics_file=name)
    for name in ("x.prom", "x.log", "x.txt", "x", "x.2026-01-31", "/dev/stderr"):
        Config(log_file=name, metrics_file=name)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *(("x.tar.gz", ".tar.gz"), ("x.warc.gz/", ".warc.gz"), ("x.csv.ZST", ".csv.zst")),
        *(("my.site.zip", ".zip"), ("x.tar", ".tar"), ("v1.gz", ".gz"), ("x.gz.csv", ".csv")),
    ],
)
def test_form_is_told_whole(name: str, form: str) -> None:
    with pytest.raises(ConfigError, match=rf"is the name of a {re.escape(form)} file"):
        check_output(name)


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.ndjson", "r.json", "r", "r.txt", "-"])
def test_records_may_have_any_other_name(name: str) -> None:
    assert Config(records=name).records == name


def test_form_of_records_that_was_asked_for_wins_where_nothing_is_packed(tmp_path: Path) -> None:
    assert Config(records="r.parquet", records_format="jsonl").records == "r.parquet"
    assert Config(records="r.xml", records_format="csv").records == "r.xml"
    with pytest.raises(ConfigError, match=r"without \.gz, and pack it afterwards"):
        Config(records="r.csv.gz", records_format="csv")
    pipe = tmp_path / "r.csv.gz"
    os.mkfifo(pipe)  # gzip < r.csv.gz may stand at its other end
    assert Config(records=str(pipe)).records == str(pipe)


@pytest.mark.parametrize("option", ["log_file", "metrics_file"])
def test_plain_text_is_not_written_under_the_name_of_a_packed_file(option: str) -> None:
    flag = f"--{option}".replace("_", "-")
    for name in ("x.log.gz", "x.zip", "s3://bucket/x"):
        with pytest.raises(ConfigError, match=flag):
            Config(**{option: name})  # type: ignore[arg-type]


# -- what would do nothing


@pytest.mark.parametrize("flag", ["--once", "--retry-failed", "--fresh", "--add"])
def test_going_on_without_a_directory_is_refused(
    flag: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["get", "--no-body", flag, "http://127.0.0.1:9/"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"fetchpool: {flag} ")
    assert said.count("\n") == 1
    assert "--output" in said
    name = flag[2:].replace("-", "_")
    given = {name: True, "no_body": True, "output": str(tmp_path / "x")}
    assert load_settings(given, {}, file="").output == str(tmp_path / "x")
    with pytest.raises(ConfigError, match=flag):
        run(Config(no_body=True, **{name: True}), ["http://127.0.0.1:9/"])  # type: ignore[arg-type]


def test_no_body_on_the_command_line_silences_what_the_file_says_of_earlier_runs() -> None:
    environ = {"FETCHPOOL_ONCE": "1"}
    settings = load_settings({"no_body": True}, environ, file="")
    assert not settings.config.once
    with pytest.raises(ConfigError, match="--once"):
        load_settings({}, {**environ, "FETCHPOOL_NO_BODY": "1"}, file="")


def test_what_the_command_line_makes_idle_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, named in (
        (["--records-format", "csv"], "--records-format"),
        (["--no-body", "--keep-errors", "-o", "x"], "--keep-errors"),
        (["--no-body", "--content-disposition"], "--content-disposition"),
    ):
        assert cli.main(["get", *argv, "http://127.0.0.1:9/"]) == 2
        assert capsys.readouterr().err.startswith(f"fetchpool: {named} ")
    environ = {"FETCHPOOL_RECORDS_FORMAT": "csv", "FETCHPOOL_KEEP_ERRORS": "1"}
    assert load_settings({"no_body": True}, environ, file="").config.keep_errors


SINGLE = [option for option in options() if not option.is_switch and not option.kind.repeatable]


@pytest.mark.parametrize("option", SINGLE, ids=lambda option: option.key)
def test_option_with_one_value_is_refused_when_given_twice(
    option: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fetchpool.config import Option

    assert isinstance(option, Option)
    monkeypatch.setenv("FETCHPOOL_LIMIT", "7")
    example = option.example or "x"
    argv = ["config", *(word for flag in (option.flags * 2)[:2] for word in (flag, example))]
    assert cli.main(argv) == 2
    assert capsys.readouterr().err.startswith(f"fetchpool: {option.flag} is there twice")


def test_repeatable_options_switches_and_the_environment_are_no_repetition(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FETCHPOOL_LIMIT", "7")
    argv = ["config", "--limit", "8", "-H", "A: 1", "-H", "B: 2", "-q", "-q", "--hash", "--no-hash"]
    argv += ["--secret-param", "a", "--secret-param", "b"]
    assert cli.main(argv) == 0
    shown = capsys.readouterr().out
    assert "8" in next(line for line in shown.splitlines() if line.startswith("limit "))
