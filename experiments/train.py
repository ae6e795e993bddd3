"""Trains and tests the network that a genotype describes.

python experiments/train.py --config=experiments/configs/digits.py:train \
    --workdir=runs/digits/train
"""

from absl import app, flags
from ml_collections import config_flags

from opp_darts_jax import launch
from opp_darts_jax.config import TrainConfig
from opp_darts_jax.training import run_training

_CONFIG = config_flags.DEFINE_config_file(
  'config',
  'experiments/configs/digits.py:train',
  'What to do.',
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the run; a run in it is continued.', required=True
)


def main(argv: list[str]) -> None:
  """Runs the training that the flags describe."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments {argv[1:]}.')

  def run():
    config = TrainConfig.from_dict(_CONFIG.value.to_dict())
    run_training(config, _WORKDIR.value)

  launch.start(run)


if __name__ == '__main__':
  app.run(main)
