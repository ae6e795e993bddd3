"""Trains and tests the network that a genotype describes.

  opp-darts train --config=digits:train --workdir=runs/digits/train

With --dry_run it prints the network instead, part by part, and shows the images
as the network will see them; with --target=h100, say, also whether it fits that
device and about how long it takes there.
"""

from absl import flags

from opp_darts_jax import watched
from opp_darts_jax.config import TrainConfig
from opp_darts_jax.launchers import launch
from opp_darts_jax.running import devices, profiler
from opp_darts_jax.running.training import dry_run

_DEFAULT = 'digits:train'
_CONFIG = launch.define_config(_DEFAULT)
_WORKDIR = launch.define_path(
  'workdir', 'Folder of the run; a run in it is continued.'
)
_DRY_RUN = launch.define_dry_run()
_TARGET = launch.define_target()
_PROFILE_STEPS = launch.define_profile_steps()
_DISTRIBUTED = flags.DEFINE_bool(
  'distributed', False, 'Be one of several processes, one a machine.'
)


def main() -> None:
  """Runs the training that the flags describe."""
  if _DISTRIBUTED.value:
    devices.distribute()
  config = TrainConfig.from_dict(_CONFIG.value.to_dict())
  profile_steps = profiler.parse(_PROFILE_STEPS.value)
  if _DRY_RUN.value:
    launch.prepare_target(_TARGET.value)
    print(dry_run(config, _WORKDIR.value or '.', target=_TARGET.value))
  else:
    assert _WORKDIR.value  # Or the flags would not be valid.
    watched.run_training(config, _WORKDIR.value, profile_steps=profile_steps)


if __name__ == '__main__':
  launch.run(main, _DEFAULT)
