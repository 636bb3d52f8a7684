"""Odac measured side by side with its alternatives: ``python -m benchmarks``, or ``make bench``."""
