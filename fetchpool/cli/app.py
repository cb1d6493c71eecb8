"""The command line: options become a `Config`, mistakes become one line and exit status 2.

    argv ──Typer──▶ texts by option ──load_settings──▶ Config ──▶ the room that does it

The parameters of `get` are made from the options of `fetchpool.config`, so an option exists in one
place. Typer sees texts only; what they mean and whether they are accepted is the config's business.
Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TextIO

import typer

from fetchpool import __version__
from fetchpool.cli.bodies import with_standard_input
from fetchpool.cli.parsing import LAST_PANEL, Commands, PlainCommand, SettingsCommand
from fetchpool.cli.vendored import why_unfit
from fetchpool.config import (
    Config,
    ConfigError,
    Option,
    Settings,
    check_export,
    check_export_store,
    check_export_wacz,
    check_merge,
    check_report,
    load_settings,
    options,
    user_file,
)
from fetchpool.config.host_rules import host_key_of
from fetchpool.config.plan_settings import PLAN_OPTIONS, plan_settings
from fetchpool.config.tune_settings import BUDGET, TUNE_OPTIONS, read_budget
from fetchpool.model.again import Again
from fetchpool.model.exits import ExitStatus

Job = Callable[[], int]
"""What a command line asks for; called after parsing, it returns the exit status."""
Command = Callable[..., Job | None]

_EPILOG = """\
[bold]Examples[/bold]
  fetchpool get urls.txt                   bodies and records: urls.fetched/
  fetchpool get urls.txt -o pages --limit 50 --per-host 5
  fetchpool get urls.txt --retry-failed    what failed, once more
  sort -u lists/* | fetchpool get --no-body --records - > records.jsonl

[bold]Settings[/bold]
  may also stand in the environment (--per-host is FETCHPOOL_PER_HOST) and in
  a TOML file (per-host = 5). The command line wins, then the environment;
  --no-SWITCH takes a switch of theirs back. See fetchpool config.

[bold]Exit status[/bold]
   0  every URL ok, or within --fail-if    75  stopped early; run it again
   1  URLs failed                         130  Ctrl-C (143, 129 by signal);
   2  bad usage, nothing was fetched           run it again to go on
  73  the output can't be created         141  standard output was closed
  74  disk or list failed on the way
"""

app = typer.Typer(
    name="fetchpool",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _typer_option(option: Option) -> Any:
    """Return the Typer parameter of a setting: its flags and help, no type and no default."""
    default = "" if option.is_switch else option.default_text
    suffix = f" [dim](default {default})[/dim]" if default else ""
    choices = option.kind.choices
    return typer.Option(
        None,
        *option.flags,
        metavar=option.kind.metavar,
        help=option.help + suffix,
        show_default=False,
        rich_help_panel=option.panel.value,
        autocompletion=(lambda: list(choices)) if choices else None,
    )


def _parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _takes(
    wanted: Iterable[Option],
    first: Sequence[inspect.Parameter] = (),
    last: Sequence[inspect.Parameter] = (),
) -> Callable[[Command], Command]:
    """Give a command that takes `**given` the signature from which Typer reads its parameters."""

    def dress(command: Command) -> Command:
        parameters = list(first)
        for option in wanted:
            kind: Any = list[str] if option.kind.repeatable else str
            kind = bool if option.is_switch else kind
            parameters.append(_parameter(option.name, kind | None, _typer_option(option)))
        parameters.extend(last)
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return dress


_SOURCES = _parameter(
    "sources",
    list[str] | None,
    typer.Argument(None, metavar="SOURCE", hidden=True),
)
_CONFIG_FILE = _parameter(
    "config_file",
    str | None,
    typer.Option(
        None,
        "--config",
        metavar="FILE",
        help="TOML file of settings; '' = none [dim](default: the user's own)[/dim]",
        show_default=False,
        rich_help_panel=LAST_PANEL,
    ),
)


def _show_version(context: typer.Context, wanted: bool) -> None:
    if wanted and context.params["verbose"]:
        from fetchpool.cli.installation import describe_installation

        typer.echo(describe_installation(), nl=False)
        raise typer.Exit
    if wanted:
        typer.echo(f"fetchpool {__version__}")
        raise typer.Exit


@app.callback(cls=Commands)
def fetchpool(
    version: bool = typer.Option(
        False,
        "--version",
        "-V",
        help="Show the version and exit",
        callback=_show_version,
    ),
    verbose: bool = typer.Option(
        False,
        "--verbose",
        help="With --version: what it runs on, for a report of a bug",
        is_eager=True,  # read before --version is, wherever it stands
    ),
) -> None:
    """Fetch a list of URLs: one honest answer per line, one record per answer.

    Try [bold]fetchpool demo[/bold] first: it needs no network.
    """
    if verbose:
        raise ConfigError("--verbose goes with --version: fetchpool --version --verbose")


@app.command(cls=SettingsCommand, epilog=_EPILOG)
@_takes(options(), first=[_SOURCES], last=[_CONFIG_FILE])
def get(sources: list[str] | None, config_file: str | None, **given: Any) -> Job:
    """Fetch every URL of the sources; bodies and records go to a directory.

    SOURCE is a file of URLs, one a line; - for standard input, which is also
    read without any SOURCE; or a URL itself. A stopped run goes on when the
    same command is run again.
    """
    given = with_standard_input(given, sources or ())
    settings = load_settings(given, os.environ, file=config_file)
    chosen = list(sources) if sources else [_standard_input()]

    def run() -> int:
        from fetchpool.network.tls import import_aiohttp_sparingly

        import_aiohttp_sparingly()
        if settings.dry_run:
            from fetchpool.run.dry_run import show_requests

            return show_requests(settings.config, chosen, settings.output)
        from fetchpool.run import run_command

        return run_command(settings.config, chosen, settings.output)

    return run


@app.command(cls=SettingsCommand)
@_takes(o for o in options() if o.name in {"limit", "per_host", "progress", "quiet"})
def demo(**given: Any) -> Job:
    """Fetch a list from a small server on this machine; needs no network.

    It goes through the same code as [bold]get[/bold] and shows progress and summary.
    """
    # The user's own settings don't apply: a proxy or --public-only would keep it from loopback.
    settings = load_settings({**given, "proxy": ""}, {}, file="")

    def run() -> int:
        from fetchpool.network.tls import import_aiohttp_sparingly

        import_aiohttp_sparingly()
        from fetchpool.cli.demo import run_demo

        return run_demo(settings.config)

    return run


_PLAN = (
    *("limit", "per_host", "rate", "host_rate", "robots", "quiet"),
    *("input_format", "column", "default_scheme", "base", "secret_param"),
)
_AS_JSON = _parameter("as_json", bool, typer.Option(False, "--json", help="One JSON object"))


@app.command(cls=SettingsCommand)
@_takes(
    [*(o for o in options() if o.name in _PLAN), *PLAN_OPTIONS],
    first=[_SOURCES],
    last=[_AS_JSON, _CONFIG_FILE],
)
def plan(sources: list[str] | None, as_json: bool, config_file: str | None, **given: Any) -> Job:
    """Say how long a list takes, and how many machines make sense. Nothing is asked.

    SOURCE is as for [bold]get[/bold]. The host that takes longest under the limits
    decides; rules of the file for some hosts count.
    """
    own = {option.name: given.pop(option.name, None) for option in PLAN_OPTIONS}
    settings = load_settings(given, os.environ, file=config_file)
    assumed = plan_settings(own)
    chosen = list(sources) if sources else [_standard_input()]

    def run() -> int:
        from fetchpool.cli.plan import show_plan

        return show_plan(settings.config, chosen, assumed, as_json=as_json)

    return run


_NOT_TUNED = frozenset({
    *("output", "dry_run", "carry", "store", "state", "samples", "warc_prefix", "warc_header"),
    *("segment_size", "records", "records_format", "no_body", "durability", "max_time"),
    *("retry_failed", "retry_kinds", "once", "fresh", "refresh", "prune", "add", "mtime"),
    *("save_cookies", "fail_if", "failures", "timings", "log_file", "metrics_file"),
    *("metrics_label", "content_disposition", "hash", "workers", "method", "data", "json"),
})  # fmt: skip


@app.command(cls=SettingsCommand)
@_takes(
    [*(o for o in options() if o.name not in _NOT_TUNED), *TUNE_OPTIONS],
    first=[_SOURCES],
    last=[_AS_JSON, _CONFIG_FILE],
)
def tune(sources: list[str] | None, as_json: bool, config_file: str | None, **given: Any) -> Job:
    """Find the settings for a list by measuring a sample of it, within a budget of requests.

    SOURCE is as for [bold]get[/bold]. Nothing is stored; a host that refuses a request
    (429, 503) is asked no more.
    """
    budget = read_budget(given.pop(BUDGET.name, None))
    settings = load_settings(given, os.environ, file=config_file)
    chosen = list(sources) if sources else [_standard_input()]

    def run() -> int:
        from fetchpool.cli.tune import tune

        return tune(settings.config, chosen, budget, as_json=as_json)

    return run


@app.command(cls=PlainCommand)
def status(
    dest: str = typer.Argument(metavar="DEST", hidden=True),
    as_json: bool = typer.Option(False, "--json", help="One JSON object, for scripts"),
    changed: bool = typer.Option(
        False,
        "--changed",
        help="A line for each URL that is new, changed, gone or left the list, after --refresh",
    ),
) -> Job:
    """Say what a run directory holds: done, failed by kind, left, worst hosts.

    DEST is the directory that [bold]get[/bold] wrote to; of shards, all together.
    """

    def run() -> int:
        from fetchpool.cli.remote import records_of, shards_or_none

        if not changed and (shards := shards_or_none(dest)) is not None:
            from fetchpool.cli.shards import show_shards

            return show_shards(shards, as_json=as_json)
        with records_of(dest) as place:
            if changed:
                from fetchpool.cli.status import show_changed

                return show_changed(dest, as_json, place)
            from fetchpool.cli.status import show_status

            return show_status(dest, as_json, place)

    return run


@app.command(cls=PlainCommand)
def explain(
    dest: str = typer.Argument(metavar="DEST", hidden=True),
    as_json: bool = typer.Option(False, "--json", help="One JSON object, for scripts"),
) -> Job:
    """Say where a run's time went, what bound it, and what to change.

    DEST is the directory that [bold]get[/bold] wrote to; a run may be on there.
    """

    def run() -> int:
        from fetchpool.cli.explain import explain, explain_shards
        from fetchpool.cli.remote import records_of, shards_or_none

        if (shards := shards_or_none(dest)) is not None:
            return explain_shards(shards, as_json=as_json)
        with records_of(dest) as place:
            return explain(dest, place, as_json=as_json)

    return run


@app.command(cls=PlainCommand)
def export(
    dest: str = typer.Argument(metavar="DEST", hidden=True),
    output: str | None = typer.Option(
        None, "--output", "-o", metavar="FILE", help="Where to; else standard output"
    ),
    form: str | None = typer.Option(
        None, "--format", metavar="FORMAT", help="csv or jsonl; else by the name of FILE"
    ),
    store: str | None = typer.Option(
        None,
        "--store",
        metavar="KIND",
        help="Bodies and records to a new directory FILE, bodies as files or tar",
    ),
    wacz: bool = typer.Option(False, "--wacz", help="WARCs, to one file that players open"),
) -> Job:
    """Write the records of a run directory as JSON Lines or CSV, or its bodies in another store.

    DEST is the directory that [bold]get[/bold] wrote to; a run may be on there.
    FILE is replaced in one step, once all of it is written.
    """
    if wacz:
        package = check_export_wacz(output, store, form)

        def run_wacz() -> int:
            from fetchpool.cli.export import export_wacz
            from fetchpool.cli.remote import records_of

            with records_of(dest) as place:
                return export_wacz(dest, package, place)

        return run_wacz
    if store is not None:
        directory, kind = check_export_store(output, store, form)

        def run_store() -> int:
            from fetchpool.cli.export import export_store
            from fetchpool.cli.remote import records_of

            with records_of(dest) as place:
                return export_store(dest, directory, kind, place)

        return run_store
    chosen = check_export(output, form)

    def run() -> int:
        from fetchpool.cli.export import export
        from fetchpool.cli.remote import records_of

        with records_of(dest) as place:
            return export(dest, *chosen, place)

    return run


@app.command(cls=PlainCommand)
def report(
    dest: str = typer.Argument(metavar="DEST", hidden=True),
    output: str | None = typer.Option(
        None, "--output", "-o", metavar="FILE", help="Where to; - is standard output"
    ),
    form: str | None = typer.Option(
        None,
        "--format",
        metavar="FORMAT",
        help="html, markdown or junit; else by the name of FILE (.html, .md, .xml)",
    ),
) -> Job:
    """Write what came of a run as a page, as Markdown or as a test report.

    DEST is the directory that [bold]get[/bold] wrote to; a run may be on there.
    FILE is replaced in one step, once all of it is written.
    """
    chosen = check_report(output, form)

    def run() -> int:
        from fetchpool.cli.remote import records_of
        from fetchpool.cli.report import write_report

        with records_of(dest) as place:
            return write_report(dest, *chosen, place)

    return run


@app.command(cls=PlainCommand)
def cat(
    dest: str = typer.Argument(metavar="DEST", hidden=True),
    wanted: str = typer.Argument(metavar="URL|SEQ", hidden=True),
    head: bool = typer.Option(
        False, "--head", help="The head of the response, as received, where it is kept (warc)"
    ),
) -> Job:
    """Write one body to standard output, from whatever store it is in.

    DEST is the directory that [bold]get[/bold] wrote to; URL stands in its records,
    SEQ is the line's number there.
    """

    def run() -> int:
        from fetchpool.cli.cat import cat
        from fetchpool.cli.remote import records_of

        with records_of(dest) as place:
            return cat(dest, wanted, place, head=head)

    return run


_DESTS = typer.Argument(metavar="DEST", hidden=True)


@app.command(cls=PlainCommand)
def merge(
    dests: list[str] = _DESTS,
    records: str | None = typer.Option(
        None,
        "--records",
        metavar="FILE",
        help="All records as JSON lines, shard after shard; - for standard output",
    ),
    manifest: str | None = typer.Option(
        None, "--manifest", metavar="FILE", help="Where to say what there is, if not in DEST"
    ),
) -> Job:
    """Prove that the shards of a list are complete: each line one record, none twice.

    DEST is the directory of [bold]get --shard[/bold]; or name several directories of
    shards, as from machines without a common disk. What there is goes to
    _manifest.json; what is missing or double is said, with exit status 1.
    """
    targets = check_merge(records, manifest)

    def run() -> int:
        from fetchpool.cli.merge import merge

        return merge(dests, *targets)

    return run


_HOST = _parameter(
    "host_name",
    str | None,
    typer.Option(
        None,
        "--host",
        metavar="NAME",
        help="What holds for this host, and which table of the file says so",
        show_default=False,
        rich_help_panel=LAST_PANEL,
    ),
)


@app.command(cls=SettingsCommand)
@_takes(options(), last=[_HOST, _CONFIG_FILE])
def config(host_name: str | None, config_file: str | None, **given: Any) -> None:
    """Show every setting in force and where it came from; secrets are hidden.

    Takes the options of [bold]get[/bold], to see what they would come to.
    """
    settings = load_settings(given, os.environ, file=config_file)
    if host_name is not None:
        settings = settings.for_host(host_key_of(host_name))

    _write(sys.stdout, describe_settings(settings))
    if settings.unknown:
        names = _printable(", ".join(settings.unknown))
        _write(sys.stderr, f"fetchpool: ignored, no setting is named so: {names}\n")


def describe_settings(settings: Settings) -> str:
    """Return a line for every setting: its key, its value without secrets, where it came from."""
    rows = [
        (option.key, option.show(settings.value(option)), settings.origins[option.name])
        for option in options()
    ]
    wide = max(len(key) for key, _, _ in rows)
    # One long value should not push all origins off the screen.
    broad = min(30, max(len(value) for _, value, _ in rows))
    lines = [f"{key:<{wide}}  {value:<{broad}}  {origin}" for key, value, origin in rows]
    place = settings.file or user_file()
    found = "is read" if settings.file else "would be read if it were there"
    head = [f"# {_printable(str(place))} {found}" if place else "# no configuration file"]
    head.append(f"# tried again: {tried_again(settings.config)}")
    if settings.tables is not None:
        head.append(f"# tables that hold: {', '.join(settings.tables) or 'none'}")
    elif settings.config.host:
        tables = ", ".join(map(str, settings.config.host.tables))
        head.append(f"# some hosts have settings of their own (--host NAME shows them): {tables}")
    return "\n".join([*head, *lines]) + "\n"


def tried_again(config: Config) -> str:
    """Return in words what is tried again, and how often."""
    again = Again.chosen(config.retry_on, config.no_retry_on).in_words()
    return f"{again}; {config.retries} times at most" if config.retries else "nothing"


def _standard_input() -> str:
    """Return the source `-` where something is piped in, else raise `ConfigError`."""
    try:
        missing = sys.stdin is None or sys.stdin.isatty()
    except ValueError:  # closed
        missing = True
    if missing:
        raise ConfigError(
            "nothing to fetch: name a file of URLs or a URL, as in fetchpool get urls.txt, "
            "or pipe a list in"
        )
    return "-"


def main(argv: list[str] | None = None) -> int:
    """Run the command in *argv* (without the program's name) and return its exit status."""
    words = sys.argv[1:] if argv is None else argv
    try:
        job = _parse(words)
        status = job() if callable(job) else job
        if sys.stdout is not None:
            sys.stdout.flush()
    except ConfigError as mistake:
        return _refuse(words, str(mistake))
    except ImportError as missing:
        incomplete = f"this installation is not complete: {missing}. Install fetchpool again"
        return _refuse(words, incomplete)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        return _reader_has_gone()
    except SystemExit as end:
        # Typer and rich exit with status 1 when the reader of a help page is gone.
        if isinstance(end.__context__, BrokenPipeError):
            return _reader_has_gone()
        raise
    return status


def _parse(argv: list[str]) -> Job | int:
    """Let Typer read *argv*; return what is to be done, or a status where it is done (help).

    Jobs run outside of Typer, which would make exit status 1 of any closed pipe; inside, only
    standard output is written to.
    """
    if (missing := why_unfit()) is not None:
        raise ConfigError(missing)
    command = typer.main.get_command(app)
    try:
        result: Job | int | None = command.main(
            args=argv, prog_name="fetchpool", standalone_mode=False
        )
    except typer.TyperException as mistake:
        from fetchpool.cli.mistakes import explain

        raise ConfigError(explain(mistake, argv)) from None
    except OSError as trouble:
        _write(sys.stderr, f"fetchpool: can't write to standard output: {trouble.strerror}\n")
        return ExitStatus.IO_ERROR
    return result or ExitStatus.OK


def _refuse(argv: list[str], message: str) -> ExitStatus:
    """Write *message* as the one line of a usage error, and its status to `--metrics-file`."""
    from fetchpool.reporting.refusal import tell_refusal

    _write(sys.stderr, f"fetchpool: {_printable(message)}\n")
    with suppress(ImportError):
        tell_refusal(argv, os.environ, ExitStatus.USAGE)
    return ExitStatus.USAGE


def _printable(text: str) -> str:
    """Return *text* as one line without control characters for a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _write(stream: TextIO | None, text: str) -> None:
    """Write *text*, escaping characters that the stream lacks; ignore a closed standard error."""
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError):
        if stream is sys.stdout:
            raise


def _reader_has_gone() -> ExitStatus:
    """Exit quietly: send to nowhere what Python still flushes at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitStatus.PIPE_CLOSED
