"""Everybody's cursor on one page."""
