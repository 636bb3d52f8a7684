"""A page that shows the cursors of all its visitors."""
