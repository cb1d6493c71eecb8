"""`--show-completion [SHELL]` and `--install-completion [SHELL]`: each shell gets its own script.

Typer's own options take no name: they guess the shell that started them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from fetchpool.config import ConfigError

FLAGS = ("--show-completion", "--install-completion")
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def complete_for(ctx: Any, args: Sequence[str]) -> NoReturn:
    """Do what *args* say, of which the first is one of `FLAGS`, and leave with status 0.

    Raises `ConfigError` where no shell is named that there is a script for.
    """
    from typer import completion

    flag, _, word = args[0].partition("=")
    words = [*([word] if word else []), *args[1:]]
    if len(words) > 1:
        raise ConfigError(f"{flag} takes the name of one shell: try {flag} zsh")
    shell = _checked(flag, words[0] if words else None)
    act = completion.show_callback if flag == FLAGS[0] else completion.install_callback
    act(ctx, None, shell)  # type: ignore[arg-type] # it doesn't look at the parameter
    raise AssertionError("the callbacks leave by SystemExit")


def _checked(flag: str, word: str | None) -> str:
    shell = word.lower() if word is not None else _shell_around()
    if shell in SHELLS:
        return shell
    named = f"takes {', '.join(SHELLS[:-1])} or {SHELLS[-1]}"
    if word is None:
        raise ConfigError(f"{flag} can't tell which shell this is; it {named}: try {flag} zsh")
    raise ConfigError(f"{flag} {named}: try {flag} zsh")


def _shell_around() -> str | None:
    """Return the name of the shell that this was started from, where it can be told."""
    import shellingham

    try:
        return str(shellingham.detect_shell()[0])
    except (shellingham.ShellDetectionFailure, OSError):
        return None
