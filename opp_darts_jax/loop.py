"""The loop over the steps of an epoch, and over the batches of a test."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from opp_darts_jax import augment
from opp_darts_jax.augment import Augmentation
from opp_darts_jax.errors import UserError


def run_epoch(
  dispatch: Callable[[Any, int], tuple[Any, Any]],
  state: Any,
  steps: int,
  chunk: int,
  log: Callable[[int, int, dict[str, float]], None],
) -> tuple[Any, dict[str, float]]:
  """Runs the steps of an epoch, a chunk a dispatch.

  The metrics of a chunk are read while the device runs the next one.

  Args:
    dispatch: (state, number of steps) -> the new state, and a NamedTuple of
      means over these steps, `train_loss` among them.
    state: what the steps change.
    steps: in the epoch.
    chunk: steps a dispatch.
    log: called with (steps done in the epoch, steps of the chunk, means).

  Returns:
    The state, and the means over the epoch.

  Raises:
    UserError: if the training loss is not finite.
  """
  totals: dict[str, float] = {}

  def finish(done: int, size: int, means: Any) -> None:
    values = {name: float(v) for name, v in means._asdict().items()}
    if not math.isfinite(values['train_loss']):
      raise UserError(
        f'The training loss must be finite, but is {values["train_loss"]}: '
        'training has diverged; lower weights.learning_rate.'
      )
    for name, value in values.items():
      totals[name] = totals.get(name, 0.0) + value * size / steps
    log(done, size, values)

  pending = None
  for at in range(0, steps, chunk):
    size = min(chunk, steps - at)
    state, means = dispatch(state, size)
    if pending:
      finish(*pending)
    pending = (at + size, size, means)
  if pending:
    finish(*pending)
  return state, totals


def evaluate(
  logits: Callable[[jax.Array, jax.Array], jax.Array],
  images: jax.Array,
  labels: jax.Array,
  rows: jax.Array,
  size: int,
  augmentation: Augmentation,
) -> tuple[jax.Array, jax.Array]:
  """Mean loss and accuracy over all the rows, inside a jitted function.

  Args:
    logits: (normalised images (B, H, W, C), a number for the batch) ->
      (B, classes).
    images: uint8 (n, H, W, C).
    labels: (n,).
    rows: which images count.
    size: of a batch; the last one is filled up with rows that do not count.
    augmentation: only its normalisation is used.

  Returns:
    Mean cross entropy, and accuracy as a fraction.
  """
  count = len(rows)

  def add_batch(i, sums):
    at = i * size + jnp.arange(size)
    chosen = rows[jnp.minimum(at, count - 1)]
    batch = augment.normalise(
      images[chosen], augmentation.mean, augmentation.std
    )
    scores = logits(batch, i)
    losses = optax.softmax_cross_entropy_with_integer_labels(
      scores, labels[chosen]
    )
    right = scores.argmax(-1) == labels[chosen]
    return tuple(
      total + jnp.where(at < count, values, 0).sum()
      for total, values in zip(sums, (losses, right))
    )

  loss, right = jax.lax.fori_loop(0, -(-count // size), add_batch, (0.0, 0.0))
  return loss / count, right / count
