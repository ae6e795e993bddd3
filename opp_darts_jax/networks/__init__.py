"""Networks made of genotypes."""
