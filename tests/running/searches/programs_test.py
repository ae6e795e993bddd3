"""Tests of the programs of a search: one of each serves all of its stages."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toy_network
import toy_supernet
from jax.flatten_util import ravel_pytree

from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.methods import growth
from opp_darts_jax.methods.curvature import largest_eigenvalue
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.loss import make_loss
from opp_darts_jax.methods.method import no_term
from opp_darts_jax.methods.state import Batch, Metrics
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.searches.programs import SearchData, make_programs

KEY = tiny_search.KEY
DEVICES = Devices()
SPACE = tiny_search.space_of(
  'test', 'none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3', nodes=1
)
TASK = tiny_search.task_of(SPACE, channels=2)
TOY = dataclasses.replace(TASK, model=toy_supernet.network(SPACE))
AUGMENTATION = Augmentation((0.5,), (0.3,), crop_padding=1, flip=False)


@pytest.fixture(scope='module')
def data():
  keys = jax.random.split(jax.random.key(2), 2)
  data = SearchData(
    jax.random.randint(keys[0], (24, 8, 8, 1), 0, 256, jnp.uint8),
    jax.random.randint(keys[1], (24,), 0, 3),
    jnp.arange(12),
    jnp.arange(12, 24),
  )
  return DEVICES.copy(data)


def programs_of(task):
  return make_programs(task, AUGMENTATION, (8, 8, 1), DEVICES)


@pytest.fixture(scope='module')
def search(data):
  """The programs of a tiny search, and its data."""
  return programs_of(TASK), data


@pytest.fixture(scope='module')
def toy_search(data):
  """Those of a toy: its running averages are of one layer."""
  return programs_of(TOY), data


def masked(state, *operations):
  mask = tiny_search.mask_of(SPACE, *operations)
  return state.replace(mask=DEVICES.copy(mask))


def zeros():
  return DEVICES.copy(Metrics.zeros())


def test_inactive_operations_stay_to_the_bit(search):
  made, data = search
  before = masked(made.init(KEY), 'max_pool_3x3', 'sep_conv_3x3')
  copy = jax.tree.map(jnp.array, before)
  after, metrics = made.steps(copy, zeros(), data, KEY, 0.025, 3)
  assert int(after.step) == 3
  assert np.isfinite(metrics.train_loss)
  for kind in SPACE.kinds:
    same = after.alphas[kind] == before.alphas[kind]
    np.testing.assert_array_equal(same[:, [0, 2]], True)
    np.testing.assert_array_equal(same[:, [1, 3]], False)
  reduction = after.batch_stats['cell0']['skip_connect']
  chex.assert_trees_all_equal(
    reduction, before.batch_stats['cell0']['skip_connect']
  )


def test_an_operation_may_be_active_on_one_edge_alone(search):
  made, data = search
  names = ('max_pool_3x3', 'skip_connect', 'sep_conv_3x3')
  state = masked(made.init(KEY), *names)
  column, edge = SPACE.names.index('sep_conv_3x3'), 1
  mask = {
    kind: m.at[:, column].set(False).at[edge, column].set(True)
    for kind, m in state.mask.items()
  }
  before = state.replace(mask=DEVICES.copy(mask))
  copy = jax.tree.map(jnp.array, before)
  after, _ = made.steps(copy, zeros(), data, KEY, 0.025, 3)
  for kind in SPACE.kinds:
    same = after.alphas[kind] == before.alphas[kind]
    np.testing.assert_array_equal(same, ~mask[kind])
  averages = (s.batch_stats['cell0']['sep_conv_3x3'] for s in (before, after))
  for old, new in zip(*map(jax.tree.leaves, averages)):
    moved = np.any(old != new, axis=(1, 2))
    assert np.flatnonzero(moved).tolist() == [edge]
  # However large they are, other edges' alphas of it do not count.
  alphas = {k: a.at[:, column].set(9.0) for k, a in after.alphas.items()}
  found = TASK.method.derive(
    TASK.method, tiny_search.search_of(SPACE), after.replace(alphas=alphas)
  )
  for cell in found.cells:
    chosen = [e for e in cell.edges if e.operation == 'sep_conv_3x3']
    assert {(e.source, e.node) for e in chosen} == {SPACE.graph.edges[edge]}


def test_stages_and_candidates_share_one_program(search):
  made, data = search
  state = masked(made.init(KEY), 'sep_conv_3x3')
  losses = [
    made.score(0.0, state, SPACE.mask(names), data, KEY, 0, 2)
    for names in (['sep_conv_3x3'], ['sep_conv_3x3', 'none'], ['max_pool_3x3'])
  ]
  assert len(set(map(float, losses))) == 3
  for names in (['sep_conv_3x3'], ['sep_conv_3x3', 'skip_connect']):
    state, _ = made.steps(
      masked(state, *names), zeros(), data, KEY, 0.02, len(names)
    )
  assert made.steps._cache_size() == 1
  assert made.score._cache_size() == 1


def test_scoring_disturbs_nothing(search):
  made, data = search
  state = masked(made.init(KEY), 'sep_conv_3x3')
  before = jax.tree.map(np.array, state)
  first = made.score(0.0, state, state.mask, data, KEY, 0, 3)
  assert made.score(0.0, state, state.mask, data, KEY, 0, 3) == first
  # In pieces it is the same to the bit: a run may be stopped between them.
  piece = made.score(0.0, state, state.mask, data, KEY, 0, 1)
  assert made.score(piece, state, state.mask, data, KEY, 1, 2) == first
  chex.assert_trees_all_equal(jax.tree.map(np.array, state), before)


def test_evaluation_uses_the_running_averages(toy_search):
  made, data = toy_search
  state = masked(made.init(KEY), 'sep_conv_3x3')
  found = made.evaluate(state, data)
  moved = jax.tree.map(lambda t: t + 1.0, state.batch_stats)
  other = made.evaluate(state.replace(batch_stats=moved), data)
  assert found.confusion.sum() == len(data.val_rows)
  assert abs(float(found.loss) - float(other.loss)) > 1e-4


@pytest.mark.parametrize('size', [5, 32])
def test_evaluation_does_not_depend_on_its_batch_size(toy_search, size):
  made, data = toy_search
  config = dataclasses.replace(TOY.config, eval_batch_size=size)
  other = programs_of(dataclasses.replace(TOY, config=config))
  state = masked(made.init(KEY), 'sep_conv_3x3', 'max_pool_3x3')
  by_fours, found = (m.evaluate(state, data) for m in (made, other))
  np.testing.assert_allclose(found.loss, by_fours.loss, rtol=1e-5)
  np.testing.assert_array_equal(found.confusion, by_fours.confusion)
  assert found.accuracy == by_fours.accuracy


def test_evaluation_takes_other_operation_weights(toy_search):
  made, data = toy_search
  state = masked(made.init(KEY), 'sep_conv_3x3')
  own = TOY.tables(state.alphas, state.mask, tiny_search.draw_of())
  found = made.evaluate(state, data)
  same = made.evaluate(state, data, own)
  np.testing.assert_allclose(same.loss, found.loss, rtol=1e-6)
  none = made.evaluate(state, data, jax.tree.map(jnp.zeros_like, own))
  assert abs(float(none.loss) - float(found.loss)) > 1e-4


def test_evaluation_by_batches_is_of_whole_ones_and_of_no_averages(toy_search):
  made, data = toy_search
  state = masked(made.init(KEY), 'sep_conv_3x3')
  more = data._replace(val_rows=jnp.arange(10, 24))  # Three batches of four.
  found = made.evaluate_batches(state, more)
  assert found.confusion.sum() == 12
  moved = jax.tree.map(lambda t: t + 1.0, state.batch_stats)
  same = made.evaluate_batches(state.replace(batch_stats=moved), more)
  assert same.loss == found.loss
  np.testing.assert_allclose(found.accuracy, found.confusion.trace() / 12)


@pytest.mark.parametrize('active', [(), ('skip_connect',)])
def test_eigenvalue_is_that_of_the_exact_hessian(search, active):
  _, data = search
  # Alphas of about 1: the Hessian of nearly equal ones is nearly none.
  method = darts()._replace(
    init=lambda key, space: jax.tree.map(
      lambda a: 1e3 * a, darts().init(key, space)
    ),
    # None in the first epoch, which is done.
    val_term=lambda space, params, mask, draw: (
      draw.progress.epoch * sum((params[kind] ** 2).sum() for kind in mask)
    ),
  )
  mask = tiny_search.mask_of(toy_network.SPACE, *active)
  task, state = toy_network.search_of(method, mask=mask)
  state = state.replace(step=jnp.int32(task.per_epoch))
  task = dataclasses.replace(
    task, config=dataclasses.replace(task.config, batch_size=12)
  )
  made = make_programs(
    task, Augmentation((0.5,), (0.3,), 0, False), (8, 8, 1), DEVICES
  )
  flat, unravel = ravel_pytree(state.alphas)
  trained = np.flatnonzero(ravel_pytree(mask)[0])
  # One batch is all of D_val, whatever the step.
  rows = data.val_rows
  images = (data.images[rows] / 255 - 0.5) / 0.3
  batch = Batch(images, data.labels[rows])
  loss = make_loss(task, state, no_term)

  @jax.jit
  def hessian(flat):
    return jax.hessian(
      lambda f: loss(state.weights, unravel(f), batch, KEY)[0]
    )(flat)

  exact = np.asarray(hessian(flat))[np.ix_(trained, trained)]
  decay = task.config.alphas.weight_decay
  want = np.linalg.eigvalsh(exact)[-1] + decay
  found = largest_eigenvalue(*made.curvature(state, data))
  np.testing.assert_allclose(found, want, rtol=1e-3)
  # Of one operation an edge nothing is left but decay.
  assert want == pytest.approx(decay) if active else want > 0.01


def test_growth_keeps_old_leaves_and_adds_the_new_operation(search):
  made, _ = search
  old = growth.without_operations(made.init(KEY), SPACE)
  fresh = made.init(jax.random.key(5))
  new = growth.grow(
    old, fresh, tiny_search.search_of(SPACE), [], ['sep_conv_3x3']
  )
  changed = {
    jax.tree_util.keystr(path, simple=True, separator='/')
    for (path, a), b in zip(
      jax.tree_util.tree_leaves_with_path(old.weights),
      jax.tree.leaves(new.weights),
    )
    if not np.array_equal(a, b)
  }
  assert changed == {
    f'cell{i}/sep_conv_3x3/{leaf}'
    for i in range(2)
    for leaf in ('depthwise', 'pointwise')
  }
  for kind in SPACE.kinds:
    same = np.asarray(old.alphas[kind] == new.alphas[kind]).all(0)
    assert same.tolist() == [True, True, True, False]
    assert new.mask[kind].any(0).tolist() == [False, False, False, True]


def test_steps_do_not_depend_on_how_they_are_dispatched(search):
  made, data = search
  state = masked(made.init(KEY), 'sep_conv_3x3', 'max_pool_3x3')
  copy = jax.tree.map(jnp.array, state)
  at_once = made.steps(state, zeros(), data, KEY, 0.02, 3)
  first = made.steps(copy, zeros(), data, KEY, 0.02, 1)
  chex.assert_trees_all_equal(made.steps(*first, data, KEY, 0.02, 2), at_once)
