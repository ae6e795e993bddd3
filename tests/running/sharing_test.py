"""Runs of a process share their programs if these are the same."""

import dataclasses
import types

import pytest
from tiny_runs import SEARCH, TRAIN

from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.catalogue import configured_method
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.pc_darts import pc_darts
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.searches import live
from opp_darts_jax.running.trainings.programs import make_train_programs
from opp_darts_jax.running.trainings.task import make_network
from opp_darts_jax.spaces.catalogue import get_space

IMAGES = types.SimpleNamespace(
  image_shape=(8, 8, 1), mean=(0.5,), std=(0.5,), num_classes=3
)


def of_search(method=None, images=IMAGES, **fields):
  config = dataclasses.replace(SEARCH, **fields)
  return live.programs_of(
    config,
    get_space(config.space, config.nodes),
    method or configured_method(config),
    images,
    2,
    Devices(),
  )


def of_training(**fields):
  config = dataclasses.replace(TRAIN, **fields)
  model = make_network(
    config, GENOTYPES['DARTS_V2'], get_space('darts'), IMAGES.num_classes
  )
  augmentation = Augmentation.of(IMAGES, config.data)
  return make_train_programs(
    config.of_programs(), model, IMAGES.image_shape, augmentation, Devices()
  )


@pytest.mark.parametrize('make', [of_search, of_training])
def test_what_programs_do_not_depend_on(make):
  config = SEARCH if make is of_search else TRAIN
  first = make()
  assert make(seed=3, log_steps=9, save_steps=1, eval_epochs=2) is first
  data = dataclasses.replace(config.data, max_train=40, split_seed=1)
  assert make(data=data) is first
  weights = dataclasses.replace(config.weights, momentum=0.5)
  data = dataclasses.replace(config.data, flip=True)
  for fields in (
    {'batch_size': 8},
    {'channels': 4},
    {'precision': 'default'},
    {'weights': weights},
    {'data': data},
  ):
    assert make(**fields) is not first, fields
  assert make() is first


def test_a_search_shares_with_those_of_other_seeds_and_of_the_same_method():
  first = of_search()
  assert of_search(search_seeds=(4, 5)) is first
  assert of_search(truth_cells=9) is first
  assert of_search(order='second') is not first
  plain = darts()
  assert of_search(pc_darts(1)) is of_search(pc_darts(1))
  assert of_search(pc_darts(1)) is not of_search(pc_darts(2))
  assert of_search(plain) is not first
  assert of_search(plain) is of_search(darts())
  own = plain._replace(name='own')
  assert of_search(own) is not of_search(plain)
  larger = types.SimpleNamespace(**vars(IMAGES) | {'image_shape': (9, 9, 1)})
  assert of_search(images=larger) is not first


def test_what_has_no_hash_is_made_anew():
  made = []

  @memoized(2)
  def make(value, more=None):
    made.append((value, more))
    return object()

  assert make(1, more=2) is make(1, more=2)
  assert make([1]) is not make([1])
  assert make(1, more={}) is not make(1, more={})
  assert len(made) == 5
