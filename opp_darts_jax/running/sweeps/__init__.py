"""Sweeps of runs, and comparisons of methods by them."""
