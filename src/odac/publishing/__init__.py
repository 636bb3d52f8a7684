"""Sends to an app's clients from outside of its processes: from scripts, task queues and other servers."""
