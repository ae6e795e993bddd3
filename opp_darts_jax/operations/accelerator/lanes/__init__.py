"""Kernels for TPU, written once for a list of copies: rows lie in the lanes."""
