"""The keys of a record as documentation: `docs/records.md` and the table of the README."""

from __future__ import annotations

from types import NoneType
from typing import get_args, get_type_hints

from msgspec import Raw

from fetchpool.model.values import Change, FailureKind, Timings
from fetchpool.output.ledger.record import Key, Record, keys

_HEAD = """\
# Records

<!-- Made by `python -m fetchpool.output.ledger > docs/records.md`; a test holds it to the code. -->

`results.jsonl` has one record for each URL of the list, in the order they ended: a JSON object on
a line of its own, in UTF-8. `--records` and `fetchpool export` write the same keys, as JSON Lines
or as columns of CSV.

- Keys stand in this order. A later version may add some, at the end.
- A key with an "only" is left out of the records it says nothing about; as a column of CSV it is
  there in all of them, if any of the run may have it. All other keys are always there.
- What a key says of secrets holds everywhere: userinfo and the values of `--secret-param` are
  `***`. Characters that could command a terminal or end a line are escapes of JSON.
- A body may be there although `ok` is false: with `--keep-errors`.

"""

_TYPES = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    FailureKind: "kind of error",
    Change: "text",
    Raw: "object",
    Timings: "object",
    NoneType: "null",
}


def render_reference() -> str:
    """Return the Markdown of `docs/records.md`."""
    types = get_type_hints(Record)
    rows = [
        f"| `{name}` | {_words(types[name], key)} | {_meaning(key)} | {_origin(key)} |"
        for name, key in keys().items()
    ]
    head = "| key | value | meaning | from |\n| --- | --- | --- | --- |\n"
    return f"{_HEAD}{head}{_lines(rows)}\n{_FOOT}"


def render_table() -> str:
    """Return the table of the README: a key and its meaning in a row."""
    rows = [f"| `{name}` | {_meaning(key)} |" for name, key in keys().items()]
    return f"| key | meaning |\n| --- | --- |\n{_lines(rows)}"


_FOOT = """\
The last column names the field of the library's `Outcome`. What each kind of error means stands in
[the README](../README.md#kinds-of-error).
"""


def _meaning(key: Key) -> str:
    return key.meaning if key.only is None else f"{key.meaning}; only {key.only.when}"


def _origin(key: Key) -> str:
    return f"`{key.of}`" + (", secrets hidden" if key.hide else "")


def _words(kind: object, key: Key) -> str:
    kinds = get_args(kind) or (kind,)
    return " or ".join(_TYPES[each] for each in kinds if not (key.only and each is NoneType))


def _lines(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
