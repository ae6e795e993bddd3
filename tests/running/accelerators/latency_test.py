"""Tables of latency: what is timed, and costs in seconds."""

import json

import jax
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.config import CostConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.networks import costs as costs_lib
from opp_darts_jax.networks import latency_table
from opp_darts_jax.networks.costs import Site
from opp_darts_jax.networks.network import Network
from opp_darts_jax.running.accelerators import absent, compilation, latency
from opp_darts_jax.running.accelerators.catalogue import get_accelerator
from opp_darts_jax.running.accelerators.counts import Counts
from opp_darts_jax.running.accelerators.timing import (
  Timing,
  measured,
  modelled_for,
)

SPACE = tiny_search.space_of('l', 'none', 'skip_connect', 'sep_conv_3x3')
SIZE = 3, 4, (8, 8, 1)
SITES = costs_lib.sites_of(SPACE, *SIZE, 3)
SECONDS = 1e-3


def fixed_timing(calls):
  """A millisecond for everything; nothing runs."""

  def seconds(function, shapes):
    calls.append(shapes)
    return SECONDS

  return Timing('measured', 'a watch', seconds)


@pytest.fixture(scope='module')
def table():
  calls = []
  table = latency.make(SPACE, *SIZE, 3, fixed_timing(calls), batch=2)
  # Skips of stride 1 are nothing, `none` is nothing anywhere.
  distinct = SITES.distinct()
  strided = [site for site in distinct if site.stride == 2]
  assert len(calls) == len(distinct) + len(strided) + 2
  assert all(x.shape[0] == 2 for _, x in calls)
  return json.loads(json.dumps(table))


def test_costs_are_sums_and_what_they_leave_out(table):
  costs = latency_table.costs_of(table, SPACE, SITES)
  normal, reduce = costs.table('normal'), costs.table('reduce')
  assert (normal[:, :2] == 0).all()
  assert (normal[:, 2] == SECONDS).all()  # One normal cell of three.
  assert reduce[:, 1].tolist() == pytest.approx([2e-3, 2e-3, 2e-3, 2e-3, 0])
  # A network of the operations of most networks is timed as a whole.
  assert table['rest'] == pytest.approx(SECONDS - 3 * 4 * SECONDS)
  assert costs.fixed == table['rest']


def test_networks_are_as_long_as_between_the_two_timed():
  # A device that has more to do for a network, and less for each operation.
  def seconds(function, shapes):
    variables, x = shapes
    leaves = len(jax.tree.leaves(variables['params']))
    return leaves * SECONDS if x.shape[-1] > 1 else 5e-2 + 0.4e-3 * leaves

  timing = Timing('measured', 'a device', seconds)
  costs = latency_table.costs_of(
    latency.make(SPACE, *SIZE, 3, timing), SPACE, SITES
  )
  mixed = SPACE.derive(
    SPACE,
    {
      kind: np.random.default_rng(i).random(mask.shape)
      for i, (kind, mask) in enumerate(SPACE.mask().items())
    },
  )
  for genotype in (*latency.ends(SPACE, costs), mixed):
    network = Network(genotype, *SIZE[:2], 3, space=SPACE)
    whole = seconds(*latency._network_program(network, SIZE[2], 1))
    assert costs.of(genotype) == pytest.approx(whole)
  cheapest, dearest = map(costs.of, latency.ends(SPACE, costs))
  assert 5e-2 < cheapest < costs.of(mixed) < dearest
  # Nothing to go by: sums as they are.
  assert latency.anchored([1.0, 2.0], [4.0, 4.0]) == (1.0, 2.0)


def test_tables_are_files(table, tmp_path):
  path = tmp_path / 'latency.json'
  path.write_text(json.dumps(table))
  assert latency_table.read(str(path), *SIZE) == table
  # One of an earlier release, which had no scale.
  path.write_text(json.dumps({k: v for k, v in table.items() if k != 'scale'}))
  assert latency_table.read(str(path), *SIZE) == table | {'scale': 1.0}
  # All sizes of a deeper network are in it, and its `rest` is of another.
  of_others = {
    'trained, 4 cells, .*; it is of 3 cells': (4, 4, (8, 8, 1)),
    r'images of \[8, 8, 3\] and': (3, 4, (8, 8, 3)),
    'imagenet=True; it is .* imagenet=False': (*SIZE, True),
  }
  for sentence, size in of_others.items():
    with pytest.raises(UserError, match=sentence):
      latency_table.read(str(path), *size)
  path.write_text(json.dumps({**table, 'unit': 'ms'}))
  for wrong in (str(path), str(tmp_path / 'none.json')):
    with pytest.raises(UserError, match='Expected a table of `opp-darts late'):
      latency_table.read(wrong, *SIZE)
  first, *others = table['operations']
  for name, value, sentence in (
    ('rest', None, 'rest must be of type float; got None'),
    ('scale', '2', "scale must be of type float; got '2'"),
    ('seconds', 'x', "seconds must be of type float; got 'x'"),
    ('seconds', float('nan'), 'seconds must be a finite number; got nan'),
    ('height', [8], r'height must be of type int; got \[8\]'),
    ('image_shape', 8, 'image_shape must be a tuple; got 8'),
    ('operations', 3, 'operations must be a list'),
    ('operations', [3], 'a row of operations must be an object; got 3'),
  ):
    damaged = {**table, name: value}
    if name in first:
      damaged = {**table, 'operations': [*others, {**first, name: value}]}
    path.write_text(json.dumps(damaged))
    with pytest.raises(UserError, match=f'Expected a table .*: {sentence}'):
      latency_table.read(str(path), *SIZE)
  with pytest.raises(UserError, match=r'goes with cost.quantity=.latency'):
    CostConfig(target=1.0, quantity='latency')


def test_cells_of_other_nodes_are_of_another_table(table):
  own = SPACE.graph.nodes
  larger = SPACE.with_nodes(own + 1)
  with pytest.raises(
    UserError, match=f'of {own + 1} intermediate nodes, .*; it is of {own}: '
  ):
    latency_table.costs_of(table, larger, SITES)
  older = {name: value for name, value in table.items() if name != 'nodes'}
  latency_table.costs_of(older, larger, SITES)


def test_a_size_that_is_not_in_the_table(table):
  others = costs_lib.sites_of(SPACE, 3, 8, (8, 8, 1), 3)
  with pytest.raises(UserError, match='none of 8 channels, stride 1, 8 x 8'):
    latency_table.costs_of(table, SPACE, others)


def test_measured_seconds_grow_with_the_work():
  timing = measured()
  assert timing.source == 'measured'
  conv = SPACE.operation('sep_conv_3x3').in_network
  one, other = (
    timing.seconds(*latency._program(conv, Site(8, 1, (s, s)), 4))
    for s in (4, 64)
  )
  assert other > 4 * one >= 0


def test_modelled_seconds_are_those_of_the_counts(monkeypatch):
  accelerator = get_accelerator('h100')
  devices = absent.devices_like(accelerator)
  built = []

  def build(program, arguments):
    built.append(arguments)
    return compilation.Built(
      None, Counts(fusions=4), None, None, None, 0.0, 0.0
    )

  monkeypatch.setattr(compilation, 'build', build)
  timing = modelled_for(absent.Absent(accelerator, devices))
  conv = SPACE.operation('sep_conv_3x3').in_network
  found = timing.seconds(*latency._program(conv, Site(4, 2, (8, 8)), 3))
  assert found == pytest.approx(4 * accelerator.launch)
  assert built[0][1].shape == (3, 8, 8, 4)
  assert timing.device == accelerator.kind
