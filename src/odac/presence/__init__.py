"""Who is in a room, over any number of processes: each process tells the others its share, and joins the shares."""
