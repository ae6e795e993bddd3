"""The candidate operations."""
