"""Tests of weights and multiply-adds against published and plain counts."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
import pytest

from opp_darts_jax.genotypes.darts_form import darts_genotype
from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.networks import summary
from opp_darts_jax.networks.network import (
  Network,
  count_weights,
  variable_shapes,
)
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.spaces.darts import DARTS


def counted(name, layers, imagenet=False):
  if imagenet:
    model = Network(GENOTYPES[name], layers, 48, 1000, True, imagenet=True)
    return summary.totals(summary.describe(model, (224, 224, 3)))
  model = Network(GENOTYPES[name], layers, 36, 10, True)
  return summary.totals(summary.describe(model, (32, 32, 3)))


def test_the_paper_s_cell():
  # OPP-DARTS, tables 1 and 3: 3.822 M; 5.332 M and 593 M multiply-adds.
  assert round(counted('OPP_DARTS', 20).weights / 1e6, 3) == 3.822
  found = counted('OPP_DARTS', 14, imagenet=True)
  assert round(found.weights / 1e6, 3) == 5.332
  assert round(found.multiply_adds / 1e6) == 593


def test_parts_by_hand():
  cells = darts_genotype(
    (('sep_conv_3x3', 0), ('skip_connect', 1)),
    (2,),
    (('conv_7x1_1x7', 0), ('max_pool_3x3', 1)),
    (2,),
  )
  parts = summary.describe(Network(cells, 3, 4, 5), (9, 8, 3))
  assert [part.name for part in parts] == [
    'stem',
    'cell0',
    'cell1',
    'cell2',
    'classifier',
  ]
  stem, cell0, cell1, cell2, classifier = parts
  assert (stem.shape, stem.multiply_adds) == ((9, 8, 12), 9 * 8 * 27 * 12)
  assert stem.weights == 27 * 12 + 2 * 12
  # The first of three cells is normal: 1x1 convolutions of both inputs, then
  # two depthwise and 1x1 convolutions.
  assert (cell0.kind, cell0.shape) == ('normal', (9, 8, 4))
  assert cell0.multiply_adds == 72 * (2 * 12 * 4 + 2 * (9 * 4 + 4 * 4))
  # A row of 7 pixels at half the columns, then a column at half the rows.
  assert (cell1.kind, cell1.shape) == ('reduce', (5, 4, 8))
  inputs = 72 * (12 * 8 + 4 * 8)
  assert cell1.multiply_adds == inputs + (9 * 4 + 5 * 4) * 7 * 8 * 8
  assert cell2.shape == (3, 2, 16)
  assert classifier.multiply_adds == 16 * 5
  assert classifier.weights == 16 * 5 + 5


def test_table_ends_in_totals():
  model = Network(GENOTYPES['DARTS_V1'], 3, 4, 10, True)
  parts = summary.describe(model, (32, 32, 3))
  lines = summary.table(parts).splitlines()
  own = summary.totals(parts)
  assert lines[-3].split()[:1] == ['auxiliary_head']
  assert lines[-2].split() == [
    'network',
    f'{own.weights:,}',
    f'{own.multiply_adds / 1e6:.2f}',
  ]


def test_an_operation_that_does_not_count_is_named():
  def init(key, copies, channels, stride):
    return {'scale': jnp.ones((*copies, channels))}

  def apply(params, x, norm, stride, key):
    return x[:, ::stride, ::stride] * params['scale']

  operations = (*DARTS.operations, Operation('own', init, apply))
  space = dataclasses.replace(DARTS, name='mine', operations=operations)
  edges = (('own', 0), ('skip_connect', 1)), (2,)
  model = Network(darts_genotype(*edges, *edges), 3, 4, 5, space=space)
  parts = summary.describe(model, (8, 8, 3))
  assert [part.uncounted for part in parts if part.kind] == [('own',)] * 3
  assert summary.totals(parts).uncounted == ('own',)
  text = summary.table(parts)
  assert text.count(' -\n') == 3
  assert 'Not among the multiply-adds are those of own: their' in text
  counted = Network(GENOTYPES['DARTS_V1'], 3, 4, 10, True)
  parts = summary.describe(counted, (32, 32, 3))
  assert 'Not among' not in summary.table(parts)


# Of four cells, as tracing them takes long.
@pytest.mark.parametrize('name', GENOTYPES)
def test_every_published_cell_is_counted(name):
  found = counted(name, 4)
  assert 4e5 < found.weights < 12e5
  assert 7e7 < found.multiply_adds < 20e7


def test_a_published_cell_is_counted_on_imagenet():
  found = counted('AmoebaNet', 4, imagenet=True)
  assert 2e6 < found.weights < 3e6
  assert 2e8 < found.multiply_adds < 3e8


class TwoOutputs(nn.Module):
  """A stem in one module, whose head is called by another method."""

  def setup(self):
    self.own = nn.Conv(12, (3, 3))
    self.scale = self.param('scale', nn.initializers.ones, (5,))

  def __call__(self, x):
    y = self.own(x)
    return y, y

  def scaled(self, x):
    return x * self.scale


def test_modules_that_give_several_arrays_or_are_called_otherwise():
  """Their weights are all there, and the shape is that of the last array."""
  skeleton = DARTS.skeleton._replace(
    stem=lambda images, channels, imagenet, train: TwoOutputs(name='two')(
      images
    ),
    head=lambda x, classes, train: TwoOutputs(name='scaled').scaled(
      x.mean((1, 2))[:, :classes]
    ),
  )
  space = dataclasses.replace(DARTS, name='own', skeleton=skeleton)
  network = Network(GENOTYPES['DARTS_V2'], 1, 2, 5, space=space)
  parts = summary.describe(network, (9, 8, 3))
  shapes = {part.name: (part.shape, part.weights) for part in parts}
  assert shapes['two'] == ((9, 8, 12), 28 * 12 + 5)
  assert shapes['scaled'] == ((), 5)
  params = variable_shapes(network, (9, 8, 3))
  assert summary.totals(parts).weights == count_weights(params)
  assert 'scaled' in summary.table(parts)
