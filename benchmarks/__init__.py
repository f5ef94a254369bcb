"""Benchmarks against other implementations, side by side in one run: `make bench`, or `python -m benchmarks --help`."""
