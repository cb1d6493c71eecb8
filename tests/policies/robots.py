"""A toy policy: `/robots.txt` first, once per origin; it says what must not be fetched."""

from __future__ import annotations

from functools import partial

from fetchpool.model.attempts import Plan, Report, Response
from fetchpool.model.values import Failure, FailureKind, Outcome
from fetchpool.policies import OwnRequest, Policy
from fetchpool.scheduling.job import Job


class ToyRobots(Policy):
    """Blocks paths that begin with `/no`, at origins that have a robots.txt."""

    def __init__(self, query: str = "") -> None:
        self._query = query
        self._asked: dict[tuple[str, str, int], OwnRequest] = {}
        self.learnt: dict[tuple[str, str, int], Outcome] = {}
        self.seen: list[tuple[str, int]] = []
        """URLs and statuses that `after` was told of."""

    def before(self, job: Job, plan: Plan) -> Failure | OwnRequest | None:
        origin = plan.target.origin
        outcome = self.learnt.get(origin)
        if outcome is None:
            scheme, host, port = origin
            url = f"{scheme}://{host}:{port}/robots.txt{self._query}"
            learn = partial(self.learnt.__setitem__, origin)
            return self._asked.setdefault(origin, OwnRequest(url, learn))
        if outcome.ok and plan.target.path.startswith("/no"):
            return Failure(FailureKind.BLOCKED, "robots.txt disallows it")
        return None

    def after(self, job: Job, report: Report) -> None:
        if isinstance(report, Response):
            self.seen.append((job.target.url, report.head.status))
