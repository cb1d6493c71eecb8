"""Read by every Python that has this directory on its path: lets the real program die."""

from tests.containers.dying import install

install()
