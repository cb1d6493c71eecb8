"""Many hosts for each test."""

from tests.program.conftest import crowd as crowd
from tests.program.conftest import server as server
