"""The losses of a search, and their gradients."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.accumulate import mean_over_parts
from opp_darts_jax.methods.method import Draw, Method, Progress, Term
from opp_darts_jax.methods.state import Batch, Pass, SearchState
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet.supernet import Supernet

# (weights, parameters, batch, key) -> the value that is derived, and a `Pass`.
Loss = Callable[[Any, Any, Batch, jax.Array], tuple[jax.Array, Pass]]
# Far from what else is drawn with a pass's key.
_DRAW = 0x0D3A


@dataclasses.dataclass(frozen=True)
class Task:
  """What a search does: its steps are functions of it and of the state.

  Attributes:
    config: of the search.
    space: what is searched.
    method: by which.
    model: the supernet, of the space that the method prepares.
    per_epoch: steps of an epoch.
    cells: how many of each kind the supernet has.
  """

  config: SearchConfig
  space: Space
  method: Method
  model: Supernet
  per_epoch: int
  cells: Mapping[str, int] = dataclasses.field(
    default_factory=dict, compare=False
  )

  def progress(self, step: jax.Array) -> Progress:
    """Where a search is after as many steps."""
    return Progress(step, step // self.per_epoch, self.config.epochs)

  def draw(self, state: SearchState, key: jax.Array) -> Draw:
    """By what chance operation weights are taken in the pass of a key."""
    progress = self.progress(state.step)
    own_key = jax.random.fold_in(key, _DRAW)
    return Draw(own_key, progress, self.cells, state.own)

  def supernet_mask(self, mask: Tables) -> Tables:
    """The mask of the supernet's operations: those beside the space's too."""
    own = len(self.space.operations)
    whole = self.model.space.mask()
    return {
      kind: jnp.concatenate([m, whole[kind][:, own:]], 1)
      if whole[kind].shape != m.shape
      else m
      for kind, m in mask.items()
    }

  def pass_mask(self, mask: Tables, tables: Tables) -> Tables:
    """The mask of what a pass at these operation weights computes."""
    whole = self.supernet_mask(mask)
    if not self.method.sparse:
      return whole
    return {
      kind: m & (tables[kind] != 0).reshape(-1, *m.shape).any(0)
      for kind, m in whole.items()
    }

  def tables(self, params: Any, mask: Tables, draw: Draw) -> Tables:
    """The operation weights that the method makes of its parameters."""
    return self.method.weights(self.space, params, mask, draw)


def make_task(
  config: SearchConfig,
  space: Space,
  method: Method,
  classes: int,
  per_epoch: int,
) -> Task:
  """The task of a config, with the supernet that it describes."""
  model = Supernet(
    method.prepare(space),
    config.layers,
    config.channels,
    classes,
    config.layout,
    config.compute,
    config.remat,
    method.partial,
  )
  cells = model.space.cells(config.layers, config.channels)
  return Task(config, space, method, model, per_epoch, cells)


def table_loss(
  task: Task, batch_stats: Any, mask: Tables, train: bool = True
) -> Callable[[Any, Tables, Batch, jax.Array], tuple[jax.Array, Pass]]:
  """(weights, operation weights, batch, key) -> mean cross entropy, `Pass`.

  Norms go by the batch's statistics, or unless `train` by the running averages,
  which then stay.
  """

  def loss(weights, tables, batch, key):
    computed = task.pass_mask(mask, tables)
    if task.method.sparse:
      # Outputs that edges share, or that are computed beside others, would give
      # operations that are left out a slope.
      tables = jax.tree.map(lambda m, t: jnp.where(m, t, 0), computed, tables)
    logits, changed = task.model.apply(
      {'params': weights, 'batch_stats': batch_stats},
      batch.images,
      tables,
      computed,
      train,
      key,
      mutable=['batch_stats'],
    )
    mean = _cross_entropies(logits, batch.labels).mean()
    right = (logits.argmax(-1) == batch.labels).mean(dtype=mean.dtype)
    return mean, Pass(changed.get('batch_stats', batch_stats), mean, right)

  return loss


def _cross_entropies(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Of each image, as optax's of integer labels; its gradient is no scatter."""
  logits -= jax.lax.stop_gradient(logits.max(-1, keepdims=True))
  own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  picked = jnp.where(own, logits, 0).sum(-1)
  return jnp.log(jnp.exp(logits).sum(-1)) - picked


def make_loss(
  task: Task, state: SearchState, term: Term, mask: Tables | None = None
) -> Loss:
  """The loss of the state's running averages and mask, or of another mask.

  Args:
    task: of the search.
    state: of it; weights and parameters are arguments of the loss.
    term: what is added to the mean cross entropy.
    mask: which operations are in the supernet; None is the state's.
  """
  mask = state.mask if mask is None else mask
  at_tables = table_loss(task, state.batch_stats, mask)

  def loss(weights, params, batch, key):
    draw = task.draw(state, key)
    tables = task.tables(params, mask, draw)
    value, own_pass = at_tables(weights, tables, batch, key)
    return value + term(task.space, params, mask, draw), own_pass

  return loss


def make_gradient(
  loss: Callable[..., Any], argnums: int | tuple[int, ...], parts: int
) -> Callable[..., tuple[tuple[jax.Array, Pass], Any]]:
  """`jax.value_and_grad` of a loss, as the mean over parts of the batch."""
  gradient = jax.value_and_grad(loss, argnums, has_aux=True)
  return mean_over_parts(gradient, parts, batch_argnums=(2,), key_argnum=3)
