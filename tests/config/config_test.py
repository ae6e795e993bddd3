"""Tests of the configs: their fields, defaults, and what they refuse."""

import dataclasses
import json
import math

import numpy as np
import pytest

from opp_darts_jax.config import (
  AlphaOptimizerConfig,
  CostConfig,
  DataConfig,
  MonitorConfig,
  ScheduleConfig,
  SearchConfig,
  TrainConfig,
  WeightOptimizerConfig,
)
from opp_darts_jax.config.fields import as_json
from opp_darts_jax.errors import UserError

SEARCH = SearchConfig(
  seed=3,
  space='s3',
  nodes=2,
  train_fraction=0.25,
  order='second_fd',
  data=DataConfig(source='cifar10', mean=(0.1, 0.2), std=(1.0, 2.0)),
  weights=WeightOptimizerConfig(momentum=0.0),
  alphas=AlphaOptimizerConfig(b1=0.9),
  schedule=ScheduleConfig(
    selection='fixed', order=('sep_conv_3x3', 'none', 'skip_connect')
  ),
)
TRAIN = TrainConfig(genotype='DARTS_V2', auxiliary=False, drop_path=0.0)


@pytest.mark.parametrize(
  'config', [SearchConfig(), SEARCH, TrainConfig(), TRAIN]
)
def test_round_trip(config):
  fields = dataclasses.asdict(config)
  assert type(config).from_dict(fields) == config
  assert type(config).from_dict(json.loads(json.dumps(fields))) == config


def test_fields_left_out_have_their_defaults():
  config = SearchConfig.from_dict({'seed': 5, 'schedule': {'stage_epochs': 1}})
  assert config == SearchConfig(seed=5, schedule=ScheduleConfig(stage_epochs=1))


def test_defaults_are_the_published_settings():
  search, train = SearchConfig(), TrainConfig()
  assert search.weights == WeightOptimizerConfig(0.025, 0.001, 0.9, 3e-4, 5.0)
  assert search.alphas == AlphaOptimizerConfig(3e-4, 0.5, 0.999, 1e-3)
  assert (search.epochs, search.batch_size, search.channels) == (50, 64, 16)
  assert (search.layers, search.nodes, search.order) == (8, 0, 'first')
  assert (search.space, search.method) == ('darts', 'darts')
  assert search.schedule == ScheduleConfig('progressive', 2, 'largest')
  assert train.space == 'darts'
  assert (train.epochs, train.batch_size, train.channels) == (600, 96, 36)
  assert (train.layers, train.drop_path, train.data.cutout) == (20, 0.3, 16)
  assert train.weights == dataclasses.replace(
    search.weights, learning_rate_min=0.0
  )


@pytest.mark.parametrize(
  ('epochs', 'every', 'evaluated'),
  [(4, 1, [0, 1, 2, 3]), (5, 2, [1, 3, 4]), (6, 3, [2, 5]), (3, 9, [2])],
)
def test_the_last_epoch_is_always_evaluated(epochs, every, evaluated):
  config = TrainConfig(epochs=epochs, eval_epochs=every)
  assert [e for e in range(epochs) if config.evaluates(e)] == evaluated


def test_whole_numbers_are_floats_where_a_float_is_due():
  config = TrainConfig.from_dict({'drop_path': 0, 'auxiliary_weight': 1})
  assert type(config.drop_path) is type(config.auxiliary_weight) is float


def test_what_python_gives_is_as_files_have_it():
  data = DataConfig(mean=[np.float32(0.5), 1], max_train=np.int64(9))
  config = SearchConfig(
    remat=np.bool_(True), data=data, search_seeds=np.arange(2)
  )
  assert as_json(config) == as_json(SearchConfig.from_dict(as_json(config)))
  assert type(config.data.max_train) is int
  assert (config.remat, config.search_seeds) == (True, (0, 1))
  assert config.data.mean == (0.5, 1.0)
  assert hash(dataclasses.replace(config, search_seeds=[3])) != hash(config)


@pytest.mark.parametrize(
  ('make', 'sentence'),
  [
    (lambda: SearchConfig(remat='False'), "remat must be of type bool; got 'F"),
    (lambda: SearchConfig(epochs=2.0), 'epochs must be of type int; got 2.0'),
    (lambda: SearchConfig(seed=np.float64(1)), 'seed must be of type int; got'),
    (lambda: TrainConfig(seeds=3), 'seeds must be a tuple; got 3'),
    (lambda: TrainConfig(seeds=np.array(3)), 'seeds must be a tuple; got 3'),
    (lambda: SearchConfig(data={'flip': False}), 'data must be a DataConfig; '),
    (lambda: DataConfig(flip='no'), r"data\.flip must be of type bool; got 'n"),
    (lambda: DataConfig(std=(math.nan,)), r'data\.std must be a finite number'),
    (lambda: CostConfig(strength=math.inf), r'cost\.strength must be a finite'),
    (lambda: AlphaOptimizerConfig(b1='0'), r'alphas\.b1 must be of type float'),
    (lambda: MonitorConfig(derived=1), r'monitor\.derived must be of type boo'),
    (lambda: ScheduleConfig(name=None), r'schedule\.name must be of type str'),
    (
      lambda: WeightOptimizerConfig(clip_norm=math.inf),
      r'weights\.clip_norm must be a finite number; got inf',
    ),
  ],
)
def test_python_is_checked_as_files_are(make, sentence):
  with pytest.raises(UserError, match=sentence):
    make()


@pytest.mark.parametrize(
  ('fields', 'sentence'),
  [
    ({'sede': 1}, 'Unknown config field sede; valid are: seed, layers, '),
    (
      {'weights': {'lr': 1.0}},
      r'Unknown config field weights\.lr; valid are: weights\.learning_rate, ',
    ),
    ({'epochs': 2.0}, 'epochs must be of type int; got 2.0, of type float'),
    ({'epochs': True}, 'epochs must be of type int; got True, of type bool'),
    ({'order': None}, 'order must be of type str; got None'),
    (
      {'weights': {'momentum': '0.9'}},
      r"weights\.momentum must be of type float; got '0.9', of type str",
    ),
    ({'data': {'flip': 1}}, r'data\.flip must be of type bool; got 1'),
    ({'data': {'mean': 'abc'}}, r"data\.mean must be a tuple; got 'abc'"),
    ({'data': {'mean': 0.5}}, r'data\.mean must be a tuple; got 0.5'),
    ({'data': {'std': ['a']}}, r"data\.std must be of type float; got 'a'"),
    ({'data': 'cifar10'}, "data must be a group of fields; got 'cifar10'"),
    ({'space': ''}, "space must be the name of a space; got ''"),
    ({'method': ''}, "method must be the name of a method; got ''"),
    ({'method': 3}, 'method must be of type str; got 3'),
    ({'schedule': {'name': ''}}, r'schedule\.name must be the name of a sched'),
    (
      {'schedule': {'method': 'opp'}},
      r'Unknown config field schedule\.method;',
    ),
    (
      {'layout': 'batch'},
      "Unknown layout 'batch'; valid are: auto, loop, copies, lanes.",
    ),
    (
      {'order': 'third'},
      "Unknown order 'third'; valid are: first, second, second_fd",
    ),
    (
      {'schedule': {'selection': 'best'}},
      r"Unknown schedule\.selection 'best'; valid are: largest, smallest, ",
    ),
    ({'schedule': {'boundary': 'x'}}, r'schedule\.boundary .*: reset, keep'),
    ({'schedule': {'cosine': 'x'}}, r'schedule\.cosine .*: plain, reanchored'),
    ({'schedule': {'selection': 'fixed'}}, r'got selection=.fixed. and order='),
    (
      {'space': 's2', 'schedule': {'order': ['skip_connect', 'sep_conv_3x3']}},
      r"goes with schedule\.selection='fixed'; got selection='largest'",
    ),
    ({'train_fraction': 1.0}, r'train_fraction must be in \(0, 1\); got 1\.0'),
    ({'batch_size': 1}, 'batch_size must be at least 2; got 1'),
    ({'eval_batch_size': -1}, 'eval_batch_size must be at least 0; got -1'),
    ({'eval_epochs': 0}, 'eval_epochs must be at least 1; got 0'),
    ({'nodes': -1}, 'nodes must be at least 0; got -1'),
    ({'seed': -1}, 'seed must be at least 0 and below .*; got -1'),
    ({'seed': 2**32}, r'and below 2\*\*32; got 4294967296'),
    ({'search_seeds': (0, 2**32)}, r'search_seeds must be .* 2\*\*32; got'),
    ({'schedule': {'stage_epochs': 0}}, 'stage_epochs must be at least 1'),
    ({'weights': {'learning_rate': 0}}, 'learning_rate must be above 0'),
    (
      {'weights': {'learning_rate': float('nan')}},
      'must be a finite number; got nan',
    ),
    ({'weights': {'momentum': 1}}, r'weights\.momentum must be in \[0, 1\)'),
    ({'alphas': {'b2': 1}}, r'alphas\.b2 must be in \[0, 1\); got 1\.0'),
    ({'data': {'source': ''}}, r'data\.source must be the name of a data set'),
    ({'data': {'test_fraction': 0}}, r'data\.test_fraction must be in \(0, 1'),
    # json has infinity and what is no number, too.
    (
      {'data': {'std': [math.inf]}},
      r'data\.std must be a finite number',
    ),
    (
      {'alphas': {'learning_rate': math.nan}},
      r'alphas\.learning_rate must be a finite number; got nan',
    ),
    ({'data': {'held_out': 1}}, r'data\.held_out must be in \[0, 1'),
    ({'data': {'std': [0.5, 0]}}, r'data\.std must be all above 0; got \(0\.5'),
    ({'data': {'cutout': -1}}, r'data\.cutout must be at least 0; got -1'),
    ({'data': {'workers': -1}}, r'data\.workers must be at least 0; got -1'),
    ({'data': {'split_seed': -1}}, r'data\.split_seed must be at least 0; got'),
    ({'data': {'jitter': 1.5}}, r'data\.jitter must be in \[0, 1\]; got 1\.5'),
    (
      {'data': {'crop': 'random'}},
      r"Unknown data\.crop 'random'; valid are: pad, resized\.",
    ),
    (
      {'data': {'stream': True}},
      r'data\.stream needs data\.image_size, .* got 0\.',
    ),
    (
      {'data': {'stream': True, 'image_size': 32}},
      r'data\.stream is for training; a search holds its images in memory',
    ),
  ],
  ids=str,
)
def test_search_refuses(fields, sentence):
  with pytest.raises(UserError, match=sentence):
    SearchConfig.from_dict(fields)


@pytest.mark.parametrize(
  ('fields', 'sentence'),
  [
    (
      {'nodes': 3},
      'Unknown config field nodes; valid are: seed, layers, channels',
    ),
    ({'genotype': 7}, 'genotype must be of type str; got 7'),
    ({'seeds': (2**64,)}, r'seeds must be .* below 2\*\*32; got'),
    (
      {'seeds': (1, 2), 'seed': 3},
      r'give either; got seed=3 and seeds=\(1, 2\)',
    ),
    ({'drop_path': 1.0}, r'drop_path must be in \[0, 1\); got 1\.0'),
    ({'auxiliary_weight': -1}, 'auxiliary_weight must be at least 0'),
    ({'layers': 0}, 'layers must be at least 1; got 0'),
    ({'drop_path': True}, 'drop_path must be of type float; got True, of type'),
    (
      {'rate_schedule': 'step'},
      "Unknown rate_schedule 'step'; valid are: cosine, exponential, linear",
    ),
    (
      {'rate_decay': 0.97},
      r"goes with rate_schedule='exponential'; got rate_decay=0\.97 and "
      r"rate_schedule='cosine'\.",
    ),
    (
      {'rate_schedule': 'exponential'},
      r"got rate_decay=0\.0 and rate_schedule='exponential'\.",
    ),
    (
      {'epochs': 5, 'warmup_epochs': 5},
      'warmup_epochs must be at least 0 and below epochs, 5; got 5',
    ),
    ({'warmup_epochs': -1}, 'warmup_epochs must be at least 0 and below'),
  ],
  ids=str,
)
def test_training_refuses(fields, sentence):
  with pytest.raises(UserError, match=sentence):
    TrainConfig.from_dict(fields)
