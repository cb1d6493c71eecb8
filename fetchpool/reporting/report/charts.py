"""What the page's charts draw: numbers and words of ours only, nothing from a list or a server.

`assets/page.js` reads this; each chart has an `id`, that of the element it is drawn into.
"""

from __future__ import annotations

from math import log
from typing import Any, Final

import msgspec

from fetchpool.model.slot_time import DOING, FREE
from fetchpool.reporting.report.slots import SlotsOverTime, over_time, words_of
from fetchpool.reporting.report.values import Bar, Report, Timeline

Chart = dict[str, Any]

_TICKS: Final = [a * 10.0**b for b in range(-6, 7) for a in (1, 3)]


def charts_of(report: Report) -> list[Chart]:
    """Return the charts of *report*: those that have something to show."""
    charts: list[Chart] = []
    if report.gathered.timeline.moments:
        charts += _over_time(report.gathered.timeline)
    if report.gathered.bars:
        charts.append(_latencies(report.gathered.bars))
    slots = over_time(report.accounts)
    if slots is not None:
        charts.append(_slots(slots))
    return charts


def as_json(charts: list[Chart]) -> str:
    """Return *charts* as JSON that may stand within an element of HTML."""
    text = msgspec.json.encode(charts).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _over_time(timeline: Timeline) -> list[Chart]:
    moments = timeline.moments
    # The last point says how far the last moment goes.
    x = [_short(m.at) for m in moments] + [_short(timeline.seconds)]
    cuts: list[float] = []
    at = 0.0
    for stretch in timeline.stretches[:-1]:
        at += stretch.seconds
        cuts.append(_short(at))

    def column(name: str) -> list[float | None]:
        values = [getattr(each, name) for each in moments]
        return [None if v is None else _short(v) for v in [*values, values[-1]]]

    def chart(name: str, kind: str, unit: str, *series: tuple[str, str, str]) -> Chart:
        return {
            "id": name,
            "kind": kind,
            "unit": unit,
            "x": x,
            "cuts": cuts,
            "sync": True,
            "series": [
                {"label": label, "colour": colour, "data": column(field)}
                for field, label, colour in series
            ],
        }

    return [
        chart("speed", "area", "/s", ("ok", "ok", "--ok"), ("failed", "failed", "--bad")),
        chart("running", "area", "", ("running", "in progress", "--a1")),
        chart("received", "area", "B/s", ("wire_bytes", "received", "--a2")),
        chart("took", "lines", "s", ("p90_s", "p90", "--a4"), ("p50_s", "median", "--a1")),
    ]


def _latencies(bars: tuple[Bar, ...] | Any) -> Chart:
    step = log(bars[1].up_to_s / bars[0].up_to_s) if len(bars) > 1 else 0.2
    first = log(bars[0].up_to_s) - step / 2  # the middle of the first bar
    ticks = [[round((log(tick) - first) / step, 3), tick] for tick in _TICKS]
    return {
        "id": "latency",
        "kind": "bars",
        "unit": "",
        "x": list(range(len(bars))),
        "upTo": [_short(bar.up_to_s) for bar in bars],
        "ticks": [tick for tick in ticks if -0.5 <= tick[0] <= len(bars) - 0.5],
        "series": [
            {"label": "ok", "colour": "--ok", "data": [bar.ok for bar in bars]},
            {"label": "failed", "colour": "--bad", "data": [bar.failed for bar in bars]},
        ],
    }


def _slots(slots: SlotsOverTime) -> Chart:
    spans = [*slots.spans, slots.spans[-1]]
    doing, free = list(DOING), list(FREE)

    def colour(name: str) -> str:
        if name in doing:
            return f"--d{doing.index(name) + 1}"
        return f"--f{free.index(name) + 1}" if name in free else "--f0"

    return {
        "id": "slots",
        "kind": "area",
        "unit": "",
        "x": [_short(span.at) for span in slots.spans] + [_short(slots.seconds)],
        "cuts": [_short(start) for start in slots.starts],
        "sync": False,
        "series": [
            {
                "label": words_of(name),
                "colour": colour(name),
                "data": [_short(span.slots.get(name, 0.0)) for span in spans],
            }
            for name in slots.parts
        ],
    }


def _short(value: float) -> float:
    """Return *value* with five digits, which is more than a screen shows."""
    return float(f"{value:.5g}")
