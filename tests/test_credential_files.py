"""Files that say who asks: what is read of them, and that a refusal tells nothing of it."""

from __future__ import annotations

import errno
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

from fetchpool.config import Config, ConfigError, load_settings
from fetchpool.config.options import Option
from fetchpool.config.settings import options
from fetchpool.model.cookies import HEADING, Cookie
from fetchpool.output import cookies as writing
from fetchpool.output.cookies import check_cookie_target, save_cookies
from fetchpool.output.ledger import OutputError
from fetchpool.run.choices import exposed_files

CANARY = "canary-77a1"
COOKIE = Cookie("a.test", True, "/", False, False, None, "id", CANARY)


def written(tmp_path: Path, text: str, name: str = "file") -> str:
    path = tmp_path / name
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def option(name: str) -> Option:
    return next(each for each in options() if each.name == name)


def test_netrc_is_read_as_its_machines(tmp_path: Path) -> None:
    text = (
        "machine A.test login me password p#w:1 machine b.test login x\n"
        'machine c.test login "my name" password "a b" account z\n'
        "machine none.test\nmacdef init\nput x\n\ndefault login any password p\n"
    )
    config = Config(netrc=written(tmp_path, text))
    assert config.netrc is not None
    assert dict(config.netrc.machines) == {
        "a.test": "me:p#w:1", "b.test": "x:", "c.test": "my name:a b", "none.test": None,
    }  # fmt: skip
    assert config.netrc.default == "any:p"


def test_bearer_file_is_read_as_tokens_of_origins(tmp_path: Path) -> None:
    text = "# mine\n\nhttps://API.test t/o+k=\r\nhttp://api.test:8080/\tx.y\nhttps://[::1]:1 z\n"
    config = Config(bearer_file=written(tmp_path, text))
    assert config.bearer_file is not None
    assert dict(config.bearer_file.tokens) == {
        ("https", "api.test", 443): "t/o+k=", ("http", "api.test", 8080): "x.y",
        ("https", "::1", 1): "z",
    }  # fmt: skip


REFUSED: dict[str, tuple[str, bytes | None, str]] = {
    "no netrc": ("netrc", f"x\npassword {CANARY}".encode(), "is none (near line 2)"),
    "a token of a netrc": (
        "netrc",
        f"machine a\nlogin me {CANARY}".encode(),
        "is none (near line 2)",
    ),
    "netrc in bytes": ("netrc", b"machine \xff\xfe", "no text in UTF-8"),
    "no such netrc": ("netrc", None, "No such file"),
    "bare token": ("bearer_file", f"{CANARY}\n".encode(), "line 1 of"),
    "token for a path": ("bearer_file", f"\nhttps://a.test/x {CANARY}".encode(), "line 2 of"),
    "for a query": ("bearer_file", f"https://a.test/? {CANARY}".encode(), "line 1 of"),
    "with userinfo": ("bearer_file", f"https://u:p@a.test {CANARY}".encode(), "line 1 of"),
    "of two words": ("bearer_file", f"https://a.test Bearer {CANARY}".encode(), "line 1 of"),
    "not ASCII": ("bearer_file", f"https://a.test {CANARY}ü".encode(), "line 1 of"),
    "twice": ("bearer_file", b"https://a.test x\nhttps://a.test:443/ y", "line 2 of"),
    "no such tokens": ("bearer_file", None, "No such file"),
    "broken cookie": ("cookies", f"{HEADING}\n{CANARY}\n".encode(), "line 2 is none of seven"),
    "cookies in JSON": ("cookies", f'[{{"value": "{CANARY}"}}]'.encode(), "line 1 is none"),
    "cookies in bytes": ("cookies", b"\xff", "no text in UTF-8"),
    "no such cookies": ("cookies", None, "there is no"),
}


@pytest.mark.parametrize(("name", "content", "said"), REFUSED.values(), ids=REFUSED)
def test_refusal_names_the_line_and_tells_nothing_of_it(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    given: dict[str, Any] = {name: str(path)}
    with pytest.raises(ConfigError) as caught:
        load_settings(given, {}, file="")
    assert said in str(caught.value)
    assert str(caught.value).startswith(option(name).flag)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_file_too_big_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetchpool.config.credential_values.MAX_FILE_BYTES", 10)
    with pytest.raises(ConfigError, match="takes at most"):
        Config(cookies=written(tmp_path, "# a comment\n"))


def test_what_was_read_goes_along_and_is_never_shown(tmp_path: Path) -> None:
    config = Config(
        netrc=written(tmp_path, f"machine a.test login me password {CANARY}", "n"),
        bearer_file=written(tmp_path, f"https://a.test {CANARY}", "b"),
        cookies=written(tmp_path, f"a.test\tFALSE\t/\tFALSE\t0\tid\t{CANARY}\n", "c"),
        save_cookies=True,
    )
    for name in "nbc":
        (tmp_path / name).unlink()  # it was read once: a pipe could not be read again
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.cookies is not None
    assert config.cookies.cookies == (COOKIE,)
    assert config.cookie_target == str(tmp_path / "c")
    shown = [repr(config), repr(config.netrc), repr(config.bearer_file), repr(config.cookies)]
    shown += [repr(COOKIE), *(each.show(getattr(config, each.name, None)) for each in options())]
    assert CANARY not in "".join(shown)
    assert f"netrc={tmp_path}/n" in shown[0]


def test_netrc_alone_is_the_one_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    home = written(tmp_path, "machine a.test login me password x", ".netrc")
    (tmp_path / "s.toml").write_text("netrc = true\n")
    for settings in (
        load_settings({"netrc": ""}, {}, file=""),
        load_settings({}, {}, file=str(tmp_path / "s.toml")),
        load_settings({}, {"FETCHPOOL_NETRC": "~/.netrc"}, file=""),
    ):
        assert settings.config.netrc is not None
        assert settings.config.netrc.path == home


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"key": "k.pem"}, "--key is the key of --cert"),
        ({"save_cookies": True}, "--save-cookies writes to the file of --cookies"),
        ({"cookies": "none"}, "--cookies: there is no 'none'"),
        ({"cookies": "none", "save_cookies": "other"}, "--cookies: there is no 'none'"),
        ({"save_cookies": "jar.json"}, "save_cookies (--save-cookies) is written as plain text"),
    ],
)
def test_what_makes_no_sense_together_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**settings)
    assert str(caught.value).startswith(said)


def test_first_night_has_no_cookies_yet(tmp_path: Path) -> None:
    config = Config(cookies=tmp_path / "jar", save_cookies=True)
    check_cookie_target(config)
    save_cookies(config, [COOKIE])
    again = Config(cookies=tmp_path / "jar")
    assert again.cookies is not None
    assert again.cookies.cookies == (COOKIE,)


def test_files_that_others_may_read_are_named(tmp_path: Path) -> None:
    names = {each: written(tmp_path, "", each) for each in ("n", "b", "c", "cert", "key")}
    config = Config(
        netrc=names["n"], bearer_file=names["b"], cookies=names["c"],
        cert=names["cert"], key=names["key"],
    )  # fmt: skip
    assert exposed_files(config) == []
    for name in names:
        (tmp_path / name).chmod(0o644 if name != "key" else 0o640)
    config = Config(
        netrc=names["n"], bearer_file=names["b"], cookies=names["c"],
        cert=names["cert"], key=names["key"],
    )  # fmt: skip
    assert exposed_files(config) == [names[each] for each in ("n", "b", "c", "key")]
    assert exposed_files(Config(cert=names["cert"])) == [names["cert"]]


# -- where cookies are written


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("list.txt", "would overwrite a file that is no cookies.txt"),
        ("none/jar", "no such directory"),
        ("folder", "not a regular file"),
        ("/dev/null", "not a regular file"),
    ],
)
def test_nothing_but_cookies_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "http://a.test/\n", "list.txt")
    (tmp_path / "folder").mkdir()
    with pytest.raises((ConfigError, OutputError), match=said):
        check_cookie_target(Config(save_cookies=target))
    assert sorted(os.listdir()) == ["folder", "list.txt"]


def test_file_is_replaced_in_one_step_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    jar = Path(written(tmp_path, f"{HEADING}\n", "there/jar"))
    jar.chmod(0o666)
    link = tmp_path / "link"
    link.symlink_to(jar)
    config = Config(save_cookies=link)
    check_cookie_target(config)

    def fail(fd: int, data: bytes) -> None:
        os.write(fd, data[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_whole", fail)
        with pytest.raises(OutputError, match="No space left on device"):
            save_cookies(config, [COOKIE])
    assert jar.read_text() == f"{HEADING}\n"
    save_cookies(config, [COOKIE])
    assert link.is_symlink()
    assert CANARY in jar.read_text()
    assert jar.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "there") == ["jar"]
