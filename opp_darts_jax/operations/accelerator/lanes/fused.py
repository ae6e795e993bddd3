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
from opp_darts_jax.operations.accelerator.lanes.form import Form
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

_CONFIG: Any = jax.config  # Its type has no fields.


def form_of(shape: tuple[int, ...], stride: int) -> Form:
  """Of images (S, B, H, W, C) that are read at a stride."""
  _, batch, height, width, channels = shape
  devices = shares_of(batch).devices
  return Form(batch, (height, width), channels, stride, devices)


def run_edges(
  edges: Edges,
  x: jax.Array,
  stacks: Stacks,
  weights: jax.Array,
  mask: jax.Array,
  form: Form,
) -> tuple[jax.Array, Moments, Moments | None]:
  """As `accelerator.fused.run_edges`, of images in their form."""
  args = x, *stacks, weights, mask.astype(jnp.int32)
  out, *kept = _fused_p.bind(*args, lists=edges, **_how(form))

  def moments(found):
    mean, var = (form.of_vectors(found[:, i]) for i in range(2))
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
  out: jax.Array = _evaluated_p.bind(
    *args, *given, lists=edges, **_how(form)
  )
  return out


def _how(form: Form) -> dict[str, Any]:
  """What the primitives, which are lowered later, know of where they run."""
  return {
    'form': form,
    'precision': _CONFIG.jax_default_matmul_precision,
    'shares': shares_of(form.batch),
  }


def _parts(x: Any, *args: Any, form: Form, **params: Any) -> jax.Array:
  run = products.of_share
  return form.behind.enter(
    edge_parts(form.leave(x), *args, run=run, **params)
  )


def _result_shapes(
  x: Any, *args: Any, lists: Edges, form: Form, **params: Any
) -> list[ShapedArray]:
  del args, params

  def rows(count):
    return ShapedArray(form.behind.shape(count), x.dtype)

  def given(copies):
    count = len(copies.copies)
    moments = ShapedArray((count, 2, form.block), wide_type(x))
    return [rows(count), moments]

  second = given(lists.second) if lists.second else []
  return [rows(lists.destinations), *given(lists.first), *second]


def _evaluated_shape(*args: Any, **params: Any) -> ShapedArray:
  return _result_shapes(*args, **params)[0]


def _evaluate(*args: Any, shares: Any, **params: Any) -> jax.Array:
  def run(*args):
    return group.forward(*args, shares=shares, **params)[0]

  found: jax.Array = shares.run(run, _evaluated_shape(*args, **params), *args)
  return found


def _evaluated_parts(*args: Any, **params: Any) -> jax.Array:
  *args, first = args
  second = None
  if params['lists'].second:
    *args, first, second = *args, first
  given = [None if m is None else (m[:, 0], m[:, 1]) for m in (first, second)]
  return _parts(*args, moments=given, **params)


_fused_p = define_edges(
  'lanes', Kernels(_result_shapes, group.forward, group.gradient, _parts)
)
_evaluated_p = define('lanes_evaluated', _evaluated_shape, _evaluate)
derive_by_parts(_evaluated_p, _evaluated_parts)
KERNELS = GroupKernels(form_of, run_edges, evaluate_edges)
