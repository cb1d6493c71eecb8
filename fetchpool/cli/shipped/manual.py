"""The manual page `fetchpool(1)`."""

from __future__ import annotations

from fetchpool import __version__
from fetchpool.cli.shipped import roff
from fetchpool.cli.shipped.surface import Command, Flag, commands
from fetchpool.config.options import Panel
from fetchpool.config.reference import RULES
from fetchpool.model.exits import ExitStatus

_STATUSES = {
    ExitStatus.OK: "Finished; every URL is ok, or within `--fail-if`.",
    ExitStatus.URLS_FAILED: "Finished; URLs failed.",
    ExitStatus.USAGE: "Bad usage, bad configuration, or an input that can't be read; nothing was "
    "fetched.",
    ExitStatus.BUG: "A bug of fetchpool, told with a traceback.",
    ExitStatus.CANNOT_CREATE: "The output can't be created; nothing was fetched.",
    ExitStatus.IO_ERROR: "The output or the list failed on the way (disk full, read error); run it "
    "again to go on.",
    ExitStatus.STOPPED_EARLY: "Stopped early (`--max-time`, our own network or the proxy is down), "
    "or another run holds DEST; run it again.",
    ExitStatus.HANGUP: "SIGHUP; run it again to go on.",
    ExitStatus.INTERRUPTED: "Ctrl-C; run it again to go on.",
    ExitStatus.PIPE_CLOSED: "The reader of standard output went away; what was fetched is "
    "recorded.",
    ExitStatus.TERMINATED: "SIGTERM; run it again to go on.",
}

_AS_WRITTEN = ".nh\n.ad l\n"
"""Words are not divided, as many of them are to be typed."""

_DOCUMENTS = "Documents that are named here, such as hosts.md, are in docs/ of the sources."

_DESCRIPTION = """\
A list of URLs goes in, and for every line there is one stored body or one typed reason why not, in
a ledger that survives whatever ends the run. Many connections are busy at once and used again, no
slow host holds up the others, and the same command, run again, goes on where it stopped.

The commands are below, then the options of `get`; `--help` behind a command shows its own.
"""

_FILES = {
    "DEST/HOST/PATH": "The body of a URL, where bodies are files.",
    "DEST/results.jsonl": "The records, one JSON object a line for each line of the list.",
    "DEST/.fetchpool/": "What the next run needs to go on.",
    "~/.config/fetchpool/config.toml": "Settings, if it is there.",
}


def render_manual(released: str) -> str:
    """Return the page in man(7) macros, ASCII.

    *released* is the day of this version, in the form of ISO 8601; empty where there is none yet.
    """
    program, *under = commands()
    get = next(each for each in under if each.name == "get")
    return "".join(
        [
            '.\\" Made by `python -m fetchpool.cli.shipped`; a test holds it to the options.\n',
            f'.TH FETCHPOOL 1 "{released}" "fetchpool {__version__}" "User Commands"\n',
            _AS_WRITTEN,
            roff.section("Name"),
            f"fetchpool \\-\n{roff.escaped(_as_clause(program.summary))}\n",
            roff.section("Synopsis"),
            *_synopses(under),
            roff.section("Description"),
            roff.blocks(f"{_DESCRIPTION}\n\n{program.more}"),
            roff.section("Commands"),
            *(_of_command(each) for each in under),
            roff.subsection("fetchpool without a command"),
            *_of_own(program),
            roff.section("Options of get"),
            *_of_panels(get),
            roff.section("Settings"),
            roff.blocks(RULES),
            roff.section("Files"),
            *(roff.entry(roff.italic(path), text) for path, text in _FILES.items()),
            roff.section("Exit status"),
            *(
                roff.entry(roff.bold(str(int(each))), _STATUSES[each])
                for each in sorted(ExitStatus)
            ),
            roff.section("Examples"),
            roff.verbatim(get.examples),
            roff.section("See also"),
            "\\fBaria2c\\fR(1),\n\\fBcurl\\fR(1),\n\\fBwget\\fR(1)\n",
            f".PP\n{_DOCUMENTS}\n",
        ]
    )


def _as_clause(sentence: str) -> str:
    """Return *sentence* as whatis(1) wants it: without capital and full stop."""
    return sentence[:1].lower() + sentence[1:].removesuffix(".")


def _synopses(under: list[Command]) -> list[str]:
    lines = [
        f"\\fBfetchpool {each.name}\\fR [\\fIOPTION\\fR]... {_arguments(each)}" for each in under
    ]
    return ["\n.br\n".join(line.rstrip() for line in lines), "\n"]


def _arguments(command: Command) -> str:
    if command.name == "get":
        return "[\\fISOURCE\\fR]..."
    return " ".join(roff.italic(each) for each in command.arguments if each != "SOURCE")


def _of_command(command: Command) -> str:
    text = f"{command.summary}\n\n{command.more}".rstrip()
    title = roff.subsection(f"fetchpool {command.name}")
    return "".join([title, roff.blocks(text), *_of_own(command)])


def _of_own(command: Command) -> list[str]:
    """Return the flags of a command; the settings that `get` and `config` have are elsewhere."""
    has_settings = command.name in {"get", "config"}
    own = [each for each in command.flags if each.option is None or not has_settings]
    return [_of_flag(each) for each in own if "--help" not in each.names]


def _of_panels(get: Command) -> list[str]:
    found = []
    for panel in Panel:
        rows = [each for each in get.flags if each.option and each.option.panel is panel]
        found += [roff.subsection(panel.value), *map(_of_flag, rows)]
    return found


def _of_flag(flag: Flag) -> str:
    value = f" {roff.italic(flag.metavar)}" if flag.metavar else ""
    term = ", ".join(roff.bold(name) for name in flag.names) + value
    text = f"{flag.help.removesuffix('.')}."
    if flag.option is not None:
        text = f"{text} {flag.option.also.more}".strip()
        if flag.option.default_text and not flag.option.is_switch:
            text += f" Default: {flag.option.default_text}."
    return roff.entry(term, text)
