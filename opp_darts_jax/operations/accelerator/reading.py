"""What kernels read: pixels of sources and of rows, and which rows are active.

Inside of kernels; what stands for an array is a reference to it.

Axes: S sources, N copies, T taps, P places of operation weights, C channels.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from opp_darts_jax.operations.accelerator.copies import (
  CONV,
  DEPTHWISE,
  KIND,
  Tables,
)
from opp_darts_jax.operations.accelerator.pallas import (
  Grid,
  channel_block,
  divide,
  load,
  loop,
)
from opp_darts_jax.operations.norm import EPSILON, wide_type


class Rows(NamedTuple):
  """A list of images, and what they are normalised by if anything.

  Attributes:
    x: (n, pixels, C).
    mean: (n, C), or None.
    var: (n, C), or None.
  """

  x: Any
  mean: Any = None
  var: Any = None


class Activity(NamedTuple):
  """Which copies are active.

  Attributes:
    mask: int32 (P,), 1 or 0.
    places_NM: how many places say so of each copy, and these.
  """

  mask: Any
  places_NM: Any


def active(activity: Activity, n: Any) -> Any:
  """1 if any place says so of a copy, else 0."""

  def add(m, found):
    place = activity.places_NM[n, m + 1]
    return jnp.maximum(found, activity.mask[place])

  return loop(activity.places_NM[n, 0], add, jnp.zeros((), jnp.int32))


def scale_of(rows: Rows, n: Any) -> jax.Array:
  """What a row is multiplied by when it is normalised, (1, C)."""
  c, has = channel_block(rows.var.shape[-1])
  return lax.rsqrt(load(rows.var, (n, c), has) + EPSILON)[None]


def centred(rows: Rows, n: Any, at: Any, ok: Any) -> jax.Array:
  """Pixels of a row, less their mean if there is one; unknown where not ok."""
  c, has = channel_block(rows.x.shape[-1])
  x = load(rows.x, (n, at[:, None], c[None]), ok[:, None] & has[None])
  x = x.astype(wide_type(x))
  if rows.mean is None:
    return x
  return x - load(rows.mean, (n, c), has)[None]


def normalised(rows: Rows, n: Any, at: Any, ok: Any) -> jax.Array:
  """Pixels of a row, normalised if there is a mean; unknown where not ok."""
  x = centred(rows, n, at, ok)
  return x if rows.mean is None else x * scale_of(rows, n)


def tap_weight(depthwise: Any, about_N: Any, n: Any, t: Any) -> jax.Array:
  """The weight of a copy's tap for each channel, (1, C); 1 if it has none."""
  c, has = channel_block(depthwise.shape[-1])
  weight = load(depthwise, (about_N[n, DEPTHWISE], t, c), has)
  weight = weight.astype(wide_type(weight))
  return jnp.where(about_N[n, KIND] == CONV, weight, 1)[None]


class Place(NamedTuple):
  """A copy, and some of the pixels that it gives, or that it reads.

  Attributes:
    table: of the list.
    n: the copy.
    at: the pixels.
    ok: which of them exist.
    split: their images, rows and columns.
    stride: of the copy.
    ends: of the pixels at the other ends of its taps.
  """

  table: Tables
  n: Any
  at: jax.Array
  ok: jax.Array
  split: tuple[jax.Array, jax.Array, jax.Array]
  stride: int
  ends: Grid

  def under(self, t: Any) -> tuple[jax.Array, jax.Array]:
    """The pixels that these read by a tap, and which of them exist."""
    image, row, column = self.split
    row = row * self.stride + self.table.offsets_NT2[self.n, t, 0]
    column = column * self.stride + self.table.offsets_NT2[self.n, t, 1]
    place, inside = self.ends.join(image, row, column)
    return place, inside & self.ok

  def readers(self, t: Any) -> tuple[jax.Array, jax.Array]:
    """The pixels that read these by a tap, and which of them exist."""
    image, *places = self.split
    there = self.ok
    ends = []
    for axis, place in enumerate(places):
      end = place - self.table.offsets_NT2[self.n, t, axis]
      there &= end >= 0
      end, rest = divide(end, self.stride)
      there &= rest == 0
      ends.append(end)
    place, exists = self.ends.join(image, *ends)
    return place, there & exists
