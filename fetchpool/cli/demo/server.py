"""The demo's server: every host on a loopback port of its own, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from ipaddress import ip_address

from aiohttp import web

from fetchpool.cli.demo.hosts import DemoHost
from fetchpool.network.resolver import LookupFailedError, RememberingResolver

LOOPBACK = "127.0.0.1"


@contextmanager
def serving(hosts: Sequence[DemoHost]) -> Iterator[dict[str, str]]:
    """Serve *hosts*; the value is where each is, by name, as in `http://slow.localhost:40123`.

    Raises OSError where loopback can't be listened on. At the end all connections are closed.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fetchpool-demo", daemon=True)
    thread.start()
    stack = AsyncExitStack()
    try:
        yield asyncio.run_coroutine_threadsafe(_start(hosts, stack), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(hosts: Sequence[DemoHost], stack: AsyncExitStack) -> dict[str, str]:
    named = await _names_lead_to_loopback(hosts[0].name)
    addresses = {}
    for host in hosts:
        runner = web.ServerRunner(
            web.Server(host.make_handler(), access_log=None), shutdown_timeout=0.1
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, LOOPBACK, 0).start()
        port = runner.addresses[0][1]
        addresses[host.name] = f"http://{_host_name(host.name) if named else LOOPBACK}:{port}"
    return addresses


def _host_name(name: str) -> str:
    # Names below .localhost are loopback's (RFC 6761 §6.3); c-ares knows that without a look-up.
    return f"{name}.localhost"


async def _names_lead_to_loopback(name: str) -> bool:
    """Tell whether the fetching side finds *name* here; if not, the list has addresses."""
    resolver = RememberingResolver()
    try:
        found = await asyncio.wait_for(resolver.resolve(_host_name(name)), 1.0)
    except (LookupFailedError, TimeoutError):
        return False
    finally:
        await resolver.close()
    return all(ip_address(each["host"]).is_loopback for each in found)
