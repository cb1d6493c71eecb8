"""Tests of `fetchpool report`."""
