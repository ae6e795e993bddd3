"""Kernels written once for a list of copies: for GPU; lanes/ are for TPU."""
