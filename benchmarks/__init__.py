"""fetchpool beside the tools people use today, on the same work: `python -m benchmarks`."""
