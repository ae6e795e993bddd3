"""Kernels for GPU, written once for a list of copies."""
