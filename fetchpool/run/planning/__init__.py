"""What a list would take, before it is fetched: how long, on how many machines, and why.

lists ──tally──▶ URLs by host, in flat memory ──plan──▶ Plan
                          pace (what limits allow a host) ──▶ fluid (how far it is when)
"""

from fetchpool.run.planning.pace import Pace, machine_rate
from fetchpool.run.planning.plan import Change, Host, Plan, Row, plan_for
from fetchpool.run.planning.tally import Read, plan_of

__all__ = ["Change", "Host", "Pace", "Plan", "Read", "Row", "machine_rate", "plan_for", "plan_of"]
