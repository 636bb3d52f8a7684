"""Decides which handshakes may connect: hosts, origin, token, session, authentication."""
