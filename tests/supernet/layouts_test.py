"""All ways to run a cell's edges compute the same, and derivatives of it.

In double precision, so that nothing but rounding far below is let through.
"""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toys

from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.methods.pc_darts import partial_channels
from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.operations.target import Target, traced_for
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.spaces.skeleton import Part
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet.supernet import Supernet

KEY = tiny_search.KEY
THREE = ('max_pool_3x3', 'skip_connect', 'sep_conv_3x3')
POOLS = ('max_pool_3x3', 'avg_pool_3x3')
DILATED = 'dil_conv_3x3'
# With what ../operations has, every size and dilation, but not on every edge,
# nor is there every edge. The last one, which alone leaves an intermediate
# node, has what one list of kernels computes: two take long to compile.
ALL_HERE = ('none', *POOLS, 'skip_connect', 'sep_conv_5x5', 'dil_conv_5x5')
DARTS_LISTS = (
  ALL_HERE,
  ('none', *POOLS, 'skip_connect', 'dil_conv_5x5'),
  ALL_HERE,
  ('none', 'avg_pool_3x3', 'skip_connect', 'dil_conv_5x5'),
)
DARTS = Space(
  'darts',
  named(*ALL_HERE),
  graph=CellGraph(2, 2, output=(3,), edges=((0, 2), (0, 3), (1, 3), (2, 3))),
  candidates=tuple((kind, DARTS_LISTS) for kind in ('normal', 'reduce')),
)
SPACES_HERE = {
  'full': tiny_search.space_of('full', 'none', *THREE, 'noise', nodes=1),
  'nasbench201': SPACES['nasbench201'],
  # Kernels know none of its operations, each of which an edge lacks.
  'toy': dataclasses.replace(
    toys.TOY,
    candidates=(('only', (('half',), ('scale',), ('scale', 'half'))),),
  ),
  'darts': DARTS,
  'beside': tiny_search.space_of(
    'beside', 'noise', DILATED, 'conv_7x1_1x7', nodes=1
  ),
  'few': tiny_search.space_of('few', 'skip_connect', 'max_pool_3x3', DILATED),
  'pair': tiny_search.space_of('pair', 'max_pool_3x3', DILATED, nodes=1),
}
# The layout, and what it is traced for: the C++ kernels serve one CPU alone,
# those for GPU are interpreted.
WAYS = {
  'kernels': ('loop', Target('cpu')),
  'loop': ('loop', Target('cpu', devices=2)),
  'copies': ('copies', Target('cpu')),
  'lanes': ('lanes', Target('cpu')),
}
close = functools.partial(chex.assert_trees_all_close, rtol=1e-8, atol=1e-9)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def few_cells(space):
  """The space with as few cells as show how all of them run."""
  first, last = space.kinds[0], space.kinds[-1]

  def plan(layers, channels, imagenet):
    del layers, imagenet
    keeps = Part('cell0', first, channels)
    halves = Part('cell1', last, 2 * channels, reduction=True)
    # One that halves has edges of both strides.
    if space.name == 'darts':
      return (halves,)
    # Cells of NAS-Bench-201 never halve, and two cells take long to compile.
    return (keeps, halves) if space.name == 'toy' else (keeps,)

  skeleton = space.skeleton._replace(plan=plan)
  return dataclasses.replace(space, skeleton=skeleton)


@functools.cache
def network(name, parts):
  """The supernet of a space, its variables, and what it is given."""
  space = few_cells(SPACES_HERE[name])
  partial = partial_channels(parts) if parts else None
  model = Supernet(space, 2, 2 * (parts or 1), 3, partial=partial)
  numbers = np.random.default_rng(0)
  images = numbers.standard_normal((4, 9, 9, 1))
  mask = space.mask()
  for table in mask.values():
    # Some edges alone have the last operation, and one the one before.
    table[1:3, -1] = False
    if name == 'darts':
      table[:, -2] = np.arange(len(table)) == 2
  weights = {
    k: numbers.random(table.shape) * table for k, table in mask.items()
  }
  variables = tiny_search.random_variables(model, images, weights, mask)
  variables = jax.tree.map(np.float64, variables)
  # No copy's averages are another's.
  variables['batch_stats'] = jax.tree.map(
    lambda t: t + numbers.random(t.shape) / 5, variables['batch_stats']
  )
  return model, *jax.device_put((variables, images, weights, mask))


def loss_of(way, name, parts=0, train=True, **fields):
  """(weights, operation weights, mask) -> a loss, and what a pass leaves."""
  layout, target = WAYS[way]
  model, variables, images, _, _ = network(name, parts)
  model = model.clone(layout=layout, **fields)

  def loss(params, weights, mask):
    with traced_for(target):
      logits, changed = model.apply(
        variables | {'params': params},
        images,
        jax.tree.map(jnp.multiply, weights, mask),
        mask,
        train,
        KEY,
        mutable=['batch_stats'],
      )
    return (logits**2).sum(), (logits, changed)

  return loss


@functools.cache
def gradient(way, name, parts, train=True):
  """Of weights and operation weights; logits and running averages."""
  loss = loss_of(way, name, parts, train)
  return jax.jit(jax.grad(loss, (0, 1), has_aux=True))


@functools.cache
def gradients(way, name, parts):
  """The same, found."""
  _, variables, _, weights, mask = network(name, parts)
  program = gradient(way, name, parts)
  return jax.device_get(program(variables['params'], weights, mask))


@pytest.mark.parametrize(
  ('name', 'parts', 'way'),
  [
    ('full', 0, 'kernels'),
    ('nasbench201', 0, 'kernels'),
    ('darts', 2, 'kernels'),
    ('beside', 0, 'copies'),
    ('nasbench201', 0, 'copies'),
    ('toy', 0, 'copies'),
    ('darts', 2, 'copies'),
    ('nasbench201', 0, 'lanes'),
    ('toy', 0, 'lanes'),
    ('darts', 2, 'lanes'),
  ],
)
def test_layouts_agree(name, parts, way):
  (grads, (logits, moved)) = one = gradients(way, name, parts)
  assert np.isfinite(logits).all()
  assert any(np.abs(g).max() > 1e-3 for g in jax.tree.leaves(grads[1]))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10),
    one,
    gradients('loop', name, parts),
  )
  # Something has moved, and the comparison is not of nothing.
  before = network(name, parts)[1]['batch_stats']
  assert any(
    not np.array_equal(*pair)
    for pair in zip(jax.tree.leaves(before), jax.tree.leaves(moved))
  )


@pytest.mark.parametrize(
  ('name', 'parts', 'way'),
  [
    ('darts', 2, 'kernels'),
    ('nasbench201', 0, 'copies'),
  ],
)
def test_layouts_agree_in_evaluation(name, parts, way):
  """By running averages, which do not move, and by which there is no slope."""
  _, variables, _, weights, mask = network(name, parts)
  args = variables['params'], weights, mask
  got, want = (
    jax.device_get(gradient(w, name, parts, False)(*args))
    for w in (way, 'loop')
  )
  close(got, want)
  (_, slopes), (logits, moved) = got
  assert any(np.abs(g).max() > 1e-3 for g in jax.tree.leaves(slopes))
  chex.assert_trees_all_equal(moved['batch_stats'], variables['batch_stats'])
  trained = gradients('loop', name, parts)[1][0]
  assert np.abs(logits - trained).max() > 1e-3


@pytest.mark.parametrize('way', ['kernels', 'copies', 'lanes'])
def test_scores_of_a_candidate_agree(way):
  _, variables, _, weights, mask = network('darts', 2)
  # An operation on one edge alone, and another on all but one.
  other = jax.tree.map(np.array, mask)
  for table in other.values():
    table[:, -1] = np.arange(len(table)) == 2
    table[0, 1] = False
  got, want = (
    gradient(w, 'darts', 2)(variables['params'], weights, other)[1][0]
    for w in (way, 'loop')
  )
  np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10)
  assert np.abs(got - gradients(way, 'darts', 2)[1][0]).max() > 1e-4


@pytest.mark.parametrize('way', WAYS)
def test_copies_that_are_not_active_rest(way):
  """An edge's operation has gradients and averages of its own."""
  space = SPACES_HERE['darts']
  _, variables, _, _, mask = network('darts', 2)
  before = variables['batch_stats']['cell1']
  (params, weights), (_, moved) = gradients(way, 'darts', 2)
  after = moved['batch_stats']['cell1']
  mask_EK = np.asarray(mask['reduce'])
  # Those of 'none' too: what passes beside is weighted by the edge.
  np.testing.assert_array_equal(weights['reduce'] != 0, mask_EK)
  sources = np.array([source for source, _ in space.graph.edges])
  listed_EK = space.mask()['reduce']
  for operation, own_E, listed_E in zip(
    space.operations, mask_EK.T, listed_EK.T
  ):
    if operation.name not in before:
      continue
    pairs = zip(*(s[operation.name].values() for s in (before, after)))
    same = np.all([old == new for old, new in pairs], (0, 2, 3))
    if operation.shared(2):  # By source.
      own_E = np.array([own_E[sources == s].any() for s in range(len(same))])
    else:  # Identities have none.
      leaves = sources < space.graph.inputs
      own_E = own_E[listed_E & (leaves | (not operation.identity(1)))]
    np.testing.assert_array_equal(same, ~own_E, err_msg=operation.name)
    for leaf in params['cell1'].get(operation.name, {}).values():
      moves = np.any(leaf != 0, axis=tuple(range(1, leaf.ndim)))
      np.testing.assert_array_equal(moves, own_E, err_msg=operation.name)


@pytest.mark.parametrize(
  ('name', 'way'),
  [
    *(('full', 'kernels'), ('full', 'loop')),
    *(('nasbench201', 'copies'), ('nasbench201', 'lanes')),
  ],
)
def test_what_carries_nothing_has_no_slope(name, way):
  (_, weights), _ = gradients(way, name, 0)
  space, mask = SPACES_HERE[name], network(name, 0)[-1]
  kind = space.kinds[0]
  np.testing.assert_array_equal(
    weights[kind] != 0,
    np.asarray(mask[kind]) & [o.carries for o in space.operations],
  )


@pytest.mark.parametrize('way', ['kernels', 'lanes'])
def test_rematerialisation_keeps_less_and_computes_the_same(way):
  _, variables, _, weights, mask = network('few', 0)
  args = variables['params'], weights, mask
  plain, again = loss_of(way, 'few'), loss_of(way, 'few', remat=True)

  def kept(loss):
    # What the backward pass is a closure of.
    back = jax.eval_shape(
      lambda *args: jax.vjp(loss, *args, has_aux=True)[1], *args
    )
    return sum(leaf.size for leaf in jax.tree.leaves(back))

  assert kept(again) < (0.5 if way == 'lanes' else 1.0) * kept(plain)
  if way == 'lanes':
    return  # Interpreted kernels take long to compile.
  got = jax.jit(jax.grad(again, (0, 1), has_aux=True))(*args)
  close(got, gradients(way, 'few', 0))


@functools.cache
def products(way, name='few'):
  """(weights, operation weights, direction) -> derivatives along it.

  Those of the loss and of its gradient; of 'few', the gradient of the former.
  Of 'pair', those of the loss and of operation weights alone, which second
  order takes: interpreted kernels take long to compile.
  """
  whole, mask = loss_of(way, name), network(name, 0)[-1]

  def loss(*args):
    return whole(*args, mask)[0]

  @jax.jit
  def program(params, weights, along):
    def slope(*args):
      return jax.jvp(loss, args, along)[1]

    args = params, weights
    of = (0, 1) if name == 'few' else 1
    both = jax.value_and_grad(loss, of)
    slope_and_forward = jax.jvp(both, args, along)[1]
    if name != 'few':
      return slope_and_forward
    return *slope_and_forward, jax.grad(slope, (0, 1))(*args)

  return program


def direction(name='few'):
  _, variables, _, weights, _ = network(name, 0)
  args = variables['params'], weights
  along = jax.tree.map(lambda t: np.cos(3 * np.asarray(t) + 1), args)
  return *args, jax.device_put(along)


@pytest.mark.parametrize(
  ('way', 'name'),
  [('kernels', 'few'), ('loop', 'few'), ('copies', 'pair')],
)
def test_derivatives_of_both_orders_and_directions(way, name):
  slope, forward, *backward = products(way, name)(*direction(name))
  for hessian in backward:  # It is symmetric.
    close(hessian, forward)
  close((slope, forward), products('loop', name)(*direction(name))[:2])


def test_second_order_is_what_the_gradient_changes_by():
  params, weights, along = jax.device_get(direction())
  mask, step = network('few', 0)[-1], 1e-6
  ends = [
    gradient('loop', 'few', 0)(
      *jax.tree.map(lambda t, d, s=s: t + s * d, (params, weights), along), mask
    )
    for s in (step, -step)
  ]
  slope, forward, _ = products('loop')(params, weights, along)
  ends = jax.device_get(ends)
  grads = [grads for grads, _ in ends]
  change = jax.tree.map(lambda a, b: (a - b) / (2 * step), *grads)
  chex.assert_trees_all_close(forward, change, rtol=1e-4, atol=1e-4)
  losses = [(logits**2).sum() for _, (logits, _) in ends]
  change = (losses[0] - losses[1]) / (2 * step)
  np.testing.assert_allclose(slope, change, rtol=1e-6)
