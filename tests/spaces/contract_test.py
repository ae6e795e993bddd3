"""What every space keeps to, those that ship and a user's own."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.networks.network import Network, variable_shapes
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.spaces.members import check_genotype
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet.supernet import Supernet

ALL = {**SPACES, 'toy': toys.TOY, 'sparse': toys.SPARSE}
KEY = jax.random.key(0)

every_space = pytest.mark.parametrize('space', ALL.values(), ids=ALL)


def random_weights(space, seed=0):
  """Positive where an edge has the operation, 0 elsewhere."""
  numbers = np.random.default_rng(seed)
  return {
    kind: mask * (0.1 + numbers.random(mask.shape))
    for kind, mask in space.mask().items()
  }


@every_space
def test_mask_has_a_row_an_edge_and_a_column_an_operation(space):
  mask = space.mask()
  assert tuple(mask) == space.kinds
  for table in mask.values():
    assert table.dtype == bool
    assert table.shape == (space.graph.num_edges, len(space.operations))
    assert table.any(1).all()
  for column, name in enumerate(space.names):
    for kind, alone in space.mask([name]).items():
      np.testing.assert_array_equal(alone[:, column], mask[kind][:, column])
      assert alone.sum() == mask[kind][:, column].sum()
  assert not any(table.any() for table in space.mask([]).values())


@every_space
def test_signal_reaches_every_node_of_the_whole_space_and_no_empty_one(space):
  for table in space.mask().values():
    assert space.reachable(table)
  for table in space.mask([]).values():
    assert not space.reachable(table)


@every_space
def test_what_it_derives_is_its_own_and_goes_through_json(space):
  for seed in range(5):
    genotype = space.derive(space, random_weights(space, seed))
    check_genotype(space, genotype)
    assert genotype.kinds == space.kinds
    assert Genotype.from_json(genotype.to_json()) == genotype
    listed = space.mask()
    for cell in genotype.cells:
      assert cell.output == space.graph.output
      for edge in cell.edges:
        row = space.graph.edge_index(edge.source, edge.node)
        assert listed[cell.kind][row, space.names.index(edge.operation)]


@every_space
def test_text_goes_both_ways_where_there_is_one(space):
  genotype = space.derive(space, random_weights(space))
  if space.from_text is not None:
    assert space.from_text(space.to_text(genotype)) == genotype
    assert space.from_text('something else') is None


@every_space
def test_with_nodes(space):
  own = space.graph.nodes
  assert space.with_nodes(0) == space.with_nodes(own) == space
  free = space.graph == CellGraph(space.graph.inputs, own)
  if space.candidates or not free:
    with pytest.raises(UserError, match=f'Expected nodes={own}, .* nodes=9'):
      space.with_nodes(9)
    return
  more = space.with_nodes(own + 1)
  assert more.graph == CellGraph(space.graph.inputs, own + 1)
  assert more.operations == space.operations
  genotype = more.derive(more, random_weights(more))
  assert all(cell.nodes == own + 1 for cell in genotype.cells)


@every_space
def test_what_files_say_of_it_is_json(space):
  said = json.loads(json.dumps(space.describe()))
  assert said['name'] == space.name
  assert said['kinds'] == list(space.kinds)
  assert [o['name'] for o in said['operations']] == list(space.names)
  fields = said['graph']
  edges = tuple(map(tuple, fields.pop('edges')))
  output = tuple(fields.pop('output'))
  assert CellGraph(**fields, edges=edges, output=output) == space.graph


@every_space
def test_it_is_hashable_and_equal_to_itself_alone(space):
  # Compiled functions are kept by what they are of.
  assert [other for other in ALL.values() if other == space] == [space]
  assert len({space, *ALL.values()}) == len(ALL)


def first_parts(space):
  """The space with the first two cells, or blocks, of its skeleton alone."""
  plan = space.skeleton.plan
  skeleton = space.skeleton._replace(plan=lambda *sizes: plan(*sizes)[:2])
  return dataclasses.replace(space, skeleton=skeleton)


def logits_of(space, size, *layouts):
  """{layout: logits of fresh variables, in training and in evaluation}."""
  model = Supernet(space, layers=3, channels=2, classes=7)
  mask = jax.device_put(space.mask())
  weights = jax.tree.map(
    lambda t: jnp.asarray(t, jnp.float32), random_weights(space)
  )
  images = jax.random.normal(KEY, (2, size, size, 1))
  given = images, weights, mask
  # XLA's own generator compiles much faster than many threefry streams.
  variables = model.init(jax.random.key(0, impl='rbg'), *given, train=True)
  found = {}
  for layout in layouts:
    apply = model.clone(layout=layout).apply
    logits, moved = apply(variables, *given, True, KEY, mutable=['batch_stats'])
    found[layout] = logits, apply({**variables, **moved}, *given, False, KEY)
  return found


# The one without `none` has no operation or form that DARTS's lacks.
@pytest.mark.parametrize(
  'space',
  [s for n, s in ALL.items() if n != 'darts_without_none'],
  ids=lambda space: space.name,
)
def test_supernet_gives_logits_of_every_size(space):
  # The residual blocks of one want even sides.
  size = 12 if space.name == 'nasbench201' else 13
  if space.name != 'darts':  # Of whose skeleton most others are.
    space = first_parts(space)
  shapes = jax.eval_shape(lambda: logits_of(space, size, 'loop', 'lanes'))
  for layout, found in shapes.items():
    assert [shape.shape for shape in found] == [(2, 7), (2, 7)], layout


@every_space
def test_network_of_what_it_derives_gives_logits(space):
  genotype = space.derive(space, random_weights(space))
  network = Network(genotype, layers=3, channels=4, classes=7, space=space)

  def logits():
    images = jnp.zeros((2, 16, 16, 1))
    keys = dict.fromkeys(('params', 'noise'), KEY)
    variables = network.init(keys, images, train=False)
    return network.apply(variables, images, train=False, rngs=keys)[0]

  assert jax.eval_shape(logits).shape == (2, 7)


def test_a_skeleton_of_other_inputs_is_refused():
  space = Space('unfit', (toys.SCALE,), graph=CellGraph(1, 2))
  with pytest.raises(
    UserError, match="space 'unfit' that gives its cells 1 inputs, got 2"
  ):
    jax.eval_shape(lambda: logits_of(space, 8, 'loop'))
  edges = (Edge('scale', 0, 1), Edge('scale', 1, 2))
  kinds = ('normal', 'reduce')
  cells = Genotype(tuple(Cell(kind, 1, edges, (1, 2)) for kind in kinds))
  with pytest.raises(
    UserError, match="space 'unfit' that gives its cells 1 inputs, got 2"
  ):
    variable_shapes(Network(cells, 1, 2, 7, space=space), (8, 8, 1))
