"""The largest eigenvalue of a symmetric matrix known by its products alone."""

from collections.abc import Callable

import jax
import numpy as np
from matfree import decomp

# Products that are taken: three digits of an eigenvalue that stands out.
_DEPTH = 20
# A Krylov space ends where what is left of a product is but rounding.
_ROUNDING = 1e-4


def lanczos(
  product: Callable[[jax.Array], jax.Array], start: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Lanczos iterations, inside a jitted function: the product is compiled once.

  Args:
    product: a vector (n,) -> the matrix's product with it.
    start: (n,), not zero.

  Returns:
    Diagonal (d,) and what is beside it (d - 1,), of a tridiagonal matrix whose
    eigenvalues are near the outer ones of the matrix; d = min(20, n). After the
    end of a Krylov space they mean nothing (see `largest_eigenvalue`).
  """
  depth = min(_DEPTH, len(start))
  take = decomp.tridiag_sym(depth, materialize=False, custom_vjp=False)
  return take(product, start).J_small


def largest_eigenvalue(diagonal: np.ndarray, beside: np.ndarray) -> float:
  """That of the tridiagonal matrix, up to the end of its Krylov space.

  Returns:
    It; NaN if the start was zero.
  """
  from scipy.linalg import eigvalsh_tridiagonal  # Half a second to import.

  diagonal, beside = (np.asarray(a, float) for a in (diagonal, beside))
  known = np.isfinite(diagonal)
  if not known[0]:
    return float('nan')
  scale = np.abs(diagonal[known]).max()
  # Also where it is NaN, of a rest of zero.
  ends = np.flatnonzero(~(np.abs(beside) > _ROUNDING * scale))
  size = ends[0] + 1 if len(ends) else len(diagonal)
  return float(eigvalsh_tridiagonal(diagonal[:size], beside[: size - 1])[-1])
