"""OPP-DARTS and DARTS: differentiable architecture search in JAX."""
