"""Batch normalisation with PyTorch's epsilon, momentum and variance.

Where a batch is divided among devices, these wait for each other once in a norm
and once in its gradient: each takes the moments of its own share, which are
merged as by Chan, Golub and LeVeque ("Updating formulae and a pairwise
algorithm for computing sample variances", 1979), and the cotangents of all that
a channel is shifted and scaled by are one sum. Or (`Target.own_norms`) each
normalises its share by itself, as data-parallel training in PyTorch does, and
running averages move towards the mean over all shares.

Axes: D shares of a batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from opp_darts_jax.operations.target import current
from opp_darts_jax.operations.weights import param

EPSILON = 1e-5
MOMENTUM = 0.1

Statistics = dict[str, jax.Array]


def initial_statistics(shape: tuple[int, ...]) -> Statistics:
  """Running averages before the first step."""
  return {'mean': jnp.zeros(shape), 'var': jnp.ones(shape)}


class Measured(NamedTuple):
  """x (..., C), and its mean and biased variance over all axes but the last.

  These are (C,), or (D, C) where each share is normalised by itself.
  """

  x: jax.Array
  mean: jax.Array
  var: jax.Array


class Normalised(NamedTuple):
  """(x - shift) * scale, not computed yet: x (..., C), shift and scale (C,).

  Or (D, C), of each share its own.

  The moments of an x of lower precision than float32 are float32, as are shift
  and scale; what is computed is as precise as x.
  """

  x: jax.Array
  shift: jax.Array
  scale: jax.Array

  @classmethod
  def unchanged(cls, x: jax.Array) -> 'Normalised':
    """What is x itself."""
    zeros = jnp.zeros(x.shape[-1:], wide_type(x))
    return cls(x, zeros, zeros + 1)

  @property
  def value(self) -> jax.Array:
    """Computed."""
    return self.affine()

  def affine(
    self, scale: jax.Array | float = 1.0, bias: jax.Array | float = 0.0
  ) -> jax.Array:
    """Computed, then scaled and shifted once more."""
    x: jax.Array = self.x
    vectors: Sequence[Any] = (self.shift, self.scale, scale, bias)
    shares = _shares(x)
    if shares > 1:
      x = x.reshape(shares, -1, x.shape[-1])
      vectors = _for_each(shares, vectors)
    shift, own_scale, scale, bias = vectors
    y = (x - shift) * own_scale * scale + bias
    return y.astype(x.dtype).reshape(self.x.shape)


def wide_type(x: jax.Array) -> Any:
  """The type in which sums over x are taken: float32 or, for float64, that."""
  return jnp.promote_types(x.dtype, jnp.float32)


def unbiased(var: jax.Array, count: int) -> jax.Array:
  """The variance that `count` values with the biased one `var` come from."""
  return var * (count / max(count - 1, 1))


def measure(x: jax.Array) -> Measured:
  """Takes the moments of x (..., C)."""
  wide = x.astype(wide_type(x))
  shares = _shares(x)
  if shares == 1:
    return Measured(x, *_moments(wide))
  own = jax.vmap(_moments)(wide.reshape(shares, -1, x.shape[-1]))
  if current().own_norms:
    return Measured(x, *own)
  # Every device learns the moments of all shares, at once.
  means_DC, vars_DC = lax.with_sharding_constraint(
    jnp.stack(own), current().copied
  )
  mean = means_DC.mean(0)
  var = (vars_DC + (means_DC - mean) ** 2).mean(0)
  return Measured(x, mean, var)


def _moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  axes = tuple(range(x.ndim - 1))
  if current().platform == 'gpu':
    # One pass over x, from its first pixel on, so that little is cancelled.
    first = lax.stop_gradient(x[(0,) * len(axes)])
    offset = (x - first).mean(axes)
    square = ((x - first) ** 2).mean(axes)
    return first + offset, square - offset * offset
  mean = x.mean(axes)
  centred = x - mean
  return mean, (centred * centred).mean(axes)


def _shares(x: jax.Array) -> int:
  """Into how many parts devices divide x, a batch."""
  target = current()
  if target.copied is None or len(x) % target.devices:
    return 1
  return target.devices


def _for_each(shares: int, vectors: Sequence[Any]) -> list[Any]:
  """Vectors (C,) as (D, 1, C) each, by one copy, and (D, C) as they are.

  Numbers stay numbers.
  """
  found = [v[:, None] if jnp.ndim(v) == 2 else v for v in vectors]
  common = [i for i, v in enumerate(vectors) if jnp.ndim(v) == 1]
  if common:
    stacked = jnp.stack([vectors[i] for i in common])[:, None, None]
    shape = len(common), shares, 1, stacked.shape[-1]
    for i, each in zip(common, jnp.broadcast_to(stacked, shape)):
      found[i] = each
  return found


def normalise(
  measured: Measured, running: Mapping[str, jax.Array] | None
) -> tuple[Normalised, Statistics]:
  """Normalises each channel.

  Args:
    measured: x (..., C) and its moments.
    running: the averages, 'mean' and 'var' of shape (C,), to normalise with;
      None normalises with the batch's own moments.

  Returns:
    The normalised x, and the statistics of the batch: mean and unbiased
    variance, (C,) each (the running ones where they were used).
  """
  x, mean, var = measured
  if running is not None:
    mean, var = running['mean'], running['var']
    statistics = {'mean': mean, 'var': var}
  else:
    parts = mean.size // x.shape[-1]
    used = {'mean': mean, 'var': unbiased(var, x.size // mean.size)}
    if parts > 1:
      used = jax.tree.map(lambda t: t.mean(0), used)
    statistics = lax.stop_gradient(used)
  return Normalised(x, mean, lax.rsqrt(var + EPSILON)), statistics


def update_running(running: Any, batch: Any) -> Any:
  """Moves the running averages towards the batch's statistics."""
  return jax.tree.map(
    lambda old, new: (1 - MOMENTUM) * old + MOMENTUM * new, running, batch
  )


class BatchNorm(nn.Module):
  """Batch normalisation as a layer.

  Attributes:
    affine: whether a scale and a bias are learned.
  """

  affine: bool = True

  @nn.compact
  def __call__(self, x: jax.Array | Measured, train: bool) -> jax.Array:
    """Normalises x (..., C); training mode moves the running averages."""
    measured = x if isinstance(x, Measured) else measure(x)
    channels = measured.x.shape[-1:]
    running = self.variable('batch_stats', 'norm', initial_statistics, channels)
    y, batch = normalise(measured, None if train else running.value)
    if train and not self.is_initializing():
      running.value = update_running(running.value, batch)
    if self.affine:
      scale = param(self, 'scale', nn.initializers.ones, channels)
      bias = param(self, 'bias', nn.initializers.zeros, channels)
      return y.affine(scale, bias)
    return y.value
