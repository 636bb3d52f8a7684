"""Rooms that keep their messages, so that a client that comes back gets what it missed."""
