"""Cells as plain Python: graphs, genotypes, published ones."""
