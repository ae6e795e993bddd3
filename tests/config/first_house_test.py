"""Configs that earlier releases wrote."""

import dataclasses
import json
import pathlib

import pytest

from opp_darts_jax.config import SearchConfig, TrainConfig, first_house
from opp_darts_jax.errors import UserError

RUNS = pathlib.Path(__file__).parents[1] / 'golden' / 'first_house'


def stored(run):
  return json.loads((RUNS / run / 'config.json').read_text())


def fields(config):
  return json.loads(json.dumps(dataclasses.asdict(config)))


def test_a_search_has_the_names_of_today():
  found = first_house.of_now(stored('part'))
  config = SearchConfig.from_dict(found)
  assert (config.space, config.nodes, config.method) == ('s3', 2, 'darts')
  assert config.schedule.name == 'progressive'
  assert config.schedule.stage_epochs == 2
  assert (config.epochs, config.data.max_train) == (6, 96)


@pytest.mark.parametrize(
  ('method', 'name'), [('opp', 'progressive'), ('darts', 'plain')]
)
@pytest.mark.parametrize(('nodes', 'own'), [(4, 0), (3, 3)])
def test_schedules_and_numbers_of_nodes(method, name, nodes, own):
  old = stored('part') | {'nodes': nodes}
  old['schedule'] |= {'method': method}
  found = first_house.of_now(old)
  assert found['schedule']['name'] == name
  assert 'method' not in found['schedule']
  assert found['nodes'] == own


def test_a_training_is_of_the_only_skeleton_there_was():
  found = first_house.of_now(stored('train'))
  config = TrainConfig.from_dict(found)
  assert (config.space, config.layers, config.drop_path) == ('darts', 3, 0.1)


@pytest.mark.parametrize(
  'config',
  [
    SearchConfig(seed=4, nodes=4, method='pc_darts(partial=2)'),
    TrainConfig(space='nasbench201', auxiliary=False),
  ],
)
def test_those_of_today_stay_as_they_are(config):
  kept = fields(config)
  assert first_house.of_now(kept) == kept


def test_what_is_missing_is_as_by_default():
  defaults = fields(SearchConfig())
  old = fields(SearchConfig(seed=4))
  del old['method'], old['layout'], old['data']['workers']
  old['data']['max_train'] = 7
  found = first_house.of_now(old)
  assert found['data'] == {**defaults['data'], 'max_train': 7}
  assert (found['seed'], found['method']) == (4, 'darts')


def test_what_is_unknown_is_refused():
  old = {**fields(SearchConfig()), 'momentum': 0.9}
  found = first_house.of_now(old)
  with pytest.raises(UserError, match='Unknown config field momentum; valid'):
    SearchConfig.from_dict(found)
