"""`fetchpool get LIST --dry-run`: what would be asked, without a packet sent or a file touched.

lists ─▶ not answered before? ─▶ Planned ─▶ a table, or JSON lines ─▶ counts on standard error
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from heapq import nlargest
from os import environ
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from fetchpool.config import Config
from fetchpool.config.host_rules import ConfigAt
from fetchpool.config.rules import check_has_directory, check_place
from fetchpool.config.splitting import split_of
from fetchpool.model.asking import Fields
from fetchpool.model.exits import ExitStatus
from fetchpool.model.urls import hiding, redact
from fetchpool.model.values import Outcome, Request, Target
from fetchpool.output.ledger.claims import Claims
from fetchpool.output.ledger.preview import Preview
from fetchpool.output.ledger.record import escaped
from fetchpool.output.names import body_path
from fetchpool.pipeline.pool import check_surroundings, fields_of_files
from fetchpool.reporting.stats import Stats
from fetchpool.reporting.terminal import Reporter
from fetchpool.reporting.terminal.failures import failure_lines
from fetchpool.reporting.terminal.formats import count, counted
from fetchpool.reporting.terminal.plain import shown
from fetchpool.reporting.terminal.terminal import Glyphs, Writer, glyphs_for, is_terminal
from fetchpool.run.agreement import check_agreement
from fetchpool.run.call import Call
from fetchpool.run.choices import check_targets, layout_of, run_options
from fetchpool.run.command import status_of
from fetchpool.run.counting import Counting
from fetchpool.scheduling.job import target_of
from fetchpool.sources import InputError, Sources, open_sources

MOST_HOSTS = 50_000
"""Hosts that are kept at a cut, some 10 MB; beyond twice as many, those with fewest URLs go."""
_BIGGEST = 5
_DIGITS = 7


class Planned(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request as it would be made: the keys of a JSON line, which may get more at the end."""

    seq: int
    url: str
    method: str
    host: str
    path: str | None
    headers: list[str]
    body_bytes: int | None
    source: str | None = None
    line: int | None = None
    is_sitemap: bool = False
    """It is a list, whose URLs are known once it is fetched."""


def planned(request: Request, target: Target, config: Config, of_files: Fields) -> Planned:
    """Return what there is to show of *request*: no secret, no value of a header, no body."""
    names = [name for name, _ in (*config.header, *request.headers)]
    if target.authorization is not None or config.user is not None:
        names.append("Authorization")
    names += [name for name, _ in of_files]
    is_file = not (config.no_body or config.in_containers or request.is_sitemap)
    stores = is_file and request.method != "HEAD"
    return Planned(
        request.seq,
        redact(request.url),
        request.method,
        target.host_key,
        body_path(target) if stores else None,
        list({name.lower(): name for name in names}.values()),
        None if request.body is None else len(request.body),
        request.source and redact(request.source),
        request.line,
        request.is_sitemap,
    )


class _Hosts:
    """Requests by host, in flat memory."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._most = 0
        self.partial = False

    def add(self, host: str) -> None:
        counts = self._counts
        counts[host] = counts.get(host, 0) + 1
        if len(counts) > 2 * MOST_HOSTS:
            self._most, self.partial = len(counts), True
            self._counts = dict(self.biggest(MOST_HOSTS))

    def biggest(self, number: int) -> list[tuple[str, int]]:
        return nlargest(number, self._counts.items(), key=lambda item: item[1])

    def __len__(self) -> int:
        """Return how many there are, at least."""
        return max(self._most, len(self._counts))


class _Tally:
    """What is told at the end."""

    def __init__(self, config: Config, sources: Sequence[str]) -> None:
        self._robots = config.asks_robots
        self.requests = self.skipped = self.answered = self.refused = self.sitemaps = 0
        self.hosts = _Hosts()
        self.counting = Counting(Stats(0.0), config.failures, sources)

    def refuse(self, outcome: Outcome) -> None:
        """Count a line that is no URL."""
        self.refused += 1
        self.counting.recorded((outcome,))

    def lines(self, glyphs: Glyphs) -> Iterator[str]:
        """Yield the counts, and samples of the lines that are no URL, by reason."""
        more = "over " if self.hosts.partial else ""
        requests = counted(self.requests, "request")
        yield f"{requests} to {more}{counted(len(self.hosts), 'host')}, none sent"
        for host, number in self.hosts.biggest(_BIGGEST) if len(self.hosts) > 1 else ():
            plus = "+" if self.hosts.partial else ""
            yield f"  {count(number) + plus:>{_DIGITS}}  {shown(host, glyphs, 60)}"
        if self.sitemaps:
            one = self.sitemaps == 1
            what = "1 is a sitemap" if one else f"{count(self.sitemaps)} are sitemaps"
            yield f"of these, {what}: what {'it names' if one else 'they name'} isn't known yet"
        if self._robots:
            yield "no robots.txt asked for: of these, some may be refused"
        if self.answered:
            yield f"{counted(self.answered, 'line')} answered before, kept"
        if self.skipped:
            yield f"{counted(self.skipped, 'blank, comment or header line')} skipped"
        if self.refused:
            noun = "line is no URL" if self.refused == 1 else "lines are no URL"
            yield f"{count(self.refused)} {noun}"
        yield from (f"  {line}" for line, _ in failure_lines(self.counting.sample(), glyphs))


def show_requests(config: Config, sources: Sequence[str], output: str | None) -> int:
    """Write what `get` would ask for to standard output, counts to standard error.

    Returns 0, or the status with which `get` would refuse to start. Raises BrokenPipeError if the
    reader has gone.
    """
    reporter = Reporter(sys.stderr, "never", config.quiet)
    with hiding(config.secret_param), TemporaryDirectory(prefix="fetchpool-") as scratch:
        try:
            _show(config, sources, output, Path(scratch))
        except BrokenPipeError:
            raise
        except Exception as error:
            if (status := status_of(error)) is None:
                raise
            reporter.error(str(error), error.samples if isinstance(error, InputError) else ())
            return status
    return ExitStatus.OK


def _show(config: Config, sources: Sequence[str], output: str | None, scratch: Path) -> None:
    check_has_directory(config, output)
    check_place(config, output)
    check_surroundings(config)
    layout = layout_of(config, sources, output)
    check_targets(config, layout, sources)
    stdin = sys.stdin.buffer if sys.stdin is not None else None
    tally = _Tally(config, sources)
    with (
        open_sources(
            sources,
            stdin,
            named=config.add,
            ask=config.ask,
            reading=config.reading,
            split=split_of(config),
        ) as lists,
        closing(Claims(scratch / "names")) as names,
        ExitStack() as previews,
    ):
        root = layout if config.shard else None
        call = Call(config, lists, sources, lists.title, layout, output is not None, root)
        _write(lists, config, tally, _answered(call, scratch, previews), names)
    if not config.quiet:
        glyphs = glyphs_for(sys.stderr, environ)
        taken = [f"fetchpool: {shown(form, glyphs)}" for form in lists.forms]
        Writer(sys.stderr).write("".join(f"{line}\n" for line in (*taken, *tally.lines(glyphs))))


def _answered(call: Call, scratch: Path, previews: ExitStack) -> Callable[[Request], bool]:
    """Return what tells whether DEST, or that of its shard, has an answer for a request."""
    if call.layout is None:
        return lambda _: False
    check_agreement(call, only_look=True)
    found: dict[int, Preview] = {}
    for index, part in enumerate(call.parts):
        assert part.layout is not None
        own = scratch / str(index)
        own.mkdir()
        options = run_options(part.config, part.lists)
        preview = Preview(part.layout, options, part.names, named=part.named, scratch=own)
        previews.callback(preview.close)
        found[part.config.shard[0].index if part.config.shard else 0] = preview
    split = call.lists.split
    if split is None:
        return found[0].is_answered
    return lambda request: found[split.shard_of(request)].is_answered(request)


def _write(
    lists: Sources,
    config: Config,
    tally: _Tally,
    is_answered: Callable[[Request], bool],
    names: Claims,
) -> None:
    stdout = sys.stdout
    if stdout is None:
        return
    is_table = is_terminal(stdout)
    glyphs = glyphs_for(stdout, environ)
    encode = msgspec.json.encode
    at = ConfigAt(config)
    is_first = True
    of_files = fields_of_files(config)
    for batch in lists.batches():
        tally.skipped += batch.skipped
        rows = []
        for request in names.settled(batch.requests):
            if not request.is_sitemap and is_answered(request):
                tally.answered += 1
                continue
            target = target_of(request)
            if isinstance(target, Outcome):
                tally.refuse(target)
                continue
            tally.requests += 1
            tally.sitemaps += request.is_sitemap
            tally.hosts.add(target.host_key)
            here = at(target.host_key)
            rows.append(planned(request, target, here, of_files(request, target)))
        if is_table:
            head = _HEAD if rows and is_first else ""
            is_first = is_first and not rows
            text = head + "".join(_as_table(row, glyphs) for row in rows)
            encoding = stdout.encoding or "utf-8"
            stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stdout.flush()
        else:
            stdout.buffer.write(escaped(b"".join(encode(row) + b"\n" for row in rows)))
            stdout.buffer.flush()


_HEAD = f"{'line':>{_DIGITS}}  method   URL\n{'':{_DIGITS + 11}}host, name of the file\n"


def _as_table(row: Planned, glyphs: Glyphs) -> str:
    """Return the two lines of a row; URLs and names are whole, to be copied."""
    name = "no file" if row.path is None else row.path
    if row.is_sitemap:
        name = "a sitemap, read for its URLs"
    indent = " " * (_DIGITS + 11)
    with_more = f"  + {', '.join(row.headers)}" if row.headers else ""
    if row.body_bytes is not None:
        with_more += f"  + body of {counted(row.body_bytes, 'byte')}"
    first = f"{row.seq:>{_DIGITS}}  {row.method:<7}  {shown(row.url, glyphs)}{with_more}"
    return f"{first}\n{indent}{shown(row.host, glyphs)} {glyphs.arrow} {shown(name, glyphs)}\n"
