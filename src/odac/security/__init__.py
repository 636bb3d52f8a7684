"""Who may connect: origin, token, session, authentication."""
