"""Trainings with several seeds: what is summed up of them."""

import dataclasses
import json

import pytest
from tiny_runs import KillError

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.running.trainings import seeds


def kill(config, folder):
  raise KillError


def test_a_refused_command_changes_no_config(tmp_path):
  """Where the inputs of a run lie is written once they are its inputs."""
  begun = TrainConfig(seeds=(3, 5), genotype='DARTS_V1')
  with pytest.raises(KillError):
    seeds.run_seeds(kill, begun, tmp_path)
  before = (tmp_path / 'config.json').read_bytes()
  other = dataclasses.replace(begun, genotype='DARTS_V2')
  with pytest.raises(KillError):
    seeds.run_seeds(kill, other, tmp_path)
  assert (tmp_path / 'config.json').read_bytes() == before


@pytest.mark.parametrize(
  'told', [{}, {'tested_on': 'training images held out'}]
)
def test_the_sum_says_what_each_was_tested_on(tmp_path, told):
  """Results of earlier releases do not."""

  def run(config, folder):
    assert folder == tmp_path / f'seed{config.seed}'
    numbers = dict.fromkeys(('test_top5_accuracy', 'test_loss'), 1.0)
    same = {'epochs': 2, 'num_weights': 9, 'genotype': {'normal': []}}
    return {'test_accuracy': config.seed / 8, **numbers, **same, **told}

  found = seeds.run_seeds(run, TrainConfig(seeds=(3, 5)), tmp_path)
  assert found['test_accuracy'] == 0.5
  assert found.items() >= told.items()
  assert json.loads((tmp_path / 'results.json').read_text()) == json.loads(
    json.dumps(found)
  )
