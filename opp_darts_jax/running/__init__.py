"""Search and training as wired runs."""
