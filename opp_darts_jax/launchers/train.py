"""Trains and tests the network that a genotype describes.

  opp-darts train --config=digits:train --workdir=runs/digits/train

With --dry_run it prints the network instead, part by part, and writes nothing.
"""

from absl import flags

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.launchers import launch
from opp_darts_jax.running import devices
from opp_darts_jax.running.training import run_training, summarise

_DEFAULT = 'digits:train'
_CONFIG = launch.define_config(_DEFAULT)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the run; a run in it is continued.'
)
_DRY_RUN = flags.DEFINE_bool('dry_run', False, 'Print the network, train not.')
flags.register_multi_flags_validator(
  ['workdir', 'dry_run'],
  lambda values: bool(values['workdir']) or values['dry_run'],
  '--workdir must have a value, the folder of the run.',
)
_DISTRIBUTED = flags.DEFINE_bool(
  'distributed', False, 'Be one of several processes, one a machine.'
)


def main() -> None:
  """Runs the training that the flags describe."""
  if _DISTRIBUTED.value:
    devices.distribute()
  config = TrainConfig.from_dict(_CONFIG.value.to_dict())
  if _DRY_RUN.value:
    print(summarise(config))
  else:
    assert _WORKDIR.value  # Or the flags would not be valid.
    run_training(config, _WORKDIR.value)


if __name__ == '__main__':
  launch.run(main, _DEFAULT)
