"""Which proxy a URL goes through, read from the environment once.

aiohttp's `trust_env` looks it up anew for each request, in a thread: 233 µs became 1,262 µs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from urllib import request as urllib_request

from fetchpool.models import Target

# As old as Python 2.6 and used by requests, though typeshed doesn't know it.
_bypasses: Callable[[str, dict[str, str]], bool] = vars(urllib_request)["proxy_bypass_environment"]

ProxyFor = Callable[[Target], str | None]


def environment_has_proxy() -> bool:
    """Tell whether the environment names a proxy, and doesn't except all hosts from it."""
    proxies = urllib_request.getproxies_environment()
    named = any(proxies.get(scheme) for scheme in ("http", "https", "all"))
    return named and proxies.get("no", "").strip() != "*"


def proxy_chooser(proxy: str | None) -> ProxyFor:
    """Return a function from target to proxy URL, or None for a direct connection.

    *proxy* is `--proxy`: a URL for all requests, an empty string for none, None for what
    `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say (either case, as curl reads them).
    """
    if proxy is not None:
        return lambda target: proxy or None
    if not environment_has_proxy():
        return lambda target: None
    proxies = urllib_request.getproxies_environment()

    @lru_cache(maxsize=4096)
    def choose(scheme: str, host: str, port: int) -> str | None:
        found = proxies.get(scheme) or proxies.get("all")
        if not found or _bypasses(f"{host}:{port}", proxies):
            return None
        return found if "://" in found else f"http://{found}"

    return lambda target: choose(target.scheme, target.host, target.port)
