"""One list in one process: from requests to outcomes."""
