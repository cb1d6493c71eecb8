"""Which lines of a robots.txt hold for us; how paths are compared is Protego's."""

from __future__ import annotations

import pytest

from fetchpool.policies.robots_text import (
    Rules,
    product_token,
    rules_for,
    sitemaps_in,
    user_agent_in,
)

TEXT = """\
# everybody
User-agent: *
Disallow: /all   # a note
Crawl-delay: 2

user-agent : Other
User-agent: MyBot/2.0
Sitemap: https://x.test/a.xml
Disallow: /mine
Allow: /mine/but

User-agent: free
Disallow:

User-agent: mybot
Disallow: /more
"""


@pytest.mark.parametrize(
    ("token", "rules"),
    [
        ("*", ["disallow: /all", "crawl-delay: 2"]),
        ("nobody", ["disallow: /all", "crawl-delay: 2"]),
        ("mybot", ["disallow: /mine", "allow: /mine/but", "disallow: /more"]),
        ("other", ["disallow: /mine", "allow: /mine/but"]),
        ("free", ["disallow: "]),
        ("my", ["disallow: /all", "crawl-delay: 2"]),
    ],
)
def test_rules_are_those_of_all_groups_that_name_the_token_else_of_everybody(
    token: str, rules: list[str]
) -> None:
    assert rules_for(TEXT, token).split("\n") == rules
    assert rules_for(TEXT.replace("\n", "\r\n"), token).split("\n") == rules


def test_lines_without_a_group_or_an_agent_mean_nothing() -> None:
    assert rules_for("Disallow: /\nUser-agent:\nDisallow: /x\n\0\nDisallow", "a") == ""


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://a.test/mine/1", "Disallow: /mine"),
        ("http://a.test/mine/but/1", None),
        ("http://a.test/more?x=1", "Disallow: /more"),
        ("http://a.test/all", None),
    ],
)
def test_rule_that_refuses_is_named(url: str, rule: str | None) -> None:
    assert Rules(TEXT, "mybot").refuse(url) == rule


def test_longest_rule_is_named_in_few_plain_characters() -> None:
    rules = Rules("User-agent: *\nDisallow: /*b\nDisallow: /é\x1b[31m*$\nDisallow: /é", "x")
    assert rules.refuse("http://a.test/%C3%A9%1B%5B31mb") == "Disallow: /%C3%A9%1B%5B31m*$"
    long = Rules(f"User-agent: *\nDisallow: /{'x*' * 5000}", "x").refuse(f"http://a/{'x' * 6000}")
    assert long is not None
    assert len(long) < 250


@pytest.mark.parametrize(
    ("text", "delay_s"),
    [("2", 2.0), ("0.5 # s", 0.5), ("0", None), ("-1", None), ("nan", None), ("1e999", None)],
)
def test_crawl_delay_is_a_positive_number(text: str, delay_s: float | None) -> None:
    assert Rules(f"User-agent: *\nCrawl-delay: {text}", "x").crawl_delay_s == delay_s


def test_text_that_multiplies_rules_by_agents_is_no_bigger_than_its_rules() -> None:
    """Protego alone takes 25,000 times 17,000 rules, and all memory there is."""
    agents = "".join(f"User-agent:{n:x}\n" for n in range(17_000))
    text = agents + "User-agent: *\n" + "".join(f"Allow:/{n}\n" for n in range(25_000))
    rules = Rules(text, "mybot")
    assert rules.size <= len(text)
    assert len(rules._protego._user_agents) == 1
    # No line end that Protego knows can hide an agent in a rule.
    hidden = rules_for("User-agent: *\nAllow: /\x0bUser-agent: a\x0bUser-agent: b\x0bAllow: /", "b")
    assert hidden == "allow: /"


@pytest.mark.parametrize(
    ("user_agent", "token"),
    [
        ("MyBot/1.0 (+https://x.test)", "mybot"),
        ("my_bot-2", "my_bot-2"),
        ("Mozilla/5.0 (compatible; Bot/1.0; +http://x)", "bot"),
        ("Mozilla/5.0 (X11; Linux) Gecko", "mozilla"),
        ("Mozilla/5.0 (KHTML, like Gecko; compatible; Bot2) Safari", "bot2"),
        (" ", "*"),
        (None, "*"),
    ],
)
def test_product_token_is_the_name_that_is_sent(user_agent: str | None, token: str) -> None:
    assert product_token(user_agent) == token
    if user_agent is not None:
        assert user_agent_in((("Accept", "*/*"), ("user-agent", user_agent))) == user_agent


def test_sitemaps_are_counted_and_the_first_are_kept() -> None:
    text = "sitemap:\n" + "".join(f" Sitemap: http://a.test/{n}  \n" for n in range(20))
    first, in_all = sitemaps_in(f"{text}Sitemap: {'x' * 9000}")
    assert first == tuple(f"http://a.test/{n}" for n in range(8))
    assert in_all == 21
    assert len(sitemaps_in(f"Sitemap: {'x' * 9000}")[0][0]) == 500
