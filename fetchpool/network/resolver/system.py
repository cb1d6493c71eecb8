"""Names that only the system's own resolver knows: mDNS, and other modules of nsswitch.

It blocks, so it is called in threads. These are few, so that unknown names don't exhaust the
machine, and a stuck one delays nobody.
"""

from __future__ import annotations

import asyncio
import socket
import threading

from aiohttp.abc import ResolveResult

from fetchpool.network.resolver.numeric import numeric_result

AT_ONCE = 8
"""Names looked up at once, each in a thread of its own."""

WAIT_S = 5.0
"""How long a name waits for its turn and its addresses: what mDNS takes for an unknown name, and
less than `--connect-timeout`."""


class TooBusyError(OSError):
    """The system's resolver didn't answer in time."""


def may_know(name: str) -> bool:
    """Tell whether the system may know *name* though DNS doesn't."""
    bare = name.rstrip(".")
    return "." not in bare or bare.endswith(".local")


class SystemResolver:
    """Calls getaddrinfo(3)."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def resolve(self, name: str, family: socket.AddressFamily) -> list[ResolveResult]:
        """Return *name*'s addresses, none if it is unknown; raises `TooBusyError`."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turns.acquire()
                addresses = await self._ask(name, family)
        except TimeoutError:
            raise TooBusyError(None, "the system's resolver did not answer") from None
        return [numeric_result(name, address) for address in addresses]

    def _ask(self, name: str, family: socket.AddressFamily) -> asyncio.Future[list[str]]:
        """Look up in a new thread, which gives its turn back when it ends, even if nobody waits."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def end(addresses: list[str]) -> None:
            self._turns.release()
            if not answer.done():
                answer.set_result(addresses)

        def ask() -> None:
            addresses = _addresses(name, family)
            try:
                loop.call_soon_threadsafe(end, addresses)
            except RuntimeError:
                return  # the loop has been closed meanwhile

        # A daemon, so that the program can end without waiting for it.
        threading.Thread(target=ask, name="fetchpool-names", daemon=True).start()
        return answer


def _addresses(name: str, family: socket.AddressFamily) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, family=family, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(_numeric(info[4]) for info in found))


def _numeric(address: tuple[str | int | bytes, ...]) -> str:
    """Return a socket's *address* as text, with the zone if it is link-local."""
    if len(address) == 4 and address[3]:
        of_link = (str(address[0]), 0, 0, int(address[3]))
        return socket.getnameinfo(of_link, socket.NI_NUMERICHOST)[0]
    return str(address[0])
