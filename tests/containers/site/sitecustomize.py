"""Read by every Python that has this directory on its path: gives the real program the toy sink."""

from tests.containers.installing import install

install()
