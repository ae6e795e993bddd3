"""Compares search methods: seeds, paired tests, what is published.

  opp-darts compare --configs=nasbench201:digits --seeds=0,1,2,3,4 \
    --methods=darts,progressive+darts,pc_darts --jobs=2 --workdir=runs/compare

Every method searches with every seed; METHOD is plain, SCHEDULE+METHOD in that
schedule. The same command goes on with what is not finished.
"""

import pathlib

from absl import flags

from opp_darts_jax import naming
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import launch, sweep_flags
from opp_darts_jax.running.sweeps.compare import Compared, run_compare
from opp_darts_jax.running.sweeps.comparison import MEASURES

_CONFIGS = sweep_flags.define_configs()
_METHODS = flags.DEFINE_string(
  'methods',
  None,
  'METHOD,SCHEDULE+METHOD,...; the others are held against the first.',
  required=True,
)
_SEEDS = sweep_flags.define_seeds()
_WORKDIR = sweep_flags.define_workdir()
_JOBS = sweep_flags.define_jobs()
_CLUSTER, _OPTIONS = sweep_flags.define_cluster()
_TRAIN = flags.DEFINE_bool('train', False, 'Train and test what is found, too.')
_MEASURE = flags.DEFINE_enum(
  'measure',
  'auto',
  ['auto', *MEASURES],
  'What methods are judged by; auto is what a table knows of the cells, else '
  'the test accuracy, else that of the supernet on D_val.',
)
_SEARCH_FLAGS, _TRAIN_FLAGS = sweep_flags.define_further_flags()
_METHOD_FLAGS = flags.DEFINE_multi_string(
  'method_flags',
  [],
  "Further flags of a method's searches: 'gdas: --config.epochs=9 ...'; may be "
  'repeated.',
)


def main() -> None:
  """Compares what the flags name."""
  own: dict[str, tuple[str, ...]] = {}
  for given in _METHOD_FLAGS.value:
    method, colon, text = given.partition(': ')
    if not colon or method in own:
      raise UserError(
        "--method_flags takes 'METHOD: --config.FIELD=VALUE ...', a method "
        f'once; got {given!r}.'
      )
    own[method] = sweep_flags.split('method_flags', text)
  configs = tuple(_CONFIGS.value)
  compared = Compared(
    configs,
    split_methods(_METHODS.value),
    sweep_flags.numbers(_SEEDS.value),
    pathlib.Path(_WORKDIR.value),
    _TRAIN.value,
    _MEASURE.value,
    sweep_flags.split('search_flags', _SEARCH_FLAGS.value),
    sweep_flags.split('train_flags', _TRAIN_FLAGS.value),
    own,
    sweep_flags.fields_of(configs, _TRAIN.value),
  )
  launch_part = sweep_flags.launch_on(
    _CLUSTER.value, _OPTIONS.value, _WORKDIR.value
  )
  run_compare(compared, _JOBS.value, launch_part)


def split_methods(text: str) -> tuple[str, ...]:
  """The methods in a text, parted by commas."""
  return tuple(filter(None, naming.split(text, ',')))


if __name__ == '__main__':
  launch.run(main)
