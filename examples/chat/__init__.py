"""A chat: rooms, the people in them, typing indicators, announcements. ``make run`` starts it."""
