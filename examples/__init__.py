"""Examples: run one with ``odac run examples.echo:app`` from the repository's root."""
