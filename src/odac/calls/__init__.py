"""Calls over a connection, in both directions: requests with an answer."""
