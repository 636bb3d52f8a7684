"""Sending from outside of the app: from scripts, task queues and other servers."""
