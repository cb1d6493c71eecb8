"""The command line as values: every command, its arguments, its flags and what they take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

import typer

from fetchpool.cli.app import app
from fetchpool.config import Option, options


class Takes(Enum):
    """What the value of a flag or an argument is, for a shell that completes it."""

    NOTHING = "no value: a switch"
    WORD = "one of some words, or a text"
    FILE = "a file"
    DIRECTORY = "a directory"


_TAKES = {
    "FILE": Takes.FILE,
    "[FILE]": Takes.FILE,
    "PATH": Takes.FILE,
    "SOURCE": Takes.FILE,
    "DEST": Takes.DIRECTORY,
    "DIR": Takes.DIRECTORY,
    "": Takes.NOTHING,
}
"""By metavar; any other takes a word."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One option of a command, in plain text."""

    names: tuple[str, ...]
    """The short one first."""
    metavar: str
    """Empty for a switch."""
    help: str
    """One sentence, without a full stop."""
    choices: tuple[str, ...]
    repeatable: bool
    option: Option | None
    """The setting behind it; None for the flags that are none."""

    @property
    def takes(self) -> Takes:
        """What its value is."""
        return _TAKES.get(self.metavar, Takes.WORD)


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or the program itself, whose name is empty."""

    name: str
    summary: str
    """One sentence, with its full stop."""
    more: str
    """Markdown; may be empty."""
    arguments: tuple[str, ...]
    """Their metavars."""
    flags: tuple[Flag, ...]
    examples: str
    """A block of command lines, as a terminal shows them; may be empty."""


def commands() -> list[Command]:
    """Return the program itself, then each of its commands, in the order of the help."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="fetchpool", **group.context_settings)
    under = [
        _command(name, each, typer.Context(each, info_name=name, parent=context))
        for name, each in group.commands.items()
    ]
    return [_command("", group, context), *under]


def _command(name: str, command: Any, context: Any) -> Command:
    summary, _, more = _markdown(command.help).partition("\n\n")
    parameters = command.get_params(context)
    settings = {option.name: option for option in options()}
    return Command(
        name,
        " ".join(summary.split()),
        more,
        tuple(each.metavar for each in parameters if each.param_type_name == "argument"),
        tuple(
            _flag(each, settings.get(each.name))
            for each in parameters
            if each.param_type_name == "option"
        ),
        _block(command.epilog or "", "Examples"),
    )


def _flag(parameter: Any, option: Option | None) -> Flag:
    names = tuple(sorted(parameter.opts, key=len))
    # Another command may have an option of the same name that means something else.
    known = option if option is not None and parameter.help.startswith(option.help) else None
    shown = "SHELL" if "--install-completion" in names or "--show-completion" in names else ""
    return Flag(
        names,
        shown or ("" if parameter.is_flag else parameter.metavar),
        known.help if known else re.sub(r"\[/?dim\]", "", parameter.help),
        _words(known, shown),
        parameter.multiple,
        known,
    )


def _words(option: Option | None, shown: str) -> tuple[str, ...]:
    if shown:
        from fetchpool.cli.completion import SHELLS

        return SHELLS
    return tuple(option.kind.choices or ()) if option else ()


def _markdown(text: str) -> str:
    return re.sub(r"\[/?bold\]", "**", text)


def _block(epilog: str, title: str) -> str:
    """Return the lines below *title* in an *epilog*, without their indentation."""
    _, _, rest = epilog.partition(f"[bold]{title}[/bold]\n")
    lines = rest.partition("\n\n")[0].splitlines()
    return "\n".join(line.removeprefix("  ").rstrip() for line in lines)
