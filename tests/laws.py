"""Which examples hypothesis tries: what `TEST_LAWS` names, in every process of the tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

LOADED = os.environ.get("TEST_LAWS", "unhurried")

# No test fails for being slow: a busy machine may stand still for a second at any place.
# (hypothesis goes by whether `CI` is set; here TEST_LAWS alone says which examples are tried.)
settings.register_profile(
    "unhurried", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
# In continuous integration, where a red run must be red again.
settings.register_profile("repeatable", settings.get_profile("unhurried"), derandomize=True)
# For `python -m tests.fuzz_laws`.
settings.register_profile("thorough", settings.get_profile("unhurried"), max_examples=1_000)
settings.load_profile(LOADED)
