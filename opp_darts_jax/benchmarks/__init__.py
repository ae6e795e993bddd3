"""What is known beforehand: tables of truth, and published results."""

from opp_darts_jax.benchmarks import nasbench201 as nasbench201
