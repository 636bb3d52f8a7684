"""Connections, rooms and delivery: what happens to a message after its frames are parsed."""
