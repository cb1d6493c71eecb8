"""`fetchpool explain DEST`: where a run's time went, what bound it, and what to change."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from fetchpool.cli.screens import Screen, complain, screen_of_stdout, write_text
from fetchpool.model.slot_time import DOING, FREE, RunAccount
from fetchpool.output.ledger import NotARunError
from fetchpool.output.ledger.accounts import read_accounts
from fetchpool.output.ledger.finish import Finish, read_finish
from fetchpool.output.ledger.holding import is_held
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.record import rfc3339
from fetchpool.output.shards.finding import Shards
from fetchpool.reporting.diagnosis import advice, bounds, in_words, side_by_side, summed
from fetchpool.reporting.terminal import formats
from fetchpool.reporting.terminal.layout import cut
from fetchpool.reporting.terminal.plain import shown

_HOSTS = 10
_LEAST_SHARE = 0.0005
_LABEL = 11
_BAR = 20
_NAME = 36
_URL = 200
_LEAST_HOST = 0.001
"""The share of slot time from which on a host is worth a row."""
_NARROWEST = 40


def explain(dest: str, place: Path | None = None, *, as_json: bool = False) -> int:
    """Write where the time of the run in *dest* went to standard output; return the exit status.

    2, with a line on standard error, where there is no run, or none whose time was measured.
    *place* is where its records are, if not there. A run that is on is not disturbed; what it shows
    is some seconds old. Raises BrokenPipeError if the reader of standard output has gone.
    """
    layout = Layout(place or Path(dest))
    try:
        running = is_held(layout)
        accounts = read_accounts(layout)
        if not layout.ledger.exists():
            return complain(
                f"{dest} holds no run: there is no {layout.ledger.name}. "
                "Name the directory that fetchpool get wrote to."
            )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return complain(f"cannot read {dest}: {reason or error}")
    if not accounts:
        return complain(
            f"{dest} doesn't say where its time went: it was fetched by an earlier version, or no "
            "request has been made yet."
        )
    finish = None
    with suppress(OSError):
        finish = read_finish(layout.ledger, accounts[-1].began_at)
    account = summed(accounts)
    if as_json:
        said = explain_object(dest, account, len(accounts), finish)
        return write_text(json.dumps(said) + "\n")
    lines = explain_lines(dest, account, len(accounts), finish, screen_of_stdout(), running=running)
    return write_text("".join(f"{line}\n" for line in lines))


def explain_shards(shards: Shards, *, as_json: bool = False) -> int:
    """Write where the time of all *shards* of a list went, as `explain` does for one run."""
    accounts: list[RunAccount] = []
    last: tuple[float, Finish | None] = (0.0, None)
    commands = missing = 0
    try:
        for shard in shards:
            with shards.records_of(shard) as place:
                found = [] if place is None else read_accounts(Layout(place))
                if place is None or not found:
                    missing += 1
                    continue
                commands += len(found)
                accounts.append(summed(found))
                ended_at = found[-1].began_at + found[-1].seconds
                if ended_at > last[0]:
                    finish = read_finish(Layout(place).ledger, found[-1].began_at)
                    last = (ended_at, finish)
    except (OSError, NotARunError) as error:
        return complain(f"cannot read {shards.dest}: {error}")
    if not accounts:
        return complain(f"no shard in {shards.dest} says where its time went.")
    account = side_by_side(accounts)
    if as_json:
        said = explain_object(shards.dest, account, commands, last[1])
        return write_text(json.dumps({**said, "shards_without": missing}) + "\n")
    screen = screen_of_stdout()
    lines = explain_lines(shards.dest, account, commands, last[1], screen)
    if missing:
        lines += ["", f"of {formats.counted(missing, 'shard')} it isn't known"]
    return write_text("".join(f"{line}\n" for line in lines))


def explain_object(
    dest: str, whole: RunAccount, commands: int, finish: Finish | None
) -> dict[str, Any]:
    """Return the account as the object that `--json` writes; keys may be added at the end.

    Times are seconds; `parts` and what hosts have are slot seconds.
    """
    time = whole.time
    return {
        "dest": dest.encode("utf-8", "replace").decode(),
        "began_at": rfc3339(whole.began_at),
        "seconds": round(whole.seconds, 3),
        "ended": whole.ended,
        "commands": commands,
        "processes": whole.processes,
        "urls": whole.done,
        "slots": time.slots,
        "slot_seconds": round(time.slot_s, 3),
        "parts": {key: round(time.parts.get(key, 0.0), 3) for key in (*DOING, *FREE)},
        "cpu_seconds": round(time.cpu_s, 3),
        "event_loop_busy": round(time.busiest, 4),
        "limits": whole.limits,
        "connections": msgspec.to_builtins(time.connections),
        "lookups": msgspec.to_builtins(time.lookups),
        "hosts": [
            {
                "host": host.host,
                "held": round(host.held, 3),
                "free": {key: round(seconds, 3) for key, seconds in host.free.items()},
            }
            for host in time.hosts
        ],
        "bound_by": [
            {"key": each.key, "share": round(each.share, 4), "text": each.text}
            for each in bounds(whole)
        ],
        "advice": [
            {
                "option": each.option,
                "text": each.text,
                "evidence": each.evidence,
                "gain": round(each.gain, 4),
            }
            for each in advice(whole)
        ],
        "finish": None if finish is None else _finish_object(finish),
    }


def _finish_object(finish: Finish) -> dict[str, Any]:
    return {
        "urls": finish.urls,
        "done": {f"{share:g}": round(seconds, 3) for share, seconds in finish.done_s.items()},
        "last_urls": finish.last,
        "last_hosts": [{"host": host, "urls": count} for host, count in finish.hosts],
        "last_url": msgspec.to_builtins(finish.slowest),
    }


def explain_lines(
    dest: str,
    account: RunAccount,
    commands: int,
    finish: Finish | None,
    screen: Screen,
    *,
    running: bool = False,
) -> list[str]:
    """Return the account as the lines of tables that fit *screen*, but for long names."""
    blocks = [
        _heading(dest, account, commands, screen, running=running),
        _table(account, screen),
        _hosts(account, screen),
        _facts(account, finish, screen),
        _advice(account, screen),
    ]
    lines: list[str] = []
    for block in blocks:
        if block and lines:
            lines.append("")
        lines += block
    return lines


def _heading(
    dest: str, account: RunAccount, commands: int, screen: Screen, *, running: bool
) -> list[str]:
    state = "a run is on right now" if running else "ended" if account.ended else "cut off"
    urls = formats.counted(account.done, "URL")
    took = f"{urls} in {formats.duration(account.seconds)}"
    if commands > 1:
        took += f", by {formats.counted(commands, 'command')}"
    if account.processes > 1:
        took += f", {formats.count(account.processes)} processes"
    found = bounds(account)
    named = [f"{shown(each.text, screen.glyphs)} {formats.share(each.share)}" for each in found[:3]]
    cpu = f"event loop busy {formats.share(account.time.busiest)}"
    lines = [f"{shown(dest, screen.glyphs, screen.longest_name)}   {state}"]
    lines += _fact("time", took, screen)
    lines += _fact("bound by", ", ".join(named) or "nothing that stands out", screen)
    return lines + _fact("CPU", cpu, screen)


def _fact(label: str, text: str, screen: Screen) -> list[str]:
    width = max(_NARROWEST, screen.columns) - _LABEL - 2
    first, *rest = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    return [f"{label:<{_LABEL}}  {first}", *(f"{'':<{_LABEL}}  {line}" for line in rest)]


def _table(account: RunAccount, screen: Screen) -> list[str]:
    """Return the parts, those that did something first, each with its seconds and share."""
    whole = account.time.slot_s
    rows = [(f"{formats.count(account.time.slots)} slots", whole)]
    for title, words in (("in use", DOING), ("free", FREE)):
        rows.append((title, sum(account.time.parts.get(key, 0.0) for key in words)))
        rows += [
            (f"  {text}", account.time.parts[key])
            for key, text in words.items()
            if account.share(key) >= _LEAST_SHARE
        ]
    wide = max(len(label) for label, _ in rows)
    has_bars = screen.columns >= wide + 22 + _BAR
    has_times = screen.columns >= wide + 19
    lines = [f"{'':<{wide}} {'slot time':>11} {'share':>6}"] if has_times else []
    for label, seconds in rows:
        share = seconds / whole if whole > 0 else 0.0
        time = f" {formats.duration(seconds):>11}" if has_times else ""
        line = f"{label:<{wide}}{time} {formats.share(share):>6}"
        bar = screen.glyphs.full * round(_BAR * share) if label.startswith("  ") else ""
        lines.append(f"{line}  {bar}".rstrip() if has_bars else line)
    return lines


def _hosts(account: RunAccount, screen: Screen) -> list[str]:
    """Return the hosts that slots waited for, or that held them, the worst first."""
    least_s = _LEAST_HOST * account.time.slot_s
    hosts = [host for host in account.time.hosts if host.total >= least_s]
    if not hosts:
        return []
    rows = [
        (
            shown(host.host, screen.glyphs, _NAME),
            formats.duration(host.cost) if host.cost else "",
            formats.duration(host.held),
            _mostly(host.free),
        )
        for host in hosts[:_HOSTS]
    ]
    table = [("hosts", "waited for", "in use", "mostly"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    room = screen.columns - widths[1] - widths[2] - 6
    has_why = room - widths[0] - 3 >= widths[3]
    wide = max(12, min(widths[0], room - (widths[3] + 3 if has_why else 0)))
    lines = []
    for name, cost, held, mostly in table:
        host = cut(name, wide, screen.glyphs)
        line = f"{host:<{wide}}   {cost:>{widths[1]}}   {held:>{widths[2]}}"
        lines.append(f"{line}   {mostly}".rstrip() if has_why else line)
    if len(hosts) > _HOSTS:
        lines.append(f"and {formats.count(len(hosts) - _HOSTS)} more")
    return lines


def _mostly(free: Mapping[str, float]) -> str:
    if not free:
        return ""
    return FREE.get(max(free, key=free.__getitem__), "")


def _facts(account: RunAccount, finish: Finish | None, screen: Screen) -> list[str]:
    """Return what became of connections and names, and how the run came to its end."""
    made, names = account.time.connections, account.time.lookups
    lines: list[str] = []
    reused = formats.counted(made.reused, "request")
    text = f"{formats.count(made.opened)} opened, {reused} reused one"
    if made.tls_full or made.tls_resumed:
        text += (
            f"; TLS {formats.count(made.tls_full)} full, {formats.count(made.tls_resumed)} resumed"
        )
    lines += _fact("connections", text, screen)
    closed = [
        (made.closed_by_server, "by servers"),
        (made.closed_idle, "by us as idle"),
        (made.closed_by_us, "by us after use"),
        (made.broken, "by errors and time-outs"),
    ]
    if any(count for count, _ in closed):
        text = ", ".join(f"{formats.count(count)} {how}" for count, how in closed if count)
        lines += _fact("closed", text, screen)
    if names.asked or names.cached:
        text = f"{formats.count(names.asked)} looked up, {formats.count(names.cached)} from memory"
        if names.asked:
            text += f"; {formats.duration(names.seconds / names.asked)} each"
        if names.failed:
            text += f"; {formats.count(names.failed)} failed"
        lines += _fact("names", text, screen)
    if finish is not None:
        lines += _fact("the end", _finish(finish, screen), screen)
    return lines


def _finish(finish: Finish, screen: Screen) -> str:
    parts = [
        f"{formats.share(share)} of URLs after {formats.duration(seconds)}"
        if share < 1
        else f"the last after {formats.duration(seconds)}"
        for share, seconds in finish.done_s.items()
        if share >= 0.9
    ]
    named = ((shown(host, screen.glyphs, _NAME), count) for host, count in finish.hosts[:3])
    hosts = ", ".join(f"{host} {formats.count(count)}" for host, count in named)
    text = f"{', '.join(parts)}. The last {formats.counted(finish.last, 'URL')}: {hosts}"
    slowest = finish.slowest
    attempts = formats.counted(slowest.attempts, "attempt")
    tried = f" in {attempts}" if slowest.attempts > 1 else ""
    took = f"The very last took {formats.duration(slowest.elapsed_s)}{tried}"
    return f"{text}. {took}: {shown(slowest.url, screen.glyphs, _URL)}"


def _advice(account: RunAccount, screen: Screen) -> list[str]:
    lines: list[str] = []
    for each in advice(account):
        lines += _fact("advice" if not lines else "", shown(in_words(each), screen.glyphs), screen)
        lines += _fact("", f"({shown(each.evidence, screen.glyphs)})", screen)
    return lines
