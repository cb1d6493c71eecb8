"""Numbers as a person reads them: short, with a unit, in a known width."""

from __future__ import annotations

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def count(number: int) -> str:
    """Return *number* with thousands separators: `20,000`."""
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """Return *number* with *noun*, in the plural unless it is one: `1 URL`, `20,000 URLs`."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def duration(seconds: float) -> str:
    """Return a measured time: `31 ms`, `4.1 s`, `1 min 20 s`, `2 h 05 min`, `3 d 4 h`.

    At most 11 characters below a thousand days.
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.0005 else "<1 ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    return _in_two_units(seconds)


def whole_seconds(seconds: float) -> str:
    """Return a time without tenths: `9 s`, `1 min 20 s`, `2 h 05 min`."""
    return f"{seconds:.0f} s" if seconds < 59.5 else _in_two_units(seconds)


def span(seconds: float) -> str:
    """Return a time from a setting: `500 ms`, `9 s`, `1.5 s`, `2 min`, `1 h`, `1 h 30 min`."""
    if seconds < 60:
        return duration(seconds).replace(".0 ", " ")
    return _in_two_units(seconds).removesuffix(" 00 s").removesuffix(" 00 min").removesuffix(" 0 h")


def _in_two_units(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def time_left(seconds: float) -> str:
    """Return an estimate, roughly: `9 s left`, `12 min left`, `3 h left`.

    At most 11 characters below a thousand days; at least a second.
    """
    if seconds < 89.5:
        return f"{max(1.0, seconds):.0f} s left"
    if seconds < 89.5 * 60:
        return f"{seconds / 60:.0f} min left"
    if seconds < 47.5 * 3600:
        return f"{seconds / 3600:.0f} h left"
    return f"{seconds / 86400:.0f} d left"


def size(number: float) -> str:
    """Return bytes in decimal units, at most 7 characters: `812 B`, `66.1 MB`, `812 GB`."""
    if number < 999.5:
        return f"{number:.0f} B"
    scaled = float(number)
    for unit in _SIZES[1:]:
        scaled /= 1000
        if scaled < 99.95:
            return f"{scaled:.1f} {unit}"
        if scaled < 999.5 or unit == _SIZES[-1]:
            return f"{scaled:.0f} {unit}"
    raise AssertionError("the last unit takes everything")


def rate(per_second: float) -> str:
    """Return a number a second: `1,310/s`, `9.3/s`, `0.05/s`."""
    if per_second >= 9.95:
        return f"{per_second:,.0f}/s"
    if per_second >= 0.995:
        return f"{per_second:.1f}/s"
    return f"{per_second:.2f}/s" if per_second >= 0.005 else "0/s"


def percent(part: int, whole: int) -> str:
    """Return a share, 0 and 100 only if exact: `98.9 %`, `<0.1 %`, `>99.9 %`."""
    if part <= 0:
        return "0 %"
    if part >= whole:
        return "100 %"
    share = 100 * part / whole
    if share < 0.1:
        return "<0.1 %"
    return f"{share:.1f} %" if share < 99.95 else ">99.9 %"


def share(part: float) -> str:
    """Return a measured share, 0 … 1, in whole percents: `71 %`."""
    return f"{100 * part:.0f} %"


def percent_done(part: int, whole: int) -> str:
    """Return a progress in whole percents, rounded down; five characters: ` 61 %`."""
    return f"{min(100, part * 100 // whole) if whole else 100:3} %"
