"""Brokers, which carry bytes between processes: a module for each kind of server; ``base`` is the interface."""
