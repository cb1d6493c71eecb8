"""The text of a robots.txt (RFC 9309): which of its lines hold for us, and what they refuse.

text ──(the group of our product token, else of `*`)──▶ its rules ──Protego──▶ allowed? which rule?
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice

from protego import Protego

from fetchpool.model.asking import Fields

NO_NAME = "*"
"""The product token of a request without User-Agent."""

MOST_SITEMAPS = 8
"""`Sitemap` lines of a robots.txt that are told; the others are counted."""

_LONGEST_SITEMAP = 500
_LONGEST_RULE = 200

# The spellings are those that Protego takes; others mean nothing to it either.
_LINE = re.compile(
    r"(user[- ]?agent|allow|dis{1,2}al{1,2}ow|diasllow|disallaw|crawl[- ]delay)\s*[:\s]\s*(.*)",
    re.IGNORECASE,
)
_SITEMAP = re.compile(r"^[ \t]*site-?maps?[ \t]*:[ \t]*([^\s#]\S*)", re.IGNORECASE | re.MULTILINE)
_COMPATIBLE = re.compile(r"[(;]\s*compatible;\s*([^\s;/()]+)", re.IGNORECASE)
_PRODUCT = re.compile(r"[^\s/()]+")


class Rules:
    """The rules of a robots.txt for one product token."""

    def __init__(self, text: str, token: str) -> None:
        """Read *text*; takes some 10 µs a line."""
        rules = rules_for(text, token)
        self.size = len(rules)
        """Characters of the rules: memory and time go with it."""
        self._protego = Protego.parse(f"User-agent: *\n{rules}")
        self.crawl_delay_s = self._protego.crawl_delay(NO_NAME) or None

    def refuse(self, url: str) -> str | None:
        """Return the rule that refuses *url*, as `Disallow: /private`; None = it is allowed."""
        if self._protego.can_fetch(url, NO_NAME):
            return None
        return f"Disallow: {_rule(self._protego, url)[:_LONGEST_RULE]}"


def rules_for(text: str, token: str) -> str:
    """Return the rules in *text* of all groups that name *token*, else of those that name `*`.

    Protego gets no more than these: it keeps each rule once for each agent of its group, so 30 KB
    of a hostile text, a thousand agents and a thousand rules, take it 4 s and 73 MB.
    """
    groups: dict[str, list[str]] = {NO_NAME: []}
    named: set[str] = set()
    is_group_begun = True
    for line in text.splitlines():  # as Protego splits them: no rule holds a line of its own
        found = _LINE.fullmatch(line.partition("#")[0].strip())
        if found is None:
            continue
        field, value = found[1].lower(), found[2]
        if field.startswith("user"):
            if is_group_begun:
                named.clear()
                is_group_begun = False
            agent = _PRODUCT.match(value)
            name = "" if agent is None else agent[0].rstrip("*").lower() or NO_NAME
            if name in (token, NO_NAME):
                named.add(name)
                groups.setdefault(name, [])
        else:
            is_group_begun = True
            for name in named:
                groups[name].append(f"{field}: {value}")
    return "\n".join(groups[token if token in groups else NO_NAME])


def sitemaps_in(text: str) -> tuple[tuple[str, ...], int]:
    """Return the first URLs of the `Sitemap` lines in *text*, and how many there are in all."""
    found = (each[1][:_LONGEST_SITEMAP] for each in _SITEMAP.finditer(text))
    first = tuple(islice(found, MOST_SITEMAPS))
    return first, len(first) + sum(1 for _ in found)


def _rule(protego: Protego, url: str) -> str:
    """Return the path in the rule of *protego*, all of whose rules are of one group, for *url*.

    Protego says whether a rule refuses a URL, not which: that takes a look inside.
    """
    try:
        from protego._utils import _quote_path

        rules = protego._user_agents[NO_NAME]._rules
        path = _quote_path(url)
        return next(
            rule.value._pattern
            for rule in rules
            if rule.field == "disallow" and rule.value.match(path)
        )
    except (ImportError, AttributeError, KeyError, StopIteration):  # another Protego
        return "…"


@lru_cache(maxsize=256)
def user_agent_in(fields: Fields) -> str | None:
    """Return the User-Agent among *fields*; None where none is sent."""
    return next((value for name, value in fields if name.lower() == "user-agent"), None)


@lru_cache(maxsize=256)
def product_token(user_agent: str | None) -> str:
    """Return the product token of *user_agent*, in lower case: `mybot` of `MyBot/1.0 (+http…)`.

    `bot` of `Mozilla/5.0 (compatible; bot/1.0)`, as crawlers write that sites sort out by browser.
    """
    text = user_agent or ""
    found = _COMPATIBLE.search(text)
    if found is not None:
        return found[1].lower()
    found = _PRODUCT.match(text.strip())
    return NO_NAME if found is None else found[0].lower()
