"""What to say where a command line can't be parsed: one line, with what was meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from fetchpool.cli.parsing import Commands, SettingsCommand
from fetchpool.config import nearest, options
from fetchpool.config.habits import habits, options_in


def explain(mistake: Any, argv: Sequence[str]) -> str:
    """Return Typer's complaint about *argv* as one line that echoes nothing but option names."""
    context = getattr(mistake, "ctx", None)
    here = context.command_path if context else "fetchpool"
    manual = f"see {here} --help"
    if hasattr(mistake, "possibilities"):
        return _of_option(mistake.option_name, context, argv) or (
            f"no such option {_clean(mistake.option_name)}: {manual}"
        )
    if hasattr(mistake, "option_name") or hasattr(mistake, "param"):
        text = _clean(mistake.format_message().rstrip("."))
        return f"{text[:1].lower()}{text[1:]}: {manual}"
    if isinstance(getattr(context, "command", None), Commands):
        return f"no command given: try fetchpool get urls.txt, or {manual}"
    return f"too many arguments: {manual}"


def _of_option(written: str, context: Any, argv: Sequence[str]) -> str | None:
    """Return the line for *written*, an option that *context*'s command lacks; None: no idea."""
    if context is None:
        return None
    if isinstance(context.command, Commands):
        # Nobody has named a command: what is meant is `get`.
        known = [option.key for option in options()]
        if any(written in option.flags for option in options()):
            return f"no such option {written} here: it comes behind fetchpool get"
    else:
        known = _long_options(context)
    if (habit := _habit(written, known, argv)) is not None:
        return f"{context.command_path} has no {habit[0]}; {habit[1]}"
    near = nearest(written.lstrip("-"), known)
    return f"no such option {_clean(written)}: did you mean --{near}?" if near else None


def _habit(written: str, known: Collection[str], argv: Sequence[str]) -> tuple[str, str] | None:
    """Return an option of another tool and what is to be said of it, in a command with *known*."""
    table = habits()
    # Of `-nc` the parser complains about the `-n`.
    is_letter = len(written) == 2
    word = next((w for w in argv if is_letter and w.startswith(written) and w in table), written)
    said = table.get(word)
    if said is None:
        return None
    meant = options_in(said)
    is_get = "output" in known
    return (word, said) if is_get or (meant and meant <= set(known)) else None


def _long_options(context: Any) -> list[str]:
    """Return the names of the long options of *context*'s command, without their dashes."""
    flags = [flag for param in context.command.get_params(context) for flag in param.opts]
    names = [flag.removeprefix("--") for flag in flags if flag.startswith("--")]
    if isinstance(context.command, SettingsCommand):
        names += [f"no-{option.key}" for option in options() if option.is_switch]
    return names


def _clean(text: str) -> str:
    """Return a word of the command line, short, printable, and without a URL's userinfo."""
    text = re.sub(r"\S*@", "***@", text)
    return text if len(text) <= 80 else f"{text[:79]}…"
