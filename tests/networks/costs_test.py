"""Costs of networks as tables: exact for every cell of a space."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.random_cells import init
from opp_darts_jax.networks import costs, summary
from opp_darts_jax.networks.network import Network
from opp_darts_jax.spaces.catalogue import SPACES

S3 = SPACES['s3'].with_nodes(2)
CASES = {
  's3': (S3, 3, 4, (9, 8, 3)),
  's1': (SPACES['s1'], 3, 2, (8, 8, 1)),
  'nasbench201': (SPACES['nasbench201'], 3, 4, (8, 8, 3)),
  'toy': (toys.TOY, 2, 4, (8, 6, 1)),
}


def genotypes(space, count=2):
  for seed in range(count):
    drawn = init(jax.random.key(seed), space)
    mask = space.mask()
    tables = {k: np.asarray(drawn[k]) * mask[k] for k in space.kinds}
    yield space.derive(space, tables)


@pytest.mark.parametrize('name', CASES)
def test_costs_of_a_genotype_are_those_of_its_network(name):
  space, layers, channels, shape = CASES[name]
  sites = costs.sites_of(space, layers, channels, shape, 5)
  quantities = ['weights'] + ['multiply_adds'] * (name != 'toy')
  tables = {q: costs.counted(space, sites, q) for q in quantities}
  for genotype in genotypes(space):
    network = Network(genotype, layers, channels, 5, space=space)
    whole = summary.totals(summary.describe(network, shape))
    for quantity, table in tables.items():
      assert table.of(genotype) == getattr(whole, quantity)
      least, most = costs.bounds(table, space, space.mask())
      assert least <= table.of(genotype) <= most


def test_an_operation_that_does_not_say_what_it_takes():
  sites = costs.sites_of(toys.TOY, 1, 2, (4, 4, 1), 2)
  with pytest.raises(UserError, match="'scale' has weights and does not say"):
    costs.counted(toys.TOY, sites, 'multiply_adds')
  # Nor one that has weights at some sites alone.
  halving = toys.HALF._replace(
    init=lambda key, copies, channels, stride: (
      {'factor': jnp.ones((*copies, channels))} if stride == 2 else {}
    )
  )
  space = dataclasses.replace(S3, operations=(*S3.operations, halving))
  with pytest.raises(UserError, match="'half' has weights and does not say"):
    costs.counted(space, costs.sites_of(*CASES['s3'], 2), 'multiply_adds')


def test_bounds_are_those_of_all_cells():
  space = SPACES['s3'].with_nodes(1)  # Two edges, both kept: nine cells.
  sites = costs.sites_of(space, 2, 2, (4, 4, 1), 2)
  table = costs.counted(space, sites, 'weights')
  every = [table.of(genotype) for genotype in genotypes(space, 30)]
  assert costs.bounds(table, space, space.mask()) == (min(every), max(every))
  # Of what is there alone.
  mask = space.mask(['sep_conv_3x3'])
  assert costs.bounds(table, space, mask) == (max(every), max(every))
