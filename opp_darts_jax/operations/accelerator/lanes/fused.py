"""The edges of a group on a TPU: kernels of this package as one primitive.

Axes: as in form.py.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray

from opp_darts_jax.operations.accelerator.edges import Edges
from opp_darts_jax.operations.accelerator.fused import Moments, Stacks
from opp_darts_jax.operations.accelerator.lanes import group, products
from opp_darts_jax.operations.accelerator.lanes.form import (
  Form,
  matrices,
  vectors,
)
from opp_darts_jax.operations.accelerator.lanes.tables import seen_sizes
from opp_darts_jax.operations.accelerator.lists import define
from opp_darts_jax.operations.accelerator.parts import edge_parts
from opp_darts_jax.operations.accelerator.primitives import (
  GroupKernels,
  Kernels,
  define_edges,
  derive_by_parts,
)
from opp_darts_jax.operations.accelerator.shares import shares_of
from opp_darts_jax.operations.norm import wide_type
from opp_darts_jax.operations.target import matmul_precision


def form_of(shape: tuple[int, ...], stride: int) -> Form:
  """Of images (S, B, H, W, C) that are read at a stride."""
  _, batch, height, width, channels = shape
  shares = shares_of(batch)
  how = stride, shares.devices, shares.apart
  return Form(batch, (height, width), channels, *how)


def expanded(stacks: Stacks) -> Stacks:
  """The weights for every pixel of a block."""
  k1, w1, k2, w2 = stacks
  return Stacks(vectors(k1), matrices(w1), vectors(k2), matrices(w2))


def run_edges(
  edges: Edges,
  x: jax.Array,
  stacks: Stacks,
  weights: jax.Array,
  mask: jax.Array,
  form: Form,
) -> tuple[jax.Array, Moments, Moments | None]:
  """As `accelerator.fused.run_edges`, of images in their form.

  The stacks are `expanded`. In the gradient by them the pixels of a block are
  apart; it is told to them alone through that of `expanded`.
  """
  args = x, *stacks, weights, mask.astype(jnp.int32)
  out, *kept = _fused_p.bind(*args, lists=edges, **_how(form))

  def moments(found):
    mean, var = (found[:, i, :, : form.channels].mean(1) for i in range(2))
    return mean, var

  return out, moments(kept[1]), moments(kept[3]) if edges.second else None


def evaluate_edges(
  edges: Edges,
  x: jax.Array,
  stacks: Stacks,
  weights: jax.Array,
  mask: jax.Array,
  moments: tuple[Moments, Moments | None],
  form: Form,
) -> jax.Array:
  """The same, normalised by moments that are given."""
  args = x, *stacks, weights, mask.astype(jnp.int32)
  given = [jnp.stack(own, 1) for own in moments if own is not None]
  out: jax.Array = _evaluated_p.bind(*args, *given, lists=edges, **_how(form))
  return out


def _how(form: Form) -> dict[str, Any]:
  """What the primitives, which are lowered later, know of where they run."""
  return {
    'form': form,
    'precision': matmul_precision(),
    'shares': shares_of(form.batch),
  }


def _parts(
  x: Any, k1: Any, w1: Any, k2: Any, w2: Any, *args: Any, form: Form, **how: Any
) -> jax.Array:
  own = slice(form.channels)
  stacks = k1[..., own], w1[:, own, own], k2[..., own], w2[:, own, own]
  out = edge_parts(form.leave(x), *stacks, *args, run=products.of_share, **how)
  return form.behind.enter(out)


def _result_shapes(
  x: Any, *args: Any, lists: Edges, form: Form, **params: Any
) -> list[ShapedArray]:
  del args, params

  def rows(count):
    return ShapedArray(form.behind.shape(count), x.dtype)

  def given(copies):
    count = len(copies.copies)
    moments = count, 2, form.apart, form.block
    return [rows(count), ShapedArray(moments, wide_type(x))]

  second = given(lists.second) if lists.second else []
  seen = sum(jax.tree.leaves(seen_sizes(lists)))
  return [
    rows(lists.destinations),
    *given(lists.first),
    *second,
    ShapedArray((seen,), jnp.int32),
  ]


def _evaluated_shape(*args: Any, **params: Any) -> ShapedArray:
  return _result_shapes(*args, **params)[0]


def _evaluate(*args: Any, shares: Any, **params: Any) -> jax.Array:
  def run(*args):
    return group.forward(*args, shares=shares, **params)[0]

  found: jax.Array = shares.run(run, _evaluated_shape(*args, **params), *args)
  return found


def _evaluated_parts(*args: Any, **params: Any) -> jax.Array:
  count = 2 if params['lists'].second else 1
  given = [(own[:, 0], own[:, 1]) for own in args[-count:]]
  moments = given if count == 2 else [*given, None]
  return _parts(*args[:-count], moments=moments, **params)


_fused_p = define_edges(
  'lanes', Kernels(_result_shapes, group.forward, group.gradient, _parts)
)
_evaluated_p = define('lanes_evaluated', _evaluated_shape, _evaluate)
derive_by_parts(_evaluated_p, _evaluated_parts)
KERNELS = GroupKernels(form_of, expanded, run_edges, evaluate_edges)
