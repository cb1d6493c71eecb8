"""URLs by host in flat memory: exact for as many hosts as fit, then close for the big ones."""

from __future__ import annotations


class HostCounts:
    """How many URLs each host has.

    Beyond twice *most* hosts it is the algorithm of Misra and Gries ("Finding repeated elements",
    1982), done in batches as Anderson et al. (2017) do it: the count of the host number *most* is
    taken off all, and those at zero are forgotten. So no count is too large, and none is too small
    by more than `error`, which is at most a part in *most* of all URLs.
    """

    def __init__(self, most: int) -> None:
        self.counts: dict[str, float] = {}
        self.total = 0.0
        """All URLs, those of forgotten hosts among them."""
        self.error = 0.0
        """By how much a count may be too small; 0 while none was forgotten."""
        self._most = most

    def add(self, host: str, urls: float) -> None:
        """Count *urls* more of *host*."""
        counts = self.counts
        counts[host] = counts.get(host, 0.0) + urls
        self.total += urls
        if len(counts) > 2 * self._most:
            self._forget()

    def _forget(self) -> None:
        cut = sorted(self.counts.values(), reverse=True)[self._most]
        self.error += cut
        self.counts = {host: urls - cut for host, urls in self.counts.items() if urls > cut}
