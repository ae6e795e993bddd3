"""Every config that comes with the package."""

import dataclasses

import pytest

from opp_darts_jax.config import DataConfig, SearchConfig, TrainConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes import published
from opp_darts_jax.launchers import config_files
from opp_darts_jax.methods.catalogue import METHODS, configured_method
from opp_darts_jax.spaces.catalogue import get_space

NAMES = config_files.names()
# Methods: as published on CIFAR-10, and a small search on digits.
TWINS = [n for n in METHODS if n in NAMES]
SMALL = [f'{twin}s{i}' for twin in ('', 'darts_') for i in range(1, 5)]
# Those that train a published cell, and search for none.
OTHERS = {
  'nasbench201': ['digits', 'digits_train'],
  'pc_darts_digits': ['progressive', 'progressive_train'],
  **{name: ['small', 'small_train'] for name in SMALL},
  **{name: ['digits', 'digits_train'] for name in TWINS},
}
TRAINED = {
  'cifar100': ['train'],
  'imagenet': ['train', 'train_linear'],
  'short': ['train'],
  'svhn': ['train'],
}
PARTS = [
  (name, part)
  for name in NAMES
  for part in TRAINED.get(name, ['search', 'train', *OTHERS.get(name, [])])
]


def build(name, part):
  """The dataclass that a launcher would make of the config."""
  kind = TrainConfig if 'train' in part else SearchConfig
  return kind.from_dict(config_files.load(f'{name}:{part}').to_dict())


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


def test_those_that_are_documented_are_there():
  bases = ['cifar10', 'cifar10_small', 'digits', 's1', 's2', 's3', 's4']
  twins = [f'darts_{name}' for name in bases]
  assert set(NAMES) >= {*bases, *twins, *TRAINED}


@pytest.mark.parametrize(('name', 'part'), PARTS, ids=':'.join)
def test_every_part_of_every_config_builds(name, part):
  config = build(name, part)
  # What a search finds is trained in the space that it is of.
  named = name in SMALL or name == 'nasbench201'
  spaces = {name.removeprefix('darts_')} if named else {'darts'}
  if name in TWINS:
    spaces = {build(name, 'search').space}
    assert spaces <= {'darts', 'darts_without_none', 's2'}
  assert config.space in spaces
  if isinstance(config, SearchConfig):
    own = get_space(config.space, config.nodes)
    configured_method(config).check(config, own)
  elif name in TRAINED:
    assert published.load_genotype(config.genotype)
  else:
    variant = part.removesuffix('_train')
    run = f'{name}_{variant}' if variant in ('digits', 'progressive') else name
    assert config.genotype == f'runs/{run}/search/genotype.json'


@pytest.mark.parametrize('name', NAMES)
def test_parts_that_a_config_does_not_have_are_named(name):
  valid = ', '.join(part for other, part in PARTS if other == name)
  with pytest.raises(UserError, match=rf"config 'no'; valid are: {valid}\."):
    build(name, 'no')


@pytest.mark.parametrize(
  ('name', 'part'),
  [
    (name, part)
    for name, part in PARTS
    if name.startswith('darts_') and name not in TWINS
  ],
  ids=':'.join,
)
def test_twins_differ_in_the_schedule_alone(name, part):
  base = name.removeprefix('darts_')
  if part.endswith('train'):
    want = {
      'genotype': tuple(f'runs/{n}/search/genotype.json' for n in (base, name))
    }
  else:
    want = {'schedule.name': ('progressive', 'plain')}
  assert differences(build(base, part), build(name, part)) == want


@pytest.mark.parametrize('name', ['s1', 's2', 's3', 's4'])
@pytest.mark.parametrize('part', ['search', 'train', 'small', 'small_train'])
def test_small_spaces_differ_from_cifar10_in_the_space_alone(name, part):
  small = part.startswith('small')
  base = 'cifar10_small' if small else 'cifar10'
  trains = part.endswith('train')
  found = differences(
    build(base, 'train' if trains else 'search'), build(name, part)
  )
  assert list(found) == (['genotype', 'space'] if trains else ['space'])


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
