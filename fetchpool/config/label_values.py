"""Labels for metrics, as Prometheus has them."""

from __future__ import annotations

import re

from fetchpool.config.values import Pairs, Unfit, plain, quoted

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_TAKEN = frozenset({"kind", "quantile", "result"})
"""Labels that the metrics use themselves."""

_MAX_VALUE = 1024


class Labels(Pairs):
    """Labels for every metric: pairs of name and value, in the order given.

    Names are those of https://prometheus.io/docs/concepts/data_model/; a value is any text.
    """

    accepts = "NAME=VALUE"
    metavar = "NAME=VALUE"
    mark = "="

    def check(self, value: object) -> tuple[tuple[str, str], ...]:
        """Accept a mapping, pairs, or texts `NAME=VALUE`; each name once."""
        pairs = tuple(self._pair(item) for item in self.items_of(value))
        self.check_once("name", [name for name, _ in pairs])
        return pairs

    def _pair(self, item: object) -> tuple[str, str]:
        pair = self.pair_of(item)
        if pair is None:
            raise self.unfit(item)
        name, text = pair
        if not _NAME.fullmatch(name):
            raise Unfit(
                f"takes {self.accepts}, NAME of letters a to z, digits and _, no digit first, "
                f"not {quoted(name)}"
            )
        if name.startswith("__") or name in _TAKEN:
            raise Unfit(f"can't set {name}: Prometheus or a metric uses it", "name another")
        if len(text) > _MAX_VALUE or not _is_utf8(text):
            raise Unfit(f"takes a value of at most {_MAX_VALUE} characters in UTF-8")
        return (str(name), str(text))

    def show(self, value: tuple[tuple[str, str], ...]) -> str:
        return ", ".join(plain(f"{name}={text}") for name, text in value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
