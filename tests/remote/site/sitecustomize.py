"""Read by every Python that has this directory on its path: what goes up goes up often."""

from tests.remote.hurrying import hurry

hurry()
