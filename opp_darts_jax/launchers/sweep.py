"""Searches with several configs and seeds, and trains what they find.

  opp-darts sweep --configs=digits,darts_digits --seeds=0,1,2 --jobs=2 \
    --workdir=runs/sweep

The same command goes on with what is not finished.
"""

import pathlib

from absl import flags

from opp_darts_jax.launchers import launch, sweep_flags
from opp_darts_jax.running.sweeps.sweep import Sweep, run_sweep

_CONFIGS = sweep_flags.define_configs()
_SEEDS = sweep_flags.define_seeds()
_WORKDIR = sweep_flags.define_workdir()
_JOBS = sweep_flags.define_jobs()
_CLUSTER, _OPTIONS = sweep_flags.define_cluster()
_TRAIN = flags.DEFINE_bool('train', True, 'Train and test what is found.')
_SEARCH_FLAGS, _TRAIN_FLAGS = sweep_flags.define_further_flags()


def main() -> None:
  """Runs the sweep that the flags describe."""
  configs = tuple(_CONFIGS.value)
  sweep = Sweep(
    configs,
    sweep_flags.numbers(_SEEDS.value),
    pathlib.Path(_WORKDIR.value),
    _TRAIN.value,
    sweep_flags.split('search_flags', _SEARCH_FLAGS.value),
    sweep_flags.split('train_flags', _TRAIN_FLAGS.value),
    fields=sweep_flags.fields_of(configs, _TRAIN.value),
  )
  launch_part = sweep_flags.launch_on(
    _CLUSTER.value, _OPTIONS.value, _WORKDIR.value
  )
  run_sweep(sweep, _JOBS.value, launch=launch_part)


if __name__ == '__main__':
  launch.run(main)
