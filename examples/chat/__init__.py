"""A chat: rooms, the people in them, typing, announcements. ``make run`` starts it."""
