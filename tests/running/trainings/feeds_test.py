"""Tests of how images reach the steps of a training."""

import dataclasses
import inspect

import numpy as np
import pytest
from data_sets import save
from genotype_cells import TINY
from tiny_runs import TRAIN, KillError

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import workers
from opp_darts_jax.running.trainings.training import run_training


def test_a_stream_is_closed_where_a_training_ends(tmp_path, monkeypatch):
  rng = np.random.default_rng(0)
  for name in ('cat', 'dog'):
    for number in range(20):
      pixels = rng.integers(0, 256, (8, 8), np.uint8)
      save(tmp_path / 'images' / name / f'{number:02}.png', pixels)
  opened, batches = [], workers.batches

  def kept(*args):
    opened.append(batches(*args))
    return opened[-1]

  def kill(record):
    assert inspect.getgeneratorstate(opened[0]) == inspect.GEN_SUSPENDED
    raise KillError

  monkeypatch.setattr(workers, 'batches', kept)
  config = dataclasses.replace(
    TRAIN,
    genotype=TINY.to_json(),
    data=DataConfig(str(tmp_path / 'images'), stream=True, image_size=8),
  )
  # Its frames, and what they hold, are kept.
  with pytest.raises(KillError) as raised:
    run_training(
      config, tmp_path / 'run', on_epoch=kill, signals=False, quiet=True
    )
  assert raised.tb
  assert len(opened) == 2
  for read in opened:
    assert inspect.getgeneratorstate(read) == inspect.GEN_CLOSED
