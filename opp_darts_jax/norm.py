"""Batch normalisation with PyTorch's epsilon, momentum and variance."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

EPSILON = 1e-5
MOMENTUM = 0.1

Statistics = dict[str, jax.Array]


def initial_statistics(shape: tuple[int, ...]) -> Statistics:
  """Running averages before the first step."""
  return {'mean': jnp.zeros(shape), 'var': jnp.ones(shape)}


def batch_norm(
  x: jax.Array, running: Mapping[str, jax.Array] | None
) -> tuple[jax.Array, Statistics]:
  """Normalises each channel.

  Args:
    x: (..., C).
    running: the averages, 'mean' and 'var' of shape (C,), to normalise with;
      None normalises with the batch's own.

  Returns:
    The normalised x, and the statistics of the batch: mean and unbiased
    variance, (C,) each (the running ones where they were used).
  """
  axes = tuple(range(x.ndim - 1))
  if running is not None:
    mean, var = running['mean'], running['var']
    return (x - mean) * lax.rsqrt(var + EPSILON), {'mean': mean, 'var': var}
  count = x.size // x.shape[-1]
  mean = x.mean(axes)
  centred = x - mean
  var = (centred * centred).mean(axes)
  y = centred * lax.rsqrt(var + EPSILON)
  unbiased = var * (count / max(count - 1, 1))
  return y, lax.stop_gradient({'mean': mean, 'var': unbiased})


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
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Normalises x (..., C); training mode moves the running averages."""
    channels = x.shape[-1:]
    running = self.variable('batch_stats', 'norm', initial_statistics, channels)
    y, batch = batch_norm(x, None if train else running.value)
    if train and not self.is_initializing():
      running.value = update_running(running.value, batch)
    if self.affine:
      scale = self.param('scale', nn.initializers.ones, channels)
      y = y * scale + self.param('bias', nn.initializers.zeros, channels)
    return y
