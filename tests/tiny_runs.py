"""Searches and trainings of seconds, in this process, for the tests."""

from opp_darts_jax.config import (
  AlphaOptimizerConfig,
  DataConfig,
  ScheduleConfig,
  SearchConfig,
  TrainConfig,
)

# All searches of the tests that have nothing else to say are this one, so that
# its programs are compiled once, launched.py's too: three operations, of which
# one enters at each epoch of three steps.
DATA = DataConfig(
  max_train=96,
  max_test=40,
  mean=(0.308,),  # Of any digits, since programs are made for them.
  std=(0.3765,),
  crop_padding=1,
  flip=False,
)
SEARCH = SearchConfig(
  space='s3',
  layers=1,
  nodes=1,
  channels=2,
  epochs=3,
  batch_size=16,
  log_steps=2,
  data=DATA,
  alphas=AlphaOptimizerConfig(learning_rate=0.003),
  schedule=ScheduleConfig(stage_epochs=1),
)
TRAIN = TrainConfig(
  layers=1,
  channels=2,
  epochs=2,
  batch_size=16,
  auxiliary=False,
  drop_path=0.1,
  data=DATA,
)
PER_EPOCH = 3


class KillError(Exception):
  """Ends a run in the midst of something."""


def contents(workdir, names=('metrics.jsonl', 'alphas.jsonl')):
  """What is written in files of a run."""
  return {name: (workdir / name).read_bytes() for name in names}
