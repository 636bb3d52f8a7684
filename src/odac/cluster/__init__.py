"""The messages that the processes of one app send to each other, over any broker."""
