"""What is told of a robots.txt that was fetched."""

from __future__ import annotations

from msgspec import Struct

MOST_DELAY_S = 300.0
"""The longest Crawl-delay that is kept, as in Heritrix: a day would be another way to say no."""


class RobotsRead(Struct, frozen=True, array_like=True):
    """A robots.txt, once it was fetched or couldn't be; texts are the server's, unchanged."""

    url: str
    says: str
    """What holds for its origin, in a few words: `rules`, `allows all: HTTP status 404`."""
    crawl_delay_s: float | None = None
    """Its Crawl-delay, as asked for."""
    sitemaps: tuple[str, ...] = ()
    """The first of its `Sitemap` lines."""
    sitemaps_in_all: int = 0

    @property
    def kept_delay_s(self) -> float | None:
        """The Crawl-delay that is kept."""
        return None if self.crawl_delay_s is None else min(self.crawl_delay_s, MOST_DELAY_S)
