"""Odac inside other frameworks."""
