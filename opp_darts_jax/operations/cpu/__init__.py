"""The C++ kernels behind the operations."""
