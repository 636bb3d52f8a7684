"""Connections, rooms and delivery: what happens to a message once it is one."""
