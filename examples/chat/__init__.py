"""A chat: rooms, who is here, typing, announcements. ``make run`` starts it."""
