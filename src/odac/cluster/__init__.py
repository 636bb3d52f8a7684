"""What the processes of one app say to each other, whatever broker carries it."""
