"""Searches a cell on images.

  opp-darts search --config=digits --workdir=runs/digits/search

The same command goes on where the run stopped. With --dry_run it says what it
would do, and shows the images as the network will see them; with --target=h100,
say, also whether it fits that device and about how long it takes there. With
--config.search_seeds="(0,1,2)" it searches with several seeds at a time.
"""

from absl import flags

from opp_darts_jax import watched
from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import launch
from opp_darts_jax.running import devices, profiler
from opp_darts_jax.running.search import dry_run

_DEFAULT = 'digits'
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
  """Runs the search that the flags describe."""
  if _DISTRIBUTED.value:
    devices.distribute()
  config = SearchConfig.from_dict(_CONFIG.value.to_dict())
  profile_steps = profiler.parse(_PROFILE_STEPS.value)
  if _DRY_RUN.value:
    launch.prepare_target(_TARGET.value)
    print(dry_run(config, _WORKDIR.value or '.', target=_TARGET.value))
  else:
    assert _WORKDIR.value  # Or the flags would not be valid.
    if not config.search_seeds:
      watched.run_search(config, _WORKDIR.value, profile_steps=profile_steps)
      return
    if profile_steps:
      raise UserError(
        '--profile_steps is for a search of one seed; got config.search_seeds='
        f'{config.search_seeds}.'
      )
    watched.run_searches(config, _WORKDIR.value)


if __name__ == '__main__':
  launch.run(main, _DEFAULT)
