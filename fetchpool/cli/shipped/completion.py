"""What bash, zsh and fish need to complete a command line by themselves, without starting Python.

`--install-completion` has another: Typer's, which asks the installed program at each press of the
key (0.1 s) and so fits any version. These are part of a version, and installed with it.
"""

from __future__ import annotations

from fetchpool.cli.shipped.surface import Command, Flag, Takes, commands

_MADE = "# Made by `python -m fetchpool.cli.shipped`; a test holds it to the options.\n"


_NO_COMMAND = "''"


# -- bash ------------------------------------------------------------------------------------------

_BASH = """\
{made}# Where nothing is offered, readline completes names of files.

_fetchpool() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command='' flags='' words='' word
    # `--progress=auto` arrives as three words.
    if [[ $current == = ]]; then
        current=''
    elif [[ $previous == = && $COMP_CWORD -gt 2 ]]; then
        previous=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in
            -*) ;;
            *) command=$word; break ;;
        esac
    done
    case $command in
{flags}
    esac
    case $command:$previous in
{values}
    esac
    if [[ -z $words && $current == -* ]]; then
        words=$flags
    elif [[ -z $words && -z $command ]]; then
        words='{commands}'
    fi
    # shellcheck disable=SC2207 # no word of ours has a blank, and macOS has no mapfile
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}

complete -o default -F _fetchpool fetchpool
"""


def bash() -> str:
    """Return the script for bash, from 3.2 on."""
    program, *under = commands()
    every = (program, *under)
    flags = [f"{each.name or _NO_COMMAND}) flags='{_names(each)}' ;;" for each in every]
    values = [
        f"{_bash_patterns(each, flag)}) words='{' '.join(flag.choices)}' ;;"
        for each in every
        for flag in each.flags
        if flag.choices
    ]
    return _BASH.format(
        made=_MADE,
        flags="\n".join(f"        {line}" for line in flags),
        values="\n".join(f"        {line}" for line in values),
        commands=" ".join(each.name for each in under),
    )


def _bash_patterns(command: Command, flag: Flag) -> str:
    return "|".join(f"{command.name}:{name}" for name in flag.names)


def _names(command: Command) -> str:
    return " ".join(name for flag in command.flags for name in flag.names)


# -- zsh -------------------------------------------------------------------------------------------

_ZSH = """\
#compdef fetchpool
{made}
_fetchpool() {{
    local context state line
    typeset -A opt_args
    _arguments -C -S \\
{program}
        '1:command:->command' \\
        '*::argument:->argument' && return
    case $state in
        command)
            local -a commands
            commands=(
{commands}
            )
            _describe -t commands 'fetchpool command' commands
            ;;
        argument)
            case $words[1] in
{arguments}
            esac
            ;;
    esac
}}

_fetchpool "$@"
"""


def zsh() -> str:
    """Return the function `_fetchpool` for zsh."""
    program, *under = commands()
    return _ZSH.format(
        made=_MADE,
        program="\n".join(f"        {_zsh_flag(each)} \\" for each in program.flags),
        commands="\n".join(
            "                " + _quoted(f"{each.name}:{_without_stop(each.summary)}")
            for each in under
        ),
        arguments="\n".join(_zsh_command(each) for each in under),
    )


def _zsh_command(command: Command) -> str:
    indent = " " * 20
    lines = [f"                {command.name})", f"{indent}_arguments -S \\"]
    lines += [f"{indent}    {_zsh_flag(each)} \\" for each in command.flags]
    if "SOURCE" in command.arguments:
        lines.append(f"{indent}    '*:list or URL:_files' \\")
    elif "DEST" in command.arguments:
        lines.append(f"{indent}    ':run directory:_files -/' \\")
    lines[-1] = lines[-1].removesuffix(" \\")
    return "\n".join([*lines, f"{indent};;"])


def _zsh_flag(flag: Flag) -> str:
    """Return what `_arguments` takes: which exclude it, its names, its help, its value."""
    said = flag.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    value = ""
    if flag.metavar:
        name = flag.metavar.strip("[]'").replace(":", "\\:").lower()
        value = f"{_zsh_colon(flag)}{name}:{_zsh_value(flag)}"
    excluded = "*" if flag.repeatable else f"({' '.join(flag.names)})"
    ends = ["+" if len(name) == 2 else "=" for name in flag.names] if flag.metavar else []
    names = [name + end for name, end in zip(flag.names, ends, strict=True)] if ends else flag.names
    if len(names) == 1:
        return _quoted(f"{excluded}{names[0]}[{said}]{value}")
    return f"{_quoted(excluded)}{{{','.join(names)}}}{_quoted(f'[{said}]{value}')}"


def _zsh_colon(flag: Flag) -> str:
    """Return what comes before the value; two colons: it may be missing."""
    return "::" if flag.metavar.startswith("[") else ":"


def _zsh_value(flag: Flag) -> str:
    if flag.choices:
        return f"({' '.join(flag.choices)})"
    return {Takes.FILE: "_files", Takes.DIRECTORY: "_files -/"}.get(flag.takes, " ")


# -- fish ------------------------------------------------------------------------------------------


def fish() -> str:
    """Return the script for fish."""
    program, *under = commands()
    lines = [_MADE.rstrip()]
    lines += [_fish_flag("__fish_use_subcommand", each) for each in program.flags]
    for each in under:
        lines.append(
            f"complete -c fetchpool -f -n __fish_use_subcommand -a {each.name} "
            f"-d {_quoted_for_fish(_without_stop(each.summary))}"
        )
    for each in under:
        condition = f"'__fish_seen_subcommand_from {each.name}'"
        lines += [_fish_flag(condition, flag) for flag in each.flags]
        if "SOURCE" in each.arguments:
            lines.append(f"complete -c fetchpool -n {condition} -F")
        elif "DEST" in each.arguments:
            lines.append(
                f"complete -c fetchpool -f -n {condition} -a '(__fish_complete_directories)'"
            )
        else:
            lines.append(f"complete -c fetchpool -f -n {condition}")
    return "\n".join(lines) + "\n"


def _fish_flag(condition: str, flag: Flag) -> str:
    names = " ".join(
        f"-s {name[1:]}" if len(name) == 2 else f"-l {name[2:]}" for name in flag.names
    )
    values = ""
    if flag.choices:
        values = f" -x -a '{' '.join(flag.choices)}'"
    elif flag.takes is Takes.DIRECTORY:
        values = " -x -a '(__fish_complete_directories)'"
    elif flag.takes is Takes.FILE:
        values = " -r -F"
    elif flag.takes is Takes.WORD:
        values = " -x"
    return f"complete -c fetchpool -n {condition} {names}{values} -d {_quoted_for_fish(flag.help)}"


def _without_stop(sentence: str) -> str:
    return sentence.removesuffix(".")


def _quoted(text: str) -> str:
    """Return *text* in quotes for a shell of Bourne's kind."""
    return "'" + text.replace("'", "'\\''") + "'"


def _quoted_for_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
