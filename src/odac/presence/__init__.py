"""Presence: the people in a room, over any number of processes. Each process sends the people of its own connections
(its share of the room) to the others, and combines the shares.
"""
