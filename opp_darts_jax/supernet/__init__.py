"""The search network."""
