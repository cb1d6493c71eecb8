"""`--workers`: one run over several processes, each with a share of the hosts.

    fleet     the workers of a run
    dispatch  the parent: reads, routes, counts, hands outcomes on
    child     a worker: a whole pipeline of its own
    hiring    where worker processes come from
    member    a worker as the parent sees it
    outbox    what a worker was given, until it is answered: it may die
    pauses    what hosts asked for: a worker may be replaced
    sharing   who owns which host, and how much of the limits

The parent alone has the list, the ledger, the display and the exit status.
"""

from fetchpool.workers.dispatch import Dispatch, FleetObserver
from fetchpool.workers.fleet import Fleet
from fetchpool.workers.hiring import Hire, Recruits, spawn
from fetchpool.workers.member import NoWorkersError
from fetchpool.workers.setup import open_bodies
from fetchpool.workers.sharing import worker_count

__all__ = [
    "Dispatch",
    "Fleet",
    "FleetObserver",
    "Hire",
    "NoWorkersError",
    "Recruits",
    "open_bodies",
    "spawn",
    "worker_count",
]
