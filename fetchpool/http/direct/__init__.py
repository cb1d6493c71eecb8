"""The fast way to exchange a request for an answer: directly on the connector's connections.

    DirectExchange.send ──take, open──▶ FetchConnector (limits, keep-alive, DNS, TLS, policy)
          │        ▲  └──release──────────▶
          │        └── future ◀── ClientProtocol ◀── bytes ── transport
          └── request ──────────────────────────────────────▶

`exchange` borrows connections, to origins and to proxies, and writes requests; `protocol` reads one
answer at a time from a connection and pushes it into the receiver.
"""

from fetchpool.http.direct.exchange import DirectExchange

__all__ = ["DirectExchange"]
