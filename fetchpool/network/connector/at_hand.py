"""Connections that a request has just left: the next one to its origin takes them from here.

    request ends ──▶ keep ──▶ take ──▶ the next request of the same turn of the event loop
                       └──▶ end of the turn ──▶ the connector's idle connections

A host that has something waiting starts it in the turn in which a request ends. The connector's
books take 10 µs for a connection that is given back and borrowed again; meanwhile it counts as in
use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey

    from fetchpool.network.connector import FetchConnector
    from fetchpool.network.connector.handler import Handler


class AtHand:
    """The connections of *connector* that were left in this turn of the event loop."""

    def __init__(self, connector: FetchConnector) -> None:
        self._connector = connector
        self._left: dict[ConnectionKey, list[tuple[Handler, ConnectionKey | None]]] = {}

    def keep(
        self, key: ConnectionKey, handler: Handler, shelf: ConnectionKey | None = None
    ) -> bool:
        """Take what may serve again; return False if the connector must have it at once.

        See `FetchConnector.release`.
        """
        connector = self._connector
        if not handler.was_kept or handler.is_spent:
            return False
        if connector._waiters or connector._closed:  # who waits, waits for any that is given back
            return False
        left = self._left.get(key)
        if left is None:
            if not self._left:
                connector._loop.call_soon(self.clear)
            left = self._left[key] = []
        left.append((handler, shelf))
        return True

    def take(self, key: ConnectionKey) -> Handler | None:
        """Return the connection for *key* that was left last, or None."""
        left = self._left.get(key)
        while left:
            handler, shelf = left.pop()
            transport = handler.transport
            if transport is not None and not transport.is_closing():
                return handler
            self._connector.release(key, handler, reusable=False, shelf=shelf)
        return None

    def clear(self) -> None:
        """Give all of them to the connector."""
        all_left, self._left = self._left, {}
        for key, left in all_left.items():
            for handler, shelf in left:
                reusable = handler.is_connected()
                self._connector.release(key, handler, reusable=reusable, shelf=shelf)
