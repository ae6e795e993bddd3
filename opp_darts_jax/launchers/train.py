"""Trains and tests the network that a genotype describes.

  opp-darts train --config=digits:train --workdir=runs/digits/train

With --dry_run it prints the network instead, part by part, and shows the images
as the network will see them; with --target=h100, say, also whether it fits that
device and about how long it takes there.
"""

from opp_darts_jax import watched
from opp_darts_jax.config import TrainConfig
from opp_darts_jax.launchers import launch, run_flags
from opp_darts_jax.running.runs.profiler import Steps
from opp_darts_jax.running.trainings.dry_run import dry_run

_DEFAULT = 'digits:train'


def start(
  config: TrainConfig, workdir: str, profile_steps: Steps | None
) -> None:
  """Trains and tests."""
  watched.run_training(config, workdir, profile_steps=profile_steps)


main = run_flags.define(_DEFAULT, TrainConfig, start, dry_run)

if __name__ == '__main__':
  launch.run(main, _DEFAULT)
