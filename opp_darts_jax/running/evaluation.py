"""How good a classifier is: the loop over the batches of a test."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax

from opp_darts_jax.config.run import RunConfig
from opp_darts_jax.data import augment
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.running.devices import Devices

TOP = 5
# Without gradients a batch keeps no inner values: one that is larger than that
# of a step fits, and takes fewer launches.
_LARGE = 512


class Mistakes(NamedTuple):
  """The images of a test with the largest losses among those not recognised.

  Attributes:
    losses: (n,) descending; -inf where there are fewer.
    rows: (n,) of the images.
    classes: (n,) that they are of.
    predicted: (n,) classes that they were taken for.
    probabilities: (n, 2) of that class, and of their own.
  """

  losses: jax.Array
  rows: jax.Array
  classes: jax.Array
  predicted: jax.Array
  probabilities: jax.Array

  @classmethod
  def none(cls, count: int) -> Self:
    """None yet, of so many."""
    zeros = jnp.zeros(count, jnp.int32)
    return cls(
      jnp.full(count, -jnp.inf), zeros, zeros, zeros, jnp.zeros((count, 2))
    )

  def or_worse(self, other: Self) -> Self:
    """The worst of both."""
    both = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), self, other)
    _, worst = jax.lax.top_k(both.losses, len(self.losses))
    return jax.tree.map(lambda array: array[worst], both)


class Evaluation(NamedTuple):
  """Of a classifier with K classes, on labelled images.

  Attributes:
    loss: mean cross entropy.
    accuracy: fraction of images whose class has the largest logit.
    top5_accuracy: fraction of images whose class is among the 5 largest.
    confusion: int32 (K, K), images by their class and by the one predicted.
    mistakes: the worst ones; None if none were asked for.
  """

  loss: jax.Array
  accuracy: jax.Array
  top5_accuracy: jax.Array
  confusion: jax.Array
  mistakes: Mistakes | None = None


def batch_size(config: RunConfig, devices: Devices, count: int) -> int:
  """Images that a run evaluates at a time; see `RunConfig.eval_batch_size`.

  Args:
    config: of the run.
    devices: over which the batch is divided.
    count: images to evaluate; a size that is chosen here goes little beyond.
  """
  own = config.batch_size
  tight = config.accumulate > 1 or config.remat
  if config.eval_batch_size:
    return config.eval_batch_size
  if devices.target.platform == 'cpu' or tight:
    return own
  whole = -(-count // devices.count)
  return max(own, min(_LARGE // devices.count, whole) * devices.count)


def evaluate(
  logits: Callable[[jax.Array, jax.Array], jax.Array],
  images: jax.Array,
  labels: jax.Array,
  rows: jax.Array,
  size: int,
  augmentation: Augmentation,
  classes: int,
  count: int | jax.Array | None = None,
  mistakes: int = 0,
) -> Evaluation:
  """Evaluates on all the rows, inside a jitted function.

  Args:
    logits: (normalised images (B, H, W, C), a number for the batch) ->
      (B, classes).
    images: uint8 (n, H, W, C).
    labels: (n,).
    rows: which images count.
    size: of a batch; the last one is filled up with rows that do not count.
    augmentation: only its normalisation is used.
    classes: K.
    count: how many of the rows count, from the first on; None is all.
    mistakes: how many of the worst are kept.
  """
  count = len(rows) if count is None else count

  def add_batch(i, sums):
    at = i * size + jnp.arange(size)
    counts = at < count
    chosen = rows[jnp.minimum(at, count - 1)]
    batch = augment.normalise(
      images[chosen], augmentation.mean, augmentation.std
    )
    scores, own = logits(batch, i), labels[chosen]
    predicted = scores.argmax(-1)
    _, top = jax.lax.top_k(scores, min(TOP, classes))
    each = (
      optax.softmax_cross_entropy_with_integer_labels(scores, own),
      (top == own[:, None]).any(-1),
    )
    *means, confusion, worst = sums
    if worst is not None:
      wrong = counts & (predicted != own)
      shares = jax.nn.softmax(scores)
      both = jnp.stack([predicted, own], 1)
      worst = worst.or_worse(
        Mistakes(
          jnp.where(wrong, each[0], -jnp.inf),
          chosen.astype(jnp.int32),
          own.astype(jnp.int32),
          predicted.astype(jnp.int32),
          jnp.take_along_axis(shares, both, 1),
        )
      )
    return (
      *(
        total + jnp.where(counts, values, 0).sum()
        for total, values in zip(means, each)
      ),
      confusion.at[own, predicted].add(counts.astype(jnp.int32)),
      worst,
    )

  zero = (
    0.0,
    0.0,
    jnp.zeros((classes, classes), jnp.int32),
    Mistakes.none(mistakes) if mistakes else None,
  )
  *means, confusion, worst = jax.lax.fori_loop(
    0, -(-count // size), add_batch, zero
  )
  loss, near = (mean / count for mean in means)
  return Evaluation(loss, confusion.trace() / count, near, confusion, worst)


def merge(parts: Iterable[Evaluation]) -> Evaluation:
  """The evaluation on all images, from those on parts of them.

  Mistakes are not among it: their rows are those of the parts.
  """
  found = [jax.device_get(part) for part in parts]
  counts = [part.confusion.sum() for part in found]

  def mean(values: list[jax.Array]) -> jax.Array:
    return jnp.asarray(np.average(values, weights=counts))

  return Evaluation(
    mean([part.loss for part in found]),
    mean([part.accuracy for part in found]),
    mean([part.top5_accuracy for part in found]),
    jnp.asarray(sum(part.confusion for part in found)),
  )
