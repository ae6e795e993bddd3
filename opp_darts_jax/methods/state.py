"""What a search's steps change, and what they take and give."""

from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct


class SearchState(struct.PyTreeNode):
  """Everything that a search's steps change.

  Attributes:
    step: steps taken.
    weights: of the supernet's active operations, and of what surrounds them.
    batch_stats: running averages of its norms.
    alphas: the architecture parameters, of a method's own structure; among them
      {kind of cell: (E, K)}, K all operations.
    mask: {kind: bool (E, K)}, which operations are active.
    weight_opt: state of SGD.
    alpha_opt: state of Adam.
    own: what a method keeps beside its parameters; None if nothing.
  """

  step: jax.Array
  weights: Any
  batch_stats: Any
  alphas: Any
  mask: dict[str, jax.Array]
  weight_opt: optax.OptState
  alpha_opt: optax.OptState
  own: Any = None


class Batch(NamedTuple):
  """Images (B, H, W, C), float, normalised; labels (B,), int."""

  images: jax.Array
  labels: jax.Array


class Metrics(NamedTuple):
  """Mean loss and accuracy (a fraction) on the batches of a step.

  Those on D_val are NaN in steps that leave the alphas alone.
  """

  train_loss: jax.Array
  train_accuracy: jax.Array
  val_loss: jax.Array
  val_accuracy: jax.Array

  @classmethod
  def zeros(cls) -> Self:
    """The sums before the first step."""
    return cls(*[jnp.zeros(())] * len(cls._fields))


class Pass(NamedTuple):
  """What a forward pass leaves besides the value that is derived.

  Attributes:
    batch_stats: the moved running averages.
    loss: mean cross entropy, without a method's own terms.
    accuracy: fraction of the images whose class has the largest logit.
  """

  batch_stats: Any
  loss: jax.Array
  accuracy: jax.Array
