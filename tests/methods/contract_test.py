"""What every method keeps to under every schedule, and a user's own."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toys

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.methods.catalogue import METHODS, SCHEDULES
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.steps import search_step
from opp_darts_jax.spaces.catalogue import SPACES

SPACES_HERE = {
  's3': SPACES['s3'].with_nodes(1),
  'nasbench201': SPACES['nasbench201'],
  'toy': toys.TOY,
}


def sigmoid_weights(space, params, mask):
  """Independent of each other, scaled by a parameter that all share."""
  return {
    kind: jnp.where(
      mask[kind], jax.nn.sigmoid(params[kind] * params['scale']), 0.0
    )
    for kind in space.kinds
  }


TOY = Method(
  'toy',
  lambda key, space: {
    'scale': jnp.ones(()),
    **{
      kind: jax.random.normal(key, table.shape)
      for kind, table in space.mask().items()
    },
  },
  lambda space, params, mask, draw: sigmoid_weights(space, params, mask),
  sigmoid_weights,
  trained=lambda params, mask: {**mask, 'scale': jnp.ones((), bool)},
)
ALL = {name: make() for name, make in METHODS.items()} | {'toy': TOY}
# Of those that rest at first, what a search has after it.
STEP = 1000

every_method = pytest.mark.parametrize('name', ALL)
every_schedule = pytest.mark.parametrize('schedule', SCHEDULES)
every_space = pytest.mark.parametrize('space_name', SPACES_HERE)


def scheduled(name, schedule):
  return SCHEDULES[schedule](ALL[name], ScheduleConfig())


def some_mask(space):
  """Of parametric operations alone, but on the first edge none at all."""
  names = [o.name for o in space.operations if o.parametric]
  mask = tiny_search.mask_of(space, *names)
  return {kind: table.at[0].set(False) for kind, table in mask.items()}


@every_method
@every_schedule
@every_space
def test_weights_and_scores_are_of_active_operations(
  name, schedule, space_name
):
  method, space = scheduled(name, schedule), SPACES_HERE[space_name]
  params = method.init(jax.random.key(3), space)
  whole = tiny_search.mask_of(space)
  for kind, table in whole.items():
    assert params[kind].shape == table.shape
    assert params[kind].dtype == jnp.float32
  for mask in (whole, some_mask(space)):
    weights = method.weights(space, params, mask, tiny_search.draw_of(STEP))
    scores = method.scores(space, params, mask)
    for tables, kind in itertools.product((weights, scores), space.kinds):
      table, active = np.asarray(tables[kind]), np.asarray(mask[kind])
      assert table.shape == active.shape
      assert np.isfinite(table).all()
      assert (table[~active] == 0).all()
      assert (table[active] > 0).all()
    trained = method.trained(params, mask)
    chex.assert_trees_all_equal_structs(trained, params)
    for leaf, of in zip(jax.tree.leaves(trained), jax.tree.leaves(params)):
      assert leaf.dtype == bool
      assert leaf.shape == of.shape


@every_method
@every_schedule
@every_space
def test_what_it_derives_is_of_the_space(name, schedule, space_name):
  method, space = scheduled(name, schedule), SPACES_HERE[space_name]
  state = tiny_search.shapes_of(task_of(name, space_name)).replace(
    alphas=method.init(jax.random.key(3), space),
    mask=tiny_search.mask_of(space),
  )
  genotype = method.derive(method, tiny_search.search_of(space), state)
  space.check(genotype)
  assert genotype.kinds == space.kinds
  # Also where signal does not get everywhere yet.
  partly = state.replace(mask=some_mask(space))
  space.check(method.derive(method, tiny_search.search_of(space), partly))


@every_method
@every_schedule
def test_check_takes_published_settings(name, schedule):
  method = scheduled(name, schedule)
  method.check(SearchConfig(), SPACES['darts'])
  assert method.summary
  assert name in method.name


@every_method
@every_schedule
@every_space
def test_first_epoch_lets_operations_in(name, schedule, space_name):
  # On shapes that look like a state: what enters must not depend on values.
  method, space = scheduled(name, schedule), SPACES_HERE[space_name]
  shapes = tiny_search.shapes_of(task_of(name, space_name))
  state = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  fresh = jax.tree.map(lambda leaf: leaf + 1, state)
  search = tiny_search.search_of(
    space,
    SearchConfig(epochs=20),
    fresh=lambda key: fresh,
    score=lambda state, mask, key: 1.0,
  )
  change = method.begin_epoch(search, state, 0, [])
  assert change.stage.entered
  assert not change.stop
  chex.assert_trees_all_equal_shapes_and_dtypes(change.state, state)
  for kind, table in space.mask(change.stage.entered).items():
    np.testing.assert_array_equal(change.state.mask[kind], table)
    assert space.reachable(table)
  later = method.begin_epoch(search, change.state, 1, [change.stage])
  assert later.stage is None
  assert later.state is change.state


@functools.cache
def task_of(name, space_name):
  """A task, whatever the schedule: it does not change what a step does."""
  space = SPACES_HERE[space_name]
  return tiny_search.task_of(space, ALL[name], layers=1, epochs=2 * STEP)


@every_method
@every_schedule
def test_a_schedule_leaves_the_steps_alone(name, schedule):
  own = ('name', 'check', 'begin_epoch', 'summary')
  fields = scheduled(name, schedule)._asdict()
  assert {k: v for k, v in fields.items() if k not in own} == {
    k: v for k, v in ALL[name]._asdict().items() if k not in own
  }


@pytest.mark.parametrize(
  ('name', 'space_name'),
  [*((name, 's3') for name in ALL), *((n, 'nasbench201') for n in METHODS)],
)
def test_a_step_moves_what_is_active(name, space_name):
  task = task_of(name, space_name)
  space = task.space
  entered = [o.name for o in space.operations if o.parametric]
  state = tiny_search.random_state(task, *entered).replace(step=jnp.int32(STEP))
  args = 0.1, *tiny_search.batches(), tiny_search.KEY
  after, metrics = jax.jit(lambda state: search_step(task, state, *args))(state)
  chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
  chex.assert_tree_all_finite(after)
  assert all(np.isfinite(value) for value in metrics)
  assert after.step == STEP + 1
  chex.assert_trees_all_equal(after.mask, state.mask)
  trained = task.method.trained(state.alphas, state.mask)
  for moves, old, new in zip(
    *map(jax.tree.leaves, (trained, state.alphas, after.alphas))
  ):
    np.testing.assert_array_equal(np.asarray(old != new), moves)
  for (path, old), new in zip(
    jax.tree_util.tree_leaves_with_path(state.weights),
    jax.tree.leaves(after.weights),
  ):
    of = path[1].key if len(path) > 1 else ''
    if of not in space.names or of in entered:
      assert not np.array_equal(old, new), path
