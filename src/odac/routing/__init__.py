"""From a path and its gates to a handler."""
