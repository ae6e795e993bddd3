"""What watches a search: functions that are called at the end of every epoch.

The files of a run and what is shown of it are such functions, and a user's own
are the same kind.
"""

import inspect
import pathlib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from opp_darts_jax import files
from opp_darts_jax.errors import (
  UserError,
  described,
  is_users,
  note_callback,
  takes,
)
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.stages import Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import softmax_weights
from opp_darts_jax.recorded import ALPHAS, GENOTYPE
from opp_darts_jax.running import console, truth
from opp_darts_jax.running.runs import Run
from opp_darts_jax.spaces.space import Space


class EpochRecord(NamedTuple):
  """What an epoch of a search has come to.

  Attributes:
    epoch: its number, from 0.
    epochs: of the whole search.
    step: steps taken.
    metrics: means over the epoch of `train_loss`, `train_accuracy`, `val_loss`
      and `val_accuracy` (of the steps' batches; NaN while alphas rest), and,
      where the epoch ends with an evaluation, `eval_loss` and `eval_accuracy`,
      on all of D_val by the running averages (of sparse methods, on its whole
      batches by their statistics); the signs of collapse, see
      monitor.py; and what the method tells, such as `cost` and `cost_target`.
    genotype: what the search would give if it ended now.
    alphas: the method's parameters as nested lists; None where an operation is
      not active.
    stages: so far.
    workdir: of the run.
    weights: of operations by kind, as nested lists like `alphas`, where they
      are not the softmax of these; {} else.
  """

  epoch: int
  epochs: int
  step: int
  metrics: Mapping[str, float]
  genotype: Genotype
  alphas: Mapping[str, Any]
  stages: Sequence[Stage]
  workdir: pathlib.Path
  weights: Mapping[str, Any] = types.MappingProxyType({})


# It may end the search after this epoch, by returning True.
OnEpoch = Callable[[EpochRecord], bool | None]


def watchers_of(on_epoch: Any) -> list[Callable[[Any], Any]]:
  """What a caller gave as `on_epoch`, one function or several, as a list.

  Raises:
    UserError: if one of them cannot be called with one argument.
  """
  if callable(on_epoch) or not isinstance(on_epoch, Iterable):
    on_epoch = [on_epoch]
  watchers = list(on_epoch)
  for watcher in watchers:
    if not callable(watcher):
      raise UserError(
        "Expected on_epoch as a function of an epoch's record, or several, "
        f'got {described(watcher)}.'
      )
    if not takes(watcher, 1):
      raise UserError(
        "Expected on_epoch as a function of an epoch's record alone, got one "
        f'of {inspect.signature(watcher)}.'
      )
  return watchers


def tell(watcher: Callable[[Any], Any], record: Any) -> Any:
  """What a watcher returns; what a user's own raises notes that it was it."""
  try:
    return watcher(record)
  except Exception as error:
    if is_users(watcher):
      note_callback(error, watcher)
    raise


def ends(answer: Any) -> bool:
  """Whether what a watcher returned is True, of Python or NumPy."""
  return isinstance(answer, (bool, np.bool_)) and bool(answer)


def record_of(
  epochs: int,
  epoch: int,
  state: SearchState,
  means: Mapping[str, float],
  genotype: Genotype,
  stages: Sequence[Stage],
  workdir: pathlib.Path,
  weights: Mapping[str, np.ndarray] = types.MappingProxyType({}),
) -> EpochRecord:
  """The record of an epoch that has ended."""
  params, mask = jax.device_get((state.alphas, state.mask))
  alphas = jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), params)
  alphas |= {kind: _active(params[kind], mask[kind]) for kind in mask}
  return EpochRecord(
    epoch,
    epochs,
    int(state.step),
    means,
    genotype,
    alphas,
    tuple(stages),
    workdir,
    {kind: _active(table, mask[kind]) for kind, table in weights.items()},
  )


def _active(table_EK: np.ndarray, mask_EK: np.ndarray) -> Any:
  """As nested lists; None where an operation is not active."""
  table: Any = table_EK.astype(object)
  table[~mask_EK] = None
  return table.tolist()


def own_weights(
  space: Space, state: SearchState, scores: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """The operation weights that a method derives from, if softmaxes do not tell.

  Args:
    space: of the search.
    state: of it.
    scores: of the state, see `scores_of`.

  Returns:
    {kind: (E, K)}; {} where an edge's weights are the softmax of its alphas, or
    a share of that, as of a method that weighs edges too.
  """
  shares = jax.device_get(softmax_weights(space, state.alphas, state.mask))
  for kind, scores_EK in scores.items():
    sums_E1 = scores_EK.sum(1, keepdims=True)
    alike = np.allclose(scores_EK, sums_E1 * shares[kind], atol=1e-5)
    if not alike or sums_E1.max() > 1 + 1e-4:
      return dict(scores)
  return {}


def built_in(run: Run, space: Space) -> list[OnEpoch]:
  """The watchers of every search: its files, and the screen."""
  lines = run.lines(ALPHAS)
  kinds = space.kinds

  def write_metrics(record: EpochRecord) -> None:
    run.writer.write(
      'epoch',
      record.step,
      record.epoch,
      **record.metrics,
      **{f'skip_{k}': record.genotype.num_skips(k) for k in kinds},
      **truth.of_genotype(space, record.genotype),
      genotype=record.genotype.to_dict(),
    )

  def write_alphas(record: EpochRecord) -> None:
    at = {'epoch': record.epoch, 'step': record.step}
    own = {'weights': record.weights} if record.weights else {}
    lines.write({**at, 'operations': space.names, **record.alphas, **own})

  def write_genotype(record: EpochRecord) -> None:
    path = run.folder / GENOTYPE
    files.write_json(path, record.genotype.to_dict())

  shown: list[Genotype] = []

  def show(record: EpochRecord) -> None:
    run.screen.progress(console.epoch_line(record.epoch, record.metrics))
    if shown != [record.genotype]:
      shown[:] = [record.genotype]
      run.screen.say(console.genotype_lines(record.genotype))

  return [write_metrics, write_alphas, write_genotype, show]


def record_stage(stages: Sequence[Stage], step: int, run: Run) -> None:
  """Writes and shows the stage that has just begun, the last one."""
  stage = stages[-1]
  before = [o for before in stages[:-1] for o in before.entered]
  run.writer.write(
    'stage',
    step,
    stage.epoch,
    stage=len(stages) - 1,
    losses=stage.losses,
    entered=stage.entered,
    active=[*before, *stage.entered],
  )
  run.screen.say(
    f'stage {len(stages) - 1}, epoch {stage.epoch}: enters '
    f'{", ".join(stage.entered)}, beside {", ".join(before) or "nothing yet"}'
  )
  if stage.losses:
    run.screen.say(console.loss_table(stage.losses, stage.entered))
