"""``odac new``: a project to begin with."""
