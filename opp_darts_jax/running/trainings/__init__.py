"""Trainings of networks made of genotypes."""
