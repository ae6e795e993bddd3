"""Searches a cell on images.

  opp-darts search --config=digits --workdir=runs/digits/search

The same command goes on where the run stopped. With --dry_run it says what it
would do, and shows the images as the network will see them; with --target=h100,
say, also whether it fits that device and about how long it takes there. With
--config.search_seeds="(0,1,2)" it searches with several seeds at a time.
"""

from opp_darts_jax import watched
from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import launch, run_flags
from opp_darts_jax.running.runs.profiler import Steps
from opp_darts_jax.running.searches.dry_run import dry_run

_DEFAULT = 'digits'


def start(
  config: SearchConfig, workdir: str, profile_steps: Steps | None
) -> None:
  """Searches with one seed, or with several."""
  if not config.search_seeds:
    watched.run_search(config, workdir, profile_steps=profile_steps)
    return
  if profile_steps:
    raise UserError(
      '--profile_steps is for a search of one seed; got config.search_seeds='
      f'{config.search_seeds}.'
    )
  watched.run_searches(config, workdir)


main = run_flags.define(_DEFAULT, SearchConfig, start, dry_run)

if __name__ == '__main__':
  launch.run(main, _DEFAULT)
