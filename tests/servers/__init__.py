"""Servers on loopback that behave as the tests ask: hostile, slow, counting, secured, resolving."""
