"""Searches a cell on images.

python experiments/search.py --config=experiments/configs/digits.py \
    --workdir=runs/digits/search
"""

from absl import app, flags
from ml_collections import config_flags

from opp_darts_jax import launch
from opp_darts_jax.config import SearchConfig
from opp_darts_jax.search import run_search

_CONFIG = config_flags.DEFINE_config_file(
  'config', 'experiments/configs/digits.py', 'What to do.', lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the run; a run in it is continued.', required=True
)


def main(argv: list[str]) -> None:
  """Runs the search that the flags describe."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments {argv[1:]}.')

  def run():
    config = SearchConfig.from_dict(_CONFIG.value.to_dict())
    run_search(config, _WORKDIR.value)

  launch.start(run)


if __name__ == '__main__':
  app.run(main)
