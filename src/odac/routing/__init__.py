"""Routes: finds the route of a path, runs its gates (the checks of a handshake), and calls its handler."""
