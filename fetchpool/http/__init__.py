"""One attempt: a target goes in, a `Response` or a `FailedAttempt` comes out.

    Engine.attempt ──▶ Exchange.send ──▶ Receiver ──▶ store
          │   ▲             │
        Watch └── ticker ───┘  (ends what takes too long)

`exchange` is the interface behind which a request is exchanged for an answer, `session` the
reference implementation, `faults` the one table from exception to `FailureKind`.
"""

from fetchpool.http.core import Engine

__all__ = ["Engine"]
