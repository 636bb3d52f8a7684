"""Who is in a room, on any number of processes: the shares that processes tell each other, and the people made of them."""
