"""Depthwise and 1x1 convolution of a list of copies, without norm and ReLU.

With z what the copies read, k and w their weights, and g of the shape of what
they give, the sum of g times that is linear in each of the four. There is one
primitive for the gradient by each: given three, it finds the fourth, and its
derivatives are the others. So they serve derivatives of every order.

Axes: as in forward.py.
"""

import functools
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.interpreters import ad

from opp_darts_jax.operations.accelerator.arriving import Arriving
from opp_darts_jax.operations.accelerator.copies import Copies
from opp_darts_jax.operations.accelerator.forward import run_copies
from opp_darts_jax.operations.accelerator.lists import (
  define,
  define_multilinear,
)
from opp_darts_jax.operations.accelerator.matrices import through_matrices
from opp_darts_jax.operations.accelerator.reading import Activity, Rows
from opp_darts_jax.operations.accelerator.shares import IMAGES, Shares
from opp_darts_jax.operations.accelerator.sources import to_sources
from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.operations.norm import wide_type

_SLOTS = ('z', 'k', 'w', 'g')


def products(
  z: jax.Array,
  depthwise: jax.Array,
  pointwise: jax.Array,
  active: jax.Array,
  copies: Copies,
  precision: str | None,
  shares: Shares,
  run: Callable[..., jax.Array],
) -> jax.Array:
  """(N, B, H', W', C) of z (S, B, H, W, C); zeros of inactive copies.

  Args:
    z: what the copies read.
    depthwise: of each copy, (N, T, C).
    pointwise: of each copy, (N, C, C).
    active: int32 (N,), 1 or 0.
    copies: the list.
    precision: of the products of float32.
    shares: of the batch.
    run: what finds the one that is missing, such as `of_share`.
  """
  return _PRIMITIVES['g'].bind(
    z,
    depthwise,
    pointwise,
    active,
    lists=copies,
    size=z.shape[2:4],
    precision=precision,
    shares=shares,
    run=run,
  )


def _like(slot: str, like: Any, lists: Copies, size: Any) -> ShapedArray:
  """The shape of a slot, where `like` is z or g."""
  batch, channels = like.shape[1], like.shape[-1]
  count = len(lists.copies)
  out = [out_size(n, lists.stride) for n in size]
  shapes = {
    'z': (lists.num_sources, batch, *size, channels),
    'k': (count, lists.taps, channels),
    'w': (count, channels, channels),
    'g': (count, batch, *out, channels),
  }
  dtype = like.dtype if slot in 'zg' else wide_type(like)
  return ShapedArray(shapes[slot], dtype)


def _shape(missing: str, *args: Any, lists: Copies, size: Any, **_: Any) -> Any:
  given = dict(zip(_rest(missing), args))
  return _like(missing, given.get('z', given.get('g')), lists, size)


def _rest(missing: str) -> list[str]:
  return [slot for slot in _SLOTS if slot != missing]


def _lowered(
  missing: str, *args: Any, shares: Shares, run: Any, **params: Any
) -> Any:
  def of_share(*args):
    found = run(missing, *args, **params)
    # What has no share of the batch is a sum over it.
    return found if found.ndim == IMAGES else shares.sum(found)

  return shares.run(of_share, _shape(missing, *args, **params), *args)


def given_slots(
  missing: str, args: Any, lists: Copies, size: Any
) -> dict[str, jax.Array]:
  """All slots by their names; 0 for the one that is missing, but g."""
  given = dict(zip(_rest(missing), args))
  like = given.get('z', given.get('g'))
  for slot in 'zkw':
    if slot not in given:  # It is not needed, or multiplies what is not.
      aval = _like(slot, like, lists, size)
      given[slot] = jnp.zeros(aval.shape, aval.dtype)
  return given


def of_share(
  missing: str, *args: Any, lists: Copies, size: Any, precision: str | None
) -> jax.Array:
  """By the kernels for GPU, of a share of the batch."""
  given = given_slots(missing, args, lists, size)
  count = len(lists.copies)
  places = np.stack([np.ones(count), np.arange(count)], 1).astype(np.int32)
  source, activity = Rows(given['z']), Activity(args[-1], places)
  common = lists, source, given['k'], given['w'], activity
  if missing == 'g':
    return run_copies(
      *common, rectified=False, moments=False, precision=precision
    ).y
  between = through_matrices(
    *common,
    Arriving(given['g']),
    rectified=False,
    weights=missing != 'z',
    precision=precision,
  )
  if missing == 'z':
    return to_sources(
      lists, source, given['k'], activity, between.g, rectified=False
    )[0]
  return between.depthwise if missing == 'k' else between.pointwise


def _transpose(missing: str, cotangent: Any, *args: Any, **params: Any) -> Any:
  given = dict(zip(_rest(missing), args)) | {missing: cotangent}
  (by,) = [i for i, arg in enumerate(args) if ad.is_undefined_primal(arg)]
  slot = _rest(missing)[by]
  found: list[Any] = [None] * len(args)
  found[by] = _PRIMITIVES[slot].bind(
    *(given[name] for name in _rest(slot)), args[-1], **params
  )
  return found


def _define(missing: str) -> Any:
  primitive = define(
    f'copies_{missing}',
    functools.partial(_shape, missing),
    functools.partial(_lowered, missing),
  )
  define_multilinear(primitive, 4)
  ad.primitive_transposes[primitive] = functools.partial(_transpose, missing)
  return primitive


_PRIMITIVES = types.MappingProxyType({slot: _define(slot) for slot in _SLOTS})
