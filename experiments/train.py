"""Trains and tests the network that a genotype describes.

python experiments/train.py --config=experiments/configs/digits.py:train \
    --workdir=runs/digits/train
"""

from absl import flags
from ml_collections import config_flags

from opp_darts_jax import launch
from opp_darts_jax.config import TrainConfig
from opp_darts_jax.training import run_training

_DEFAULT = 'experiments/configs/digits.py:train'
_CONFIG = config_flags.DEFINE_config_file(
  'config', None, f'What to do; {_DEFAULT} if not given.', lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the run; a run in it is continued.', required=True
)


def main() -> None:
  """Runs the training that the flags describe."""
  config = TrainConfig.from_dict(_CONFIG.value.to_dict())
  run_training(config, _WORKDIR.value)


if __name__ == '__main__':
  launch.run(main, _DEFAULT)
