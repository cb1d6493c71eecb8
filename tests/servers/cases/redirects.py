"""Where a 3xx leads to, and what goes along (RFC 9110 §15.4, WHATWG URL)."""

from __future__ import annotations

import asyncio

from tests.servers.behaviours import (
    LENGTH,
    OK,
    answered,
    fails,
    keep,
    lands,
    ok,
    passing,
    redirect,
)
from tests.servers.fault import Behaviour, Case, Exchange, Expect, Options, land


def _to(name: str, location: bytes, final: str, *, status: int = 302) -> Case:
    """Return a case that asks for `/NAME/a/b?c=d` and is sent on to *location*."""
    behaviour = redirect(location, status=status)
    return Case(f"to-{name}", behaviour, lands(final), suffixes=("/a/b?c=d",))


_FORMS = [
    *(
        _to(f"other-{status}", b"{other}/x", "{other}/x", status=status)
        for status in (301, 302, 303, 307, 308)
    ),
    _to("own-absolute", b"{own}/x", "{own}/x"),
    _to("path", b"/x/y?z=1", "{own}/x/y?z=1"),
    _to("relative", b"x", "{own}/to-relative/a/x"),
    _to("relative-dot", b"./x", "{own}/to-relative-dot/a/x"),
    _to("relative-up", b"../x", "{own}/to-relative-up/x"),
    _to("relative-up-too-far", b"../../../../../x", "{own}/x"),
    _to("relative-up-inside", b"/p/../q/./r", "{own}/q/r"),
    _to("relative-encoded-dots", b"%2e%2e/x", "{own}/to-relative-encoded-dots/x"),
    _to("query", b"?e=f", "{own}/to-query/a/b?e=f"),
    _to("no-scheme", b"//{other_authority}/x", "{other}/x"),
    _to("scheme-upper", b"HTTP://{other_authority}/x", "{other}/x"),
    _to("no-path", b"{other}", "{other}/"),
    _to("no-path-query", b"{other}?q", "{other}/?q"),
    _to("scheme-relative-path", b"http:x", "{own}/to-scheme-relative-path/a/x"),
    _to("spaces", b"/a b", "{own}/a%20b"),
    _to("spaces-around", b"  /x  ", "{own}/x"),
    _to("tab-inside", b"/a\tb", "{own}/ab"),
    _to("backslash", b"\\x\\y", "{own}/x/y"),
    _to("quotes", b'/"<x>"', "{own}/%22%3Cx%3E%22"),
    _to("utf-8", "/caf\u00e9".encode(), "{own}/caf%C3%A9"),
    _to("utf-8-query", "/?q=\u597d".encode(), "{own}/?q=%E5%A5%BD"),
    _to("latin-1", b"/caf\xe9", "{own}/caf%E9"),
    _to("percent-kept", b"/%zz%2f%41", "{own}/%zz%2f%41"),
    _to("signed-query", b"/x?sig=a%2Bb%2F%3D&e=+~", "{own}/x?sig=a%2Bb%2F%3D&e=+~"),
    _to("signed-quotes", b"/x?sig='a'%27&e='", "{own}/x?sig='a'%27&e='"),
    _to("three-slashes", b"///{other_authority}/x", "{other}/x"),
    _to("scheme-three-slashes", b"http:///{other_authority}/x", "{other}/x"),
    _to("scheme-many-slashes", b"HTTP:////\\/{other_authority}/x", "{other}/x"),
    _to("scheme-one-slash", b"http:/x", "{own}/x"),
    _to("backslashes", b"\\\\{other_authority}\\x", "{other}/x"),
    _to("slash-backslash", b"/\\{other_authority}/x", "{other}/x"),
    _to("tab-in-scheme", b"ht\ttp://{other_authority}/x", "{other}/x"),
    _to("tab-between-slashes", b"/\t/{other_authority}/x", "{other}/x"),
    _to("decimal-address", b"http://2130706433:{other_port}/x", "{other}/x"),
    Case(
        "to-fragment",
        redirect(b"/x#part"),
        Expect(errors=frozenset({None}), body=b"landed /x", redirects=1, retried=False),
    ),
    Case("to-same-twice", redirect(b"/x", fields=b"Location: /x\r\n"), lands("{own}/x")),
    Case("to-userinfo", redirect(b"http://user:hush@{other_authority}/x"), lands("{other}/x")),
    Case("to-userinfo-own", redirect(b"//user:hush@{own_authority}/x"), lands("{own}/x")),
]


# Hosts below are loopback's own (`.localhost` never leaves the machine, RFC 6761 §6.3): what a
# program that fails these cases does must not be seen by anybody else.
def _refused(name: str, location: bytes, kind: str = "redirect") -> Case:
    return Case(f"to-{name}", redirect(location), fails(kind, sent=302))


_REFUSED = [
    *(
        _refused(name, location, "blocked")
        for name, location in {
            "file": b"file:///etc/passwd",
            "file-upper": b"FILE:///etc/passwd",
            "ftp": b"ftp://127.0.0.1/x",
            "data": b"data:text/plain,hello",
            "javascript": b"javascript:alert(1)",
            "mailto": b"mailto:a@example.org",
            "websocket": b"ws://127.0.0.1/",
            "gopher": b"gopher://127.0.0.1/",
            "unknown-scheme": b"x-made-up:thing",
        }.items()
    ),
    _refused("port-99999", b"http://127.0.0.1:99999/x"),
    _refused("port-letters", b"http://127.0.0.1:eighty/x"),
    _refused("port-negative", b"http://127.0.0.1:-1/x"),
    _refused("port-99999-three-slashes", b"http:///127.0.0.1:99999/x"),
    _refused("no-host-at-all", b"http:///"),
    _refused("no-host-query", b"//?x"),
    _refused("only-port", b"http://:80/x"),
    _refused("open-bracket", b"http://[::1/x"),
    _refused("bad-ipv6", b"http://[::g]/x"),
    _refused("space-in-host", b"http://exa mple.localhost/x"),
    _refused("nul-in-host", b"http://exa%00mple.localhost/x"),
    _refused("latin-1-host", b"http://\xe9xample.localhost/x"),
    _refused("address-in-brackets", b"http://[127.0.0.1]/x"),
    Case(
        "to-two-different",
        redirect(b"/x", fields=b"Location: /y\r\n"),
        fails("protocol", sent=302),
    ),
    Case(
        "to-two-different-origins",
        redirect(b"{own}/x", fields=b"Location: {other}/x\r\n"),
        fails("protocol", sent=302),
    ),
]

_NOWHERE = [
    *(
        Case(f"nowhere-{status}", redirect(None, status=status), answered(status))
        for status in (300, 301, 302, 303, 307, 308)
    ),
    Case("nowhere-empty", redirect(b""), answered(302)),
    Case("nowhere-blank", redirect(b"   "), answered(302)),
    Case("nowhere-with-body", redirect(None, body=b"lost"), answered(302)),
    Case("nowhere-304", redirect(b"/x", status=304, fields=LENGTH), answered(304)),
    Case(
        "nowhere-200", keep(OK + b"Location: /x\r\n" + LENGTH + b"\r\n<token!>"), ok(wire_bytes=8)
    ),
    Case(
        "nowhere-201",
        keep(b"HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
        ok(b"", status=201),
    ),
]


def _chain(hops: int | None, *, pause_s: float = 0.0) -> Behaviour:
    """Redirect from `/NAME` to `/NAME/1` and so on, *hops* times (None: for ever)."""

    async def behave(exchange: Exchange) -> None:
        done = int(exchange.target.removeprefix(f"/{exchange.case.name}").lstrip("/") or 0)
        if done == hops:
            await land(exchange)
            return
        await asyncio.sleep(pause_s)
        head = b"HTTP/1.1 302 Found\r\nLocation: /%s/%d\r\nContent-Length: 0\r\n\r\n"
        await exchange.send(head % (exchange.case.name.encode(), done + 1))
        exchange.ends = False

    return behave


async def _two_step_loop(exchange: Exchange) -> None:
    """Redirect `/NAME` to `/NAME?again` and back."""
    again = b"" if exchange.target.endswith("?again") else b"?again"
    location = b"/" + exchange.case.name.encode() + again
    await exchange.send(
        b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    )
    exchange.ends = False


async def _until_it_has_asked_thrice(exchange: Exchange) -> None:
    """Redirect to the URL itself, as pages do that set a state; land at every fourth request."""
    if len(exchange.server.requests(exchange.case)) % 4 == 0:
        await land(exchange)
        return
    await exchange.send(b"HTTP/1.1 302 Found\r\nLocation: #\r\nContent-Length: 0\r\n\r\n")
    exchange.ends = False


async def _there_and_back(exchange: Exchange) -> None:
    """Send `/NAME` on to `/NAME/state`, that back, and land at every third request."""
    if len(exchange.server.requests(exchange.case)) % 3 == 0:
        await land(exchange)
        return
    there = b"" if exchange.target.endswith("/state") else b"/state"
    location = b"/" + exchange.case.name.encode() + there
    await exchange.send(
        b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    )
    exchange.ends = False


_CHAINS = [
    Case(
        "chain-loop-that-ends",
        _until_it_has_asked_thrice,
        lands("{own}/chain-loop-that-ends", redirects=3),
    ),
    Case(
        "chain-loop-of-two-that-ends",
        _there_and_back,
        lands("{own}/chain-loop-of-two-that-ends", redirects=2),
    ),
    Case("chain-loop", redirect(b"{own}/chain-loop"), fails("redirect", sent=302)),
    Case("chain-loop-fragment", redirect(b"#again"), fails("redirect", sent=302)),
    Case("chain-loop-of-two", _two_step_loop, fails("redirect", sent=302)),
    Case("chain-of-3", _chain(3), lands("{own}/chain-of-3/3", redirects=3)),
    Case("chain-of-10", _chain(10), lands("{own}/chain-of-10/10", redirects=10)),
    Case("chain-of-11", _chain(11), fails("redirect", sent=302)),
    Case("chain-endless", _chain(None), fails("redirect", sent=302)),
    Case("chain-slow-hops", _chain(10, pause_s=0.6), passing("timeout", sent=302), Options.HURRIED),
]


async def _endless_below(exchange: Exchange) -> None:
    """Redirect, with a body under the answer that does not end."""
    if exchange.target != f"/{exchange.case.name}":
        await land(exchange)
        return
    await exchange.send(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n")
    while True:
        await exchange.send(b"endless " * 512)
        await asyncio.sleep(0)


async def _silent_below(exchange: Exchange) -> None:
    """Redirect, with a body announced that never comes."""
    if exchange.target != f"/{exchange.case.name}":
        await land(exchange)
        return
    await exchange.send(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 100\r\n\r\n")
    await exchange.silence()


_UNREAD = [
    Case("below-endless", _endless_below, lands("{own}/x")),
    Case("below-silent", _silent_below, lands("{own}/x")),
    Case("below-small", redirect(b"/x", body=b"<a href=/x>moved</a>"), lands("{own}/x")),
    Case(
        "below-cut",
        redirect(b"/x", fields=b"Content-Length: 9\r\nConnection: close\r\n"),
        lands("{own}/x"),
    ),
    Case(
        "below-bad-coding",
        redirect(b"/x", fields=b"Content-Encoding: gzip\r\n", body=b"junk"),
        lands("{own}/x"),
    ),
    Case(
        "below-unknown-coding",
        redirect(b"/x", fields=b"Content-Encoding: lzw9\r\n", body=b"ju"),
        lands("{own}/x"),
    ),
    Case(
        "below-huge",
        redirect(b"/x", fields=b"Content-Length: 9000000000\r\nConnection: close\r\n"),
        lands("{own}/x"),
    ),
    Case(
        "below-cookie",
        redirect(b"/x", fields=b"Set-Cookie: stolen=1; Path=/\r\n"),
        lands("{own}/x"),
    ),
    Case(
        "below-cookie-other",
        redirect(b"{other}/x", fields=b"Set-Cookie: stolen=1; Path=/\r\n"),
        lands("{other}/x"),
    ),
]

CASES = _FORMS + _REFUSED + _NOWHERE + _CHAINS + _UNREAD
