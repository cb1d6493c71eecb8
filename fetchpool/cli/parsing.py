"""Typer's commands as they are here: what their parsers refuse, what their help looks like."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

from typer.core import TyperCommand, TyperGroup

from fetchpool.config import ConfigError, options
from fetchpool.config.credential_values import OptionalPath

LAST_PANEL = "Other"
_LONGEST_NAME = 200


class PlainHelp:
    """What is mended in the help and the parsing of every command."""

    def make_parser(self, ctx: Any) -> Any:
        """Let the parser refuse what is given twice: the first of both would count for nothing."""
        parser: Any = super().make_parser(ctx)  # type: ignore[misc]
        parse = parser.parse_args

        def parse_once(args: list[str]) -> Any:
            result = parse(args=_with_values(args))
            if not ctx.resilient_parsing:
                _refuse_repeated(result[2])
            return result

        parser.parse_args = parse_once
        return parser

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters; a switch shows no type, and no sentence ends with a full stop.

        What is given for one is taken as it stands: all of ours are texts and switches.
        """
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
                param.help = (param.help or "").removesuffix(".")
            if "process_value" not in vars(param):
                param.process_value = partial(_as_it_stands, param, param.process_value)
        return params


class Commands(PlainHelp, TyperGroup):
    """The group of commands, with a hint for who forgot to name one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look for a shell's name behind the options that take one; else as always."""
        if args and "-completion" in args[0] and not ctx.resilient_parsing:
            from fetchpool.cli.completion import FLAGS, complete_for

            if args[0].partition("=")[0] in FLAGS:
                complete_for(ctx, args)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that *args* begins with; what follows is its own."""
        name = args[0]
        if name in self.commands or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = get_close_matches(name, self.commands, n=1)
        hint = near[0] if near and not _is_source(name) else f"get {_shown(name)}"
        raise ConfigError(f"the first word is no command: did you mean fetchpool {hint}?")


def _is_source(word: str) -> bool:
    return word.lower().startswith(("http://", "https://")) or os.path.isfile(word)  # noqa: PTH113


def _shown(word: str) -> str:
    """Return what may be echoed of a first *word*: the name of a file, as a URL may be secret."""
    if not os.path.isfile(word):  # noqa: PTH113 - a NUL is no error here
        return "URL" if _is_source(word) else "SOURCE"
    from fetchpool.model.urls import display  # which a command without mistakes spares

    return display(shlex.quote(word), _LONGEST_NAME)


class PlainCommand(PlainHelp, TyperCommand):
    """A command without settings."""


class SettingsCommand(PlainHelp, TyperCommand):
    """A command with the options of the config, each switch with its `--no-…` to take it back."""

    def make_parser(self, ctx: Any) -> Any:
        """Add the `--no-…` forms, which the help need not list one by one."""
        parser: Any = super().make_parser(ctx)
        switches = {option.name: option for option in options() if option.is_switch}
        for param in self.get_params(ctx):
            if option := switches.get(param.name or ""):
                negative = f"--no-{option.key}"
                parser.add_option(
                    obj=param,
                    opts=[negative],
                    dest=param.name,
                    action="store_const",
                    const=False,
                )
        return parser

    def get_help_option(self, ctx: Any) -> Any:
        """Put `--help` into the last panel."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.rich_help_panel = LAST_PANEL
        return option


def _with_values(args: Sequence[str]) -> list[str]:
    """Return *args* with an empty value for `--netrc` and its like where no value follows."""
    alone = {option.flag for option in options() if isinstance(option.kind, OptionalPath)}
    end = args.index("--") if "--" in args else len(args)
    following = [*args[1:end], "--"]
    words = zip(args[:end], following, strict=False)
    given = [f"{a}=" if a in alone and b.startswith("-") else a for a, b in words]
    return [*given, *args[end:]]


def _refuse_repeated(order: Sequence[Any]) -> None:
    """Raise `ConfigError` for an option with a value that is there twice among those in *order*.

    Of switches the last word counts: `-q -q`, `--hash --no-hash`.
    """
    seen: set[int] = set()
    for param in order:
        if param.param_type_name != "option" or param.multiple or param.is_flag:
            continue
        if id(param) in seen:
            flag = max(param.opts, key=len)
            raise ConfigError(f"{flag} is there twice, and takes one value: drop one of them")
        seen.add(id(param))


def _as_it_stands(param: Any, process: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    """Do what Typer's *process* does, but for loading pydantic to make a text of a text: 60 ms."""
    if value is None and param.required:
        return process(ctx, value)  # it knows how to complain
    return value if param.callback is None else param.callback(ctx, param, value)
