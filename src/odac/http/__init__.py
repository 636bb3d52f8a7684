"""The HTTP endpoints below the prefix."""
