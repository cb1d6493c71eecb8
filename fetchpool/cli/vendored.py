"""The parts of Typer, and of the click in it, that the command line uses without a promise.

As in `connector.lending` for aiohttp: all of them in a table, checked when a command starts.
"""

from __future__ import annotations

from typing import Any

import typer
from typer import completion
from typer._click.parser import _OptionParser
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

FIT_VERSIONS = ">=0.29,<0.30"
"""Of Typer; those of pyproject.toml."""

BUILT_ON: tuple[tuple[Any, str], ...] = (
    (TyperGroup, "get_params parse_args resolve_command main"),
    (TyperCommand, "get_params make_parser get_help_option main"),
    (TyperOption, "process_value"),
    (TyperArgument, "process_value"),
    (_OptionParser, "add_option"),
    (typer.Context, "command_path"),
    (typer, "TyperException main"),
    (typer.main, "get_command"),
    (completion, "show_callback install_callback"),
)
"""What is overridden or called."""


def why_unfit() -> str | None:
    """Return in a sentence what the installed Typer lacks, and what to do; None: nothing."""
    for owner, names in BUILT_ON:
        for name in names.split():
            if not hasattr(owner, name):
                return (
                    f"typer {typer.__version__} can't be used, it lacks {owner.__name__}.{name}: "
                    f"pip install 'typer{FIT_VERSIONS}'"
                )
    return None
