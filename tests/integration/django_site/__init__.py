"""A Django project for the tests: a user model of its own, DRF tokens, and what the environment says of the rest."""
