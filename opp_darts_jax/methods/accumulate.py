"""A step in parts: what a function gives for a batch, as a mean over parts."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def mean_over_parts(
  function: Callable[..., Any],
  parts: int,
  batch_argnums: tuple[int, ...],
  key_argnum: int,
) -> Callable[..., Any]:
  """Calls a function on parts of a batch in turn, so memory is that of one.

  For gradients, losses and running averages, which are means over the batch
  or linear in what is. A part of a batch is normalised by its own statistics,
  as if it were the batch.

  Args:
    function: gives a pytree of floating-point arrays.
    parts: how many; they must divide the batch.
    batch_argnums: its arguments that are divided along their first axis.
    key_argnum: its argument that is a key; every part gets its own.

  Returns:
    A function of the same arguments; with one part, the function itself.
  """
  if parts == 1:
    return function

  def mean(*given: Any) -> Any:
    args = list(given)
    # Every parts-th image, so that devices keep the images that they have.
    divided = jax.tree.map(
      lambda t: t.reshape(-1, parts, *t.shape[1:]).swapaxes(0, 1),
      [args[i] for i in batch_argnums],
    )

    def call(inputs):
      batch, args[key_argnum] = inputs
      for i, part in zip(batch_argnums, batch):
        args[i] = part
      return function(*args)

    inputs = divided, jax.random.split(args[key_argnum], parts)
    shapes = jax.eval_shape(call, jax.tree.map(lambda t: t[0], inputs))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    sums, _ = jax.lax.scan(
      lambda sums, part: (jax.tree.map(jnp.add, sums, call(part)), None),
      zeros,
      inputs,
    )
    return jax.tree.map(lambda s: s / parts, sums)

  return mean
