"""What carries bytes between processes: one module for each kind of server, behind the interface in ``base``."""
