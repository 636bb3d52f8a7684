"""Questions and answers over a connection, in both directions."""
