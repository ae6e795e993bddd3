"""What a run records: names of its files, and of numbers that several read."""

from collections.abc import Mapping
from typing import Any

from opp_darts_jax.errors import UserError, described

CONFIG = 'config.json'
# What it is made of, beside its config.
INPUTS = 'inputs.json'
# Of a search: what files and pages need of its space.
SPACE = 'space.json'
# Its numbers, the same whenever the run is, and its times.
METRICS = 'metrics.jsonl'
TIMES = 'times.jsonl'
ALPHAS = 'alphas.jsonl'
# That a search found, or a training is of.
GENOTYPE = 'genotype.json'
# What a training leaves.
NETWORK = 'network.npz'
# What a run came to, once it has finished.
RESULTS = 'results.json'

# What a space knows of a cell: numbers of these names, see `Space.truth`.
TRUTH = 'truth_'
TRUTH_TEST = f'{TRUTH}test_'

# Names that epochs, results and comparisons of searches have of their own, and
# what such names begin with.
_OWN = frozenset(
  (
    *('kind', 'epoch', 'step', 'genotype', 'epochs', 'ended_by', 'supernet'),
    *('train_loss', 'train_accuracy', 'val_loss', 'val_accuracy'),
    *('eval_loss', 'eval_accuracy', 'derived_accuracy', 'eigenvalue'),
    *('test_loss', 'confusion', 'class_accuracy', 'mistakes'),
    *('learning_rate', 'seeds'),
    *('network', 'config', 'method', 'seed', 'space', 'data', 'num_weights'),
    *('search_seconds', 'train_seconds', 'test_accuracy'),
  )
)
_OWN_BEGIN = ('skip_', 'entropy_', TRUTH, 'spearman_', 'kendall_')


def is_taken(name: str) -> bool:
  """Whether what a search records has a value of that name without methods."""
  return name in _OWN or name.startswith(_OWN_BEGIN)


def check_numbers(what: str, found: Any) -> None:
  """Raises `UserError` unless something is numbers by name."""
  if not isinstance(found, Mapping):
    raise UserError(
      f'Expected {what} as a dict of numbers by name, got {described(found)}.'
    )
  for name, value in found.items():
    if not isinstance(name, str) or not is_scalar(value):
      raise UserError(
        f'Expected {what} as a dict of numbers by name, got {value!r} as '
        f'{name!r}.'
      )


def is_number(value: object) -> bool:
  """Whether a value of JSON is a number; true and false are none."""
  return isinstance(value, int | float) and not isinstance(value, bool)


def is_scalar(value: object) -> bool:
  """Whether a value is a number, or an array of one, as files take it."""
  return is_number(value) or getattr(value, 'shape', None) == ()
