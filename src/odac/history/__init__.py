"""Rooms that keep their messages, so that a client that reconnects gets those that it missed."""
