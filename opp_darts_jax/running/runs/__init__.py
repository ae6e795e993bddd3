"""A run while it goes on, a search or a training."""
