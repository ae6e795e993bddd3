"""Tests of the configs, and of every file in experiments/configs."""

import dataclasses
import importlib.util
import json
import pathlib

import pytest

from opp_darts_jax.config import (
  AlphaOptimizerConfig,
  DataConfig,
  ScheduleConfig,
  SearchConfig,
  TrainConfig,
  WeightOptimizerConfig,
)
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes import published
from opp_darts_jax.methods import progressive

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
  assert (search.layers, search.nodes, search.order) == (8, 4, 'first')
  assert search.schedule == ScheduleConfig('opp', 2, 'largest')
  assert (train.epochs, train.batch_size, train.channels) == (600, 96, 36)
  assert (train.layers, train.drop_path, train.data.cutout) == (20, 0.3, 16)
  assert train.weights == dataclasses.replace(
    search.weights, learning_rate_min=0.0
  )


def test_whole_numbers_are_floats_where_a_float_is_due():
  config = TrainConfig.from_dict({'drop_path': 0, 'auxiliary_weight': 1})
  assert type(config.drop_path) is type(config.auxiliary_weight) is float


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
    ({'space': 's5'}, "Unknown search space 's5'; valid are: darts, s1, s2, "),
    (
      {'layout': 'loops'},
      "Unknown layout 'loops'; valid are: auto, loop, batch.",
    ),
    (
      {'order': 'third'},
      "Unknown order 'third'; valid are: first, second, second_fd",
    ),
    (
      {'schedule': {'selection': 'best'}},
      r"Unknown schedule\.selection 'best'; valid are: largest, smallest, ",
    ),
    ({'schedule': {'method': 'x'}}, r"schedule\.method 'x'; valid are: opp, "),
    ({'schedule': {'boundary': 'x'}}, r'schedule\.boundary .*: reset, keep'),
    ({'schedule': {'cosine': 'x'}}, r'schedule\.cosine .*: plain, reanchored'),
    ({'space': 's1', 'nodes': 3}, "nodes=4, for which space 's1' .* nodes=3"),
    (
      {
        'space': 's3',
        'schedule': {'selection': 'fixed', 'order': ['none', 'sep_conv_3x3']},
      },
      r"schedule\.order must list each operation of space 's3' once "
      r'\(none, skip_connect, sep_conv_3x3\); got none, sep_conv_3x3\.',
    ),
    (
      {
        'space': 's2',
        'schedule': {'selection': 'fixed', 'order': ['sep_conv_3x3'] * 2},
      },
      'each operation .* once .* got sep_conv_3x3, sep_conv_3x3',
    ),
    ({'schedule': {'selection': 'fixed'}}, r'got selection=.fixed. and order='),
    (
      {'space': 's2', 'schedule': {'order': ['skip_connect', 'sep_conv_3x3']}},
      r"goes with schedule\.selection='fixed'; got selection='largest'",
    ),
    ({'train_fraction': 1.0}, r'train_fraction must be in \(0, 1\); got 1\.0'),
    ({'batch_size': 1}, 'batch_size must be at least 2; got 1'),
    ({'nodes': 0}, 'at least 1 intermediate node'),
    ({'seed': -1}, 'seed must be at least 0; got -1'),
    ({'schedule': {'stage_epochs': 0}}, 'stage_epochs must be at least 1'),
    ({'weights': {'learning_rate': 0}}, 'learning_rate must be above 0'),
    ({'weights': {'learning_rate': float('nan')}}, 'above 0; got nan'),
    ({'weights': {'momentum': 1}}, r'weights\.momentum must be in \[0, 1\)'),
    ({'alphas': {'b2': 1}}, r'alphas\.b2 must be in \[0, 1\); got 1\.0'),
    ({'data': {'source': ''}}, r'data\.source must be the name of a data set'),
    ({'data': {'test_fraction': 0}}, r'data\.test_fraction must be in \(0, 1'),
    ({'data': {'std': [0.5, 0]}}, r'data\.std must be all above 0; got \(0\.5'),
    ({'data': {'cutout': -1}}, r'data\.cutout must be at least 0; got -1'),
    ({'data': {'workers': -1}}, r'data\.workers must be at least 0; got -1'),
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
      {'space': 's1'},
      'Unknown config field space; valid are: seed, layers, channels',
    ),
    ({'genotype': 7}, 'genotype must be of type str; got 7'),
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


# The files

FOLDER = pathlib.Path(__file__).parents[2] / 'experiments' / 'configs'
FILES = sorted(path.stem for path in FOLDER.glob('*.py'))
SMALL = [f'{twin}s{i}' for twin in ('', 'darts_') for i in range(1, 5)]
# The files that train a published cell, and search for none.
TRAINED = {
  'cifar100': ['train'],
  'imagenet': ['train', 'train_linear'],
  'short': ['train'],
  'svhn': ['train'],
}
PARTS = [
  (name, part)
  for name in FILES
  for part in TRAINED.get(
    name,
    ['search', 'train', *(['small', 'small_train'] if name in SMALL else [])],
  )
]


def build(name, part):
  """The dataclass that a launcher would make of the file."""
  spec = importlib.util.spec_from_file_location(name, FOLDER / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  kind = TrainConfig if 'train' in part else SearchConfig
  return kind.from_dict(module.get_config(part).to_dict())


def differences(one, other):
  """The values of the fields in which two configs differ."""

  def flat(tree, prefix=''):
    for name, value in tree.items():
      if isinstance(value, dict):
        yield from flat(value, f'{prefix}{name}.')
      else:
        yield prefix + name, value

  ours, theirs = (dict(flat(dataclasses.asdict(c))) for c in (one, other))
  assert ours.keys() == theirs.keys()
  return {
    name: (value, theirs[name])
    for name, value in ours.items()
    if value != theirs[name]
  }


def test_the_files_that_are_documented_are_there():
  bases = ['cifar10', 'cifar10_small', 'digits', 's1', 's2', 's3', 's4']
  twins = [f'darts_{name}' for name in bases]
  assert set(FILES) >= {*bases, *twins, *TRAINED}


@pytest.mark.parametrize(('name', 'part'), PARTS, ids=':'.join)
def test_every_part_of_every_file_builds(name, part):
  config = build(name, part)
  if isinstance(config, SearchConfig):
    progressive.check_length(config)
    space = name.removeprefix('darts_')
    assert config.space == (space if name in SMALL else 'darts')
  elif name in TRAINED:
    assert published.load_genotype(config.genotype)
  else:
    assert config.genotype == f'runs/{name}/search/genotype.json'


@pytest.mark.parametrize('name', FILES)
def test_parts_that_a_file_does_not_have_are_named(name):
  valid = ', '.join(part for file, part in PARTS if file == name)
  with pytest.raises(UserError, match=rf"config 'no'; valid are: {valid}\."):
    build(name, 'no')


@pytest.mark.parametrize(
  ('name', 'part'),
  [(name, part) for name, part in PARTS if name.startswith('darts_')],
  ids=':'.join,
)
def test_twins_differ_in_the_method_alone(name, part):
  base = name.removeprefix('darts_')
  if part.endswith('train'):
    want = {
      'genotype': tuple(f'runs/{n}/search/genotype.json' for n in (base, name))
    }
  else:
    want = {'schedule.method': ('opp', 'darts')}
  assert differences(build(base, part), build(name, part)) == want


@pytest.mark.parametrize('name', ['s1', 's2', 's3', 's4'])
@pytest.mark.parametrize('part', ['search', 'train', 'small', 'small_train'])
def test_small_spaces_differ_from_cifar10_in_the_space_alone(name, part):
  small = part.startswith('small')
  base, field = 'cifar10_small' if small else 'cifar10', 'space'
  if part.endswith('train'):
    field = 'genotype'
  part_of_base = 'train' if field == 'genotype' else 'search'
  found = differences(build(base, part_of_base), build(name, part))
  assert list(found) == [field]


def test_cifar10_is_as_published():
  data = DataConfig(source='cifar10')
  assert build('cifar10', 'search') == SearchConfig(data=data)
  assert list(differences(build('cifar10', 'train'), TrainConfig())) == [
    'data.source',
    'genotype',
  ]


def test_imagenet_is_as_published_for_darts():
  config = build('imagenet', 'train')
  assert (config.layers, config.channels, config.epochs) == (14, 48, 250)
  assert (config.batch_size, config.weights.learning_rate) == (128, 0.1)
  assert (config.rate_schedule, config.rate_decay) == ('exponential', 0.97)
  assert (config.auxiliary, config.auxiliary_weight) == (True, 0.4)
  assert (config.label_smoothing, config.drop_path) == (0.1, 0)
  assert config.weights.weight_decay == 3e-5
  assert config.imagenet
  data = config.data
  assert (data.stream, data.crop, data.image_size) == (True, 'resized', 224)
  assert (data.flip, data.jitter, data.cutout) == (True, 0.4, 0)
  assert differences(config, build('imagenet', 'train_linear')) == {
    'batch_size': (128, 1024),
    'rate_schedule': ('exponential', 'linear'),
    'rate_decay': (0.97, 0.0),
    'warmup_epochs': (0, 5),
    'weights.learning_rate': (0.1, 0.5),
  }


def test_cifar100_is_cifar10_on_other_images():
  found = differences(build('cifar10', 'train'), build('cifar100', 'train'))
  assert list(found) == ['data.source', 'genotype']
