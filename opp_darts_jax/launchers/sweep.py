"""Searches with several configs and seeds, and trains what they find.

  opp-darts sweep --configs=digits,darts_digits --seeds=0,1,2 --jobs=2 \
    --workdir=runs/sweep

The same command goes on with what is not finished.
"""

import pathlib
import shlex

from absl import flags

from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import config_files, launch
from opp_darts_jax.running.sweep import Sweep, run_sweep

_CONFIGS = flags.DEFINE_list(
  'configs',
  None,
  'Configs, each NAME[:VARIANT] or FILE.py[:VARIANT].',
  required=True,
)
_SEEDS = flags.DEFINE_list('seeds', ['0', '1', '2'], 'Seeds of each config.')
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the sweep; one in it is continued.', required=True
)
_JOBS = flags.DEFINE_integer('jobs', 1, 'Runs at a time.', lower_bound=1)
_TRAIN = flags.DEFINE_bool('train', True, 'Train and test what is found.')
_SEARCH_FLAGS = flags.DEFINE_string(
  'search_flags', '', "Further flags of searches: '--config.epochs=9 ...'."
)
_TRAIN_FLAGS = flags.DEFINE_string(
  'train_flags', '', 'Further flags of training, likewise.'
)


def main() -> None:
  """Runs the sweep that the flags describe."""
  if not all(seed.isdecimal() for seed in _SEEDS.value):
    raise UserError(f'--seeds takes numbers such as 0,1,2; got {_SEEDS.value}.')
  sweep = Sweep(
    tuple(_CONFIGS.value),
    tuple(map(int, _SEEDS.value)),
    pathlib.Path(_WORKDIR.value),
    _TRAIN.value,
    _split(_SEARCH_FLAGS),
    _split(_TRAIN_FLAGS),
  )
  for config in sweep.configs:
    config_files.load(config)  # One that is wrong says so before any runs.
  run_sweep(sweep, _JOBS.value)


def _split(text: flags.FlagHolder[str]) -> tuple[str, ...]:
  """The flags in a text, as a shell would part them."""
  try:
    return tuple(shlex.split(text.value))
  except ValueError as error:
    raise UserError(
      f"--{text.name} takes flags as a shell does, '--config.epochs=9 ...'; "
      f'got {text.value!r}: {error}.'
    ) from error


if __name__ == '__main__':
  launch.run(main)
