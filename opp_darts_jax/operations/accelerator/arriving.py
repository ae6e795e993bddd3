"""What reaches the results of a list's copies, for the kernels backward.

Results that are normalised when they are summed, or read, are told by whom;
what batch normalisation makes of their gradient is computed where it is read.

Axes: as in forward.py.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.operations.accelerator.edges import (
  DESTINATION,
  PLACE,
  TermTables,
)
from opp_darts_jax.operations.accelerator.pallas import (
  channel_block,
  flat,
  load,
  loop,
)
from opp_darts_jax.operations.accelerator.reading import centred, scale_of
from opp_darts_jax.operations.norm import wide_type


class FromTerms(NamedTuple):
  """What reaches rows by the sums of a group.

  Attributes:
    g: of its destinations, (D, B, H, W, C).
    weights: of operations, (P,).
    mask: int32 (P,).
    about_T: of `TermTables`.
    terms_NM: how many terms each row has, and these.
    sums: of the terms, (T, 2, C).
  """

  g: Any
  weights: Any
  mask: Any
  about_T: Any
  terms_NM: Any
  sums: Any


class FromSecond(NamedTuple):
  """What reaches rows of a first list by the second.

  Attributes:
    g: of what the second reads, normalised, (N', B, H, W, C).
    sums: over its pixels, and of g times the row less its mean, (N', 2, C).
    second_N: of `TermTables`.
  """

  g: Any
  sums: Any
  second_N: Any


class Arriving(NamedTuple):
  """What reaches the results of a list's copies.

  Attributes:
    own: the gradient itself, (N, B, H, W, C); or, if they are normalised:
    rows: the results, with their moments.
    terms: what reaches them when they are normalised.
    second: likewise.
  """

  own: Any = None
  rows: Any = None
  terms: FromTerms | None = None
  second: FromSecond | None = None

  def flat(self) -> 'Arriving':
    """For kernels."""

    def of(part, name):
      if part is None:
        return None
      return part._replace(**{name: flat(getattr(part, name))})

    own = None if self.own is None else flat(self.own)
    return Arriving(
      own, of(self.rows, 'x'), of(self.terms, 'g'), of(self.second, 'g')
    )


def terms_of(
  table: TermTables, members_NM: np.ndarray, *args: Any
) -> FromTerms | None:
  """`FromTerms` of some rows: (g, weights, mask, sums); None if none is one."""
  if not members_NM[:, 0].any():
    return None
  g, weights, mask, sums = args
  return FromTerms(g, weights, mask, table.about_T, members_NM, sums)


def weighed(terms: FromTerms, n: Any, run: Any, first: Any) -> Any:
  """Runs (term, its weight, carry) -> carry for the active terms of a row."""

  def add_term(m, carry):
    t = terms.terms_NM[n, m + 1]
    place = terms.about_T[t, PLACE]

    def add(_, carry):
      return run(t, terms.weights[place], carry)

    return loop(terms.mask[place], add, carry)

  return loop(terms.terms_NM[n, 0], add_term, first)


def arriving_at(
  arriving: Arriving, n: Any, at: Any, ok: Any, total: int
) -> jax.Array:
  """The gradient of a copy's results (batch normalisation's, too)."""
  refs = arriving.own if arriving.own is not None else arriving.rows.x
  c, has = channel_block(refs.shape[-1])
  inside = ok[:, None] & has[None]
  here = at[:, None], c[None]
  if arriving.own is not None:
    g = load(arriving.own, (n, *here), inside)
    return g.astype(wide_type(g))
  wide = arriving.rows.var.dtype

  def zeros(*shape):
    return jnp.zeros((*shape, len(c)), wide)

  carry = zeros(len(at)), zeros(), zeros()
  if arriving.terms is not None:
    terms = arriving.terms

    def add_term(t, weight, carry):
      g, total, product = carry
      d = terms.about_T[t, DESTINATION]
      return (
        g + load(terms.g, (d, *here), inside).astype(wide) * weight,
        total + load(terms.sums, (t, 0, c), has) * weight,
        product + load(terms.sums, (t, 1, c), has) * weight,
      )

    carry = weighed(terms, n, add_term, carry)
  if arriving.second is not None:
    second = arriving.second
    row = second.second_N[n]

    def add_second(_, carry):
      g, total, product = carry
      return (
        g + load(second.g, (row, *here), inside).astype(wide),
        total + load(second.sums, (row, 0, c), has),
        product + load(second.sums, (row, 1, c), has),
      )

    carry = loop(row >= 0, add_second, carry)
  g, mean, product = carry
  scale = scale_of(arriving.rows, n)
  slope = (product / total)[None] * scale * scale
  y = centred(arriving.rows, n, at, ok)
  g = (g - (mean / total)[None] - y * slope) * scale
  return jnp.where(inside, g, 0)
