"""What every method keeps to under every schedule, and a user's own."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toy_network
import toys

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.methods.catalogue import METHODS, SCHEDULES
from opp_darts_jax.methods.method import Method
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
EVALUATIONS = {
  'accuracy': lambda state, tables=None, by_batch=False: 0.5,
  'curvature': lambda state: 1.0,
  'per_epoch': tiny_search.PER_EPOCH,
}
# What a method says counts in any network; this takes seconds to compile.
SUPERNETS = [('pc_darts', 's3')]

every_method = pytest.mark.parametrize('name', ALL)
# Those that keep nothing; schedules_test.py has the others.
every_schedule = pytest.mark.parametrize('schedule', ['plain', 'progressive'])
every_space = pytest.mark.parametrize('space_name', SPACES_HERE)


def scheduled(name, schedule):
  return SCHEDULES[schedule](ALL[name], ScheduleConfig())


def some_mask(space):
  """Of parametric operations alone, but on the first edge none at all."""
  names = [o.name for o in space.operations if o.parametric]
  mask = {kind: table.copy() for kind, table in space.mask(names).items()}
  for table in mask.values():
    table[0] = False
  return jax.device_put(mask)


@every_method
@pytest.mark.parametrize('space_name', ['s3', 'nasbench201'])
def test_weights_and_scores_are_of_active_operations(name, space_name):
  method, space = ALL[name], SPACES_HERE[space_name]
  params = method.init(jax.random.key(3), space)
  whole = tiny_search.mask_of(space)
  for kind, table in whole.items():
    assert params[kind].shape == table.shape
    assert params[kind].dtype == jnp.float32
  # Not compiled as a whole: methods share most of their operations' programs.
  for mask in (whole, some_mask(space)):
    weights = method.weights(space, params, mask, tiny_search.draw_of(STEP))
    scores = method.scores(space, params, mask)
    for tables, kind in itertools.product((weights, scores), space.kinds):
      table, active = np.asarray(tables[kind]), np.asarray(mask[kind])
      if tables is weights:
        # Of cells apart, and of operations beside those that are searched.
        assert table.ndim == 2 or len(table) == tiny_search.COPIES
        table = table[..., : active.shape[1]]
      assert table.shape[-2:] == active.shape
      assert np.isfinite(table).all()
      assert (table[..., ~active] == 0).all()
      sampled = tables is weights and method.sparse
      assert sampled or (table[..., active] > 0).all()
    trained = method.trained(params, mask)
    chex.assert_trees_all_equal_structs(trained, params)
    for leaf, of in zip(jax.tree.leaves(trained), jax.tree.leaves(params)):
      assert leaf.dtype == bool
      assert leaf.shape == of.shape


@every_method
@every_space
def test_what_it_derives_is_of_the_space(name, space_name):
  method, space = ALL[name], SPACES_HERE[space_name]
  _, state = toy_network.search_of(ALL[name], space=space)
  search = tiny_search.search_of(space, **EVALUATIONS)
  genotype = method.derive(method, search, state)
  space.check(genotype)
  assert genotype.kinds == space.kinds
  # Also where signal does not get everywhere yet.
  partly = state.replace(mask=some_mask(space))
  space.check(method.derive(method, search, partly))


@every_method
@every_schedule
def test_check_takes_published_settings(name, schedule):
  method = scheduled(name, schedule)
  # Long enough for selection after a search, too.
  method.check(SearchConfig(epochs=150), SPACES['darts'])
  assert method.summary
  assert name in method.name


@every_method
@every_schedule
@every_space
def test_first_epoch_lets_operations_in(name, schedule, space_name):
  # On shapes that look like a state: what enters must not depend on values.
  method, space = scheduled(name, schedule), SPACES_HERE[space_name]
  _, state = toy_network.search_of(ALL[name], space=space)
  state = jax.tree.map(np.zeros_like, state)
  fresh = jax.device_put(jax.tree.map(lambda leaf: leaf + 1, state))
  state = jax.device_put(state)
  search = tiny_search.search_of(
    space,
    SearchConfig(epochs=20),
    fresh=lambda key: fresh,
    score=lambda state, mask, key: 1.0,
    **EVALUATIONS,
  )
  change = method.begin_epoch(search, state, 0, [])
  assert change.stage.entered
  assert change.stop == (name == 'random_cells')
  chex.assert_trees_all_equal_shapes_and_dtypes(change.state, state)
  for kind, table in space.mask(change.stage.entered).items():
    np.testing.assert_array_equal(change.state.mask[kind], table)
    assert space.reachable(table)
  later = method.begin_epoch(search, change.state, 1, [change.stage])
  assert later.stage is None
  chex.assert_trees_all_equal(
    later.state.replace(own=None), change.state.replace(own=None)
  )


@every_method
@every_schedule
def test_a_schedule_leaves_the_steps_alone(name, schedule):
  own = ('name', 'check', 'begin_epoch', 'summary', 'schedule')
  fields, method = scheduled(name, schedule)._asdict(), ALL[name]
  if method.inside and schedule != 'plain':
    # It goes around what that judges.
    method = method.inside.rebuilt(
      lambda inner: SCHEDULES[schedule](inner, ScheduleConfig())
    )
  assert {k: v for k, v in fields.items() if k not in own} == {
    k: v for k, v in method._asdict().items() if k not in own
  }


@pytest.mark.parametrize(
  ('name', 'space_name', 'network'),
  [(name, 's3', 'toy') for name in ALL] + [(*s, 'supernet') for s in SUPERNETS],
)
def test_a_step_moves_what_is_active(name, space_name, network):
  space, step = SPACES_HERE[space_name], jnp.int32(STEP)
  entered = [o.name for o in space.operations if o.parametric]
  mask = tiny_search.mask_of(space, *entered)
  if network == 'toy':
    task, state = toy_network.search_of(
      ALL[name], space=space, epochs=2 * STEP, mask=mask
    )
  else:
    task = tiny_search.task_of(space, ALL[name], layers=1, epochs=2 * STEP)
    state = tiny_search.random_state(task, *entered)
  state = state.replace(step=step)
  after, metrics = toy_network.stepped(task, state)
  chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
  chex.assert_tree_all_finite(after)
  assert np.isfinite([metrics.train_loss, metrics.train_accuracy]).all()
  begun = task.method.trains_alphas
  rests = begun is not None and not begun(task.progress(step))
  assert np.isnan(metrics.val_loss) == (task.method.single_level or rests)
  assert after.step == STEP + 1
  chex.assert_trees_all_equal(after.mask, state.mask)
  trained = task.method.trained(state.alphas, state.mask)
  state, after = jax.device_get((state, after))
  for moves, old, new in zip(
    *map(jax.tree.leaves, (trained, state.alphas, after.alphas))
  ):
    np.testing.assert_array_equal(old != new, moves)
  for (path, old), new in zip(
    jax.tree_util.tree_leaves_with_path(state.weights),
    jax.tree.leaves(after.weights),
  ):
    of = path[1].key if len(path) > 1 else ''
    if of not in space.names or of in entered:
      assert not np.array_equal(old, new), path
