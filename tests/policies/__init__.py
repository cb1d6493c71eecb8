"""Policies: what they add to requests, and the requests they make themselves."""
