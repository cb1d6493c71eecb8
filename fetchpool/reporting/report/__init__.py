"""A run as a document: a page for a browser, Markdown for a CI job, JUnit's XML for a test report.

records ──Gatherer──▶ Gathered ─┐
status, account ────────────────┴▶ Report ──▶ html, markdown, junit
"""
