"""The alpha step's gradient, and what a search's steps leave alone."""

import dataclasses
import functools
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from opp_darts_jax.genotypes.space import SearchSpace
from opp_darts_jax.methods.bilevel import Batch, Pass

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.methods import architecture, bilevel, progressive
from opp_darts_jax.running import search_programs
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.search_programs import SearchData
from opp_darts_jax.supernet.supernet import Supernet

RATE = 0.1
TRAIN, VAL = Batch(jnp.zeros(()), None), Batch(jnp.ones(()), None)
KEY = jax.random.key(0)
DEVICES = Devices()


def problem(curvature):
  """A small bilevel problem: (loss, state, A, b, velocity).

  L_train = |w - A alpha|^2 / 2 + curvature * sum((w A alpha)^2) / 2 and
  L_val = |w - b|^2 / 2; with curvature 0 the step has a closed form.
  """
  keys = jax.random.split(jax.random.key(1), 5)
  matrix = jax.random.normal(keys[0], (3, 4))
  target = jax.random.normal(keys[1], (3,))
  weights = {'w': jax.random.normal(keys[2], (3,))}
  alphas = {'normal': jax.random.normal(keys[3], (4,))}
  velocity = {'w': jax.random.normal(keys[4], (3,))}

  def loss(weights, alphas, batch, key):
    del key
    w, image = weights['w'], matrix @ alphas['normal']
    train = ((w - image) ** 2).sum() / 2
    train += curvature * ((w * image) ** 2).sum() / 2
    val = ((w - target) ** 2).sum() / 2
    value = jnp.where(batch.images == 0, train, val)
    return value, Pass({}, value)

  opt = bilevel.weight_optimizer(SearchConfig().weights).init(weights)
  opt = optax.tree.set(opt, trace=velocity)
  state = types.SimpleNamespace(
    weights=weights, alphas=alphas, batch_stats={}, weight_opt=opt
  )
  return loss, state, matrix, target, velocity


def alpha_gradient(order, loss, state):
  config = SearchConfig(order=order)
  grads = bilevel.alpha_gradient(loss, config, state, RATE, TRAIN, VAL, KEY)[0]
  return grads['normal']


def unrolled(loss, state, alphas):
  """L_val at the weights after a step, written as one function of alpha."""
  settings = SearchConfig().weights
  grad = jax.grad(loss, has_aux=True)(state.weights, alphas, TRAIN, KEY)[0]
  velocity = optax.tree.get(state.weight_opt, 'trace')
  moved = jax.tree.map(
    lambda w, v, g: (
      w - RATE * (settings.momentum * v + g + settings.weight_decay * w)
    ),
    state.weights,
    velocity,
    grad,
  )
  return loss(moved, alphas, VAL, KEY)[0]


@pytest.mark.parametrize('order', ['second', 'second_fd'])
def test_second_order_closed_form(order):
  loss, state, matrix, target, velocity = problem(curvature=0.0)
  settings = SearchConfig().weights
  w, alpha = state.weights['w'], state.alphas['normal']
  step = settings.momentum * velocity['w'] + settings.weight_decay * w
  moved = w - RATE * (step + w - matrix @ alpha)
  want = RATE * matrix.T @ (moved - target)
  got = alpha_gradient(order, loss, state)
  tolerance = 1e-5 if order == 'second' else 1e-3
  np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_second_order_is_the_gradient_of_the_unrolled_loss():
  loss, state, *_ = problem(curvature=0.5)
  value = functools.partial(unrolled, loss, state)
  got = alpha_gradient('second', loss, state)
  want = jax.grad(value)(state.alphas)['normal']
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
  step = 1e-2
  for i, direction in enumerate(np.eye(4, dtype=np.float32)):
    ends = [
      value({'normal': state.alphas['normal'] + sign * step * direction})
      for sign in (1, -1)
    ]
    difference = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(got[i], difference, rtol=1e-2, atol=1e-3)


def test_first_order_holds_the_weights():
  loss, state, *_ = problem(curvature=0.5)
  got = alpha_gradient('first', loss, state)
  np.testing.assert_array_equal(got, np.zeros(4))  # L_val has no alpha.


SPACE = SearchSpace(
  'test', ('none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3')
)
CONFIG = SearchConfig(space='s3', nodes=2, layers=2, channels=2, batch_size=4)


@pytest.fixture(scope='module')
def search():
  """The programs of a tiny search, its data, and its first state."""
  model = Supernet(SPACE, nodes=2, layers=2, channels=2, classes=3)
  keys = jax.random.split(jax.random.key(2), 2)
  data = SearchData(
    jax.random.randint(keys[0], (24, 8, 8, 1), 0, 256, jnp.uint8),
    jax.random.randint(keys[1], (24,), 0, 3),
    jnp.arange(12),
    jnp.arange(12, 24),
  )
  made = search_programs.make_programs(
    model,
    CONFIG,
    Augmentation((0.5,), (0.3,), crop_padding=1, flip=False),
    (8, 8, 1),
    jax.tree.map(jnp.asarray, SPACE.mask(2)),
    DEVICES,
  )
  return made, DEVICES.copy(data)


def masked(state, *operations):
  mask = jax.tree.map(jnp.asarray, SPACE.mask(2, operations))
  return state.replace(mask=DEVICES.copy(mask))


def zeros():
  return DEVICES.copy(bilevel.Metrics.zeros())


def test_inactive_operations_stay_to_the_bit(search):
  made, data = search
  before = masked(made.init(KEY), 'max_pool_3x3', 'sep_conv_3x3')
  copy = jax.tree.map(jnp.array, before)
  after, metrics = made.steps(copy, zeros(), data, KEY, 0.025, 3)
  assert int(after.step) == 3
  assert np.isfinite(metrics.train_loss)
  for cell in architecture.CELLS:
    same = after.alphas[cell] == before.alphas[cell]
    np.testing.assert_array_equal(same[:, [0, 2]], True)
    np.testing.assert_array_equal(same[:, [1, 3]], False)
  reduction = after.batch_stats['cell0']['skip_connect']
  chex.assert_trees_all_equal(
    reduction, before.batch_stats['cell0']['skip_connect']
  )


def test_stages_and_candidates_share_one_program(search):
  made, data = search
  state = masked(made.init(KEY), 'sep_conv_3x3')
  losses = [
    made.score(0.0, state, SPACE.mask(2, names), data, KEY, 0, 2)
    for names in (['sep_conv_3x3'], ['sep_conv_3x3', 'none'], ['max_pool_3x3'])
  ]
  assert len(set(map(float, losses))) == 3
  for names in (['sep_conv_3x3'], ['sep_conv_3x3', 'skip_connect']):
    state, _ = made.steps(
      masked(state, *names), zeros(), data, KEY, 0.02, len(names)
    )
  assert made.steps._cache_size() == 1
  assert made.score._cache_size() == 1


def test_step_is_traced_once_within_and_across_stages():
  model = Supernet(SPACE, nodes=1, layers=1, channels=2, classes=3)
  config = SearchConfig(space='s3', nodes=1, layers=1, channels=2)
  mask = jax.tree.map(jnp.asarray, SPACE.mask(1, ['skip_connect']))
  state = jax.eval_shape(
    lambda: bilevel.init_state(model, config, KEY, (8, 8, 1), mask)
  )
  batch = Batch(
    jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32),
    jax.ShapeDtypeStruct((2,), jnp.int32),
  )

  @jax.jit
  @chex.assert_max_traces(n=1)
  def step(*args):
    return bilevel.search_step(model, config, *args)

  chex.clear_trace_counter()
  for _ in range(3):
    out, _ = jax.eval_shape(step, state, 0.1, batch, batch, KEY)
  chex.assert_trees_all_equal_shapes_and_dtypes(out, state)


def test_one_loop_for_both_steps_is_one_after_the_other(search):
  made, data = search
  state = masked(made.init(KEY), 'sep_conv_3x3', 'skip_connect')
  model = Supernet(SPACE, nodes=2, layers=2, channels=2, classes=3)
  train, val = (
    Batch(data.images[rows] / jnp.float32(255), data.labels[rows])
    for rows in (data.train_rows[:4], data.val_rows[:4])
  )

  @jax.jit
  def looped(state):
    return bilevel.search_step(model, CONFIG, state, 0.1, train, val, KEY)

  @jax.jit
  def stepped(state):
    alpha_key, weight_key = jax.random.split(KEY)
    state, val_loss, _ = bilevel.alpha_step(
      model, CONFIG, state, 0.1, train, val, alpha_key
    )
    state, train_loss, _ = bilevel.weight_step(
      model, CONFIG, state, 0.1, train, weight_key
    )
    return state.replace(step=state.step + 1), (train_loss, val_loss)

  after, metrics = looped(state)
  expected, losses = stepped(state)
  close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)
  close((metrics.train_loss, metrics.val_loss), losses)
  close(after, expected)


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


def test_evaluation_uses_the_running_averages(search):
  made, data = search
  state = masked(made.init(KEY), 'sep_conv_3x3')
  found = made.evaluate(state, data)
  moved = jax.tree.map(lambda t: t + 1.0, state.batch_stats)
  other = made.evaluate(state.replace(batch_stats=moved), data)
  assert found.confusion.sum() == len(data.val_rows)
  assert abs(float(found.loss) - float(other.loss)) > 1e-4


def test_growth_keeps_old_leaves_and_adds_the_new_operation(search):
  made, _ = search
  config = SearchConfig(space='s3', nodes=2)
  space = SearchSpace('s3', ('none', 'skip_connect', 'sep_conv_3x3'))
  model = Supernet(space, nodes=2, layers=2, channels=2, classes=3)
  mask = jax.tree.map(jnp.asarray, space.mask(2))
  init = jax.jit(
    lambda key: bilevel.init_state(model, config, key, (8, 8, 1), mask)
  )
  old = progressive.without_operations(init(KEY), space)
  fresh = init(jax.random.key(5))
  new = progressive.grow(old, fresh, config, [], ['sep_conv_3x3'])
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
  for cell in architecture.CELLS:
    same = np.asarray(old.alphas[cell] == new.alphas[cell]).all(0)
    assert same.tolist() == [True, True, False]
    assert new.mask[cell].any(0).tolist() == [False, False, True]


def test_steps_do_not_depend_on_how_they_are_dispatched(search):
  made, data = search
  state = masked(made.init(KEY), 'sep_conv_3x3', 'max_pool_3x3')
  copy = jax.tree.map(jnp.array, state)
  at_once = made.steps(state, zeros(), data, KEY, 0.02, 3)
  first = made.steps(copy, zeros(), data, KEY, 0.02, 1)
  chex.assert_trees_all_equal(made.steps(*first, data, KEY, 0.02, 2), at_once)


@pytest.mark.parametrize('order', ['first', 'second', 'second_fd'])
def test_parts_are_a_mean_over_batches(order, quick_compilation):
  # Two parts of the same images have the batch's own statistics: a step in
  # parts is then the step itself.
  model = Supernet(SPACE, nodes=1, layers=1, channels=2, classes=3)
  config = SearchConfig(
    space='s3', nodes=1, layers=1, channels=2, order=order, batch_size=8
  )
  mask = jax.tree.map(jnp.asarray, SPACE.mask(1))
  state = bilevel.init_state(model, config, KEY, (8, 8, 1), mask)
  images = jax.random.normal(KEY, (2, 4, 8, 8, 1)).repeat(2, 1)
  labels = jnp.array([[0, 1, 2, 1], [2, 0, 1, 1]]).repeat(2, 1)
  train, val = (Batch(images[i], labels[i]) for i in (0, 1))

  def step(accumulate):
    own = dataclasses.replace(config, accumulate=accumulate)
    return jax.jit(
      lambda state: bilevel.search_step(model, own, state, 0.1, train, val, KEY)
    )(state)

  def moved(accumulate):
    state, metrics = step(accumulate)
    # Running variances are of unbiased estimates, which know the batch's size.
    return state.replace(batch_stats=None), metrics

  whole, parts = moved(1), moved(2)
  tolerance = 1e-3 if order == 'second_fd' else 1e-5
  chex.assert_trees_all_close(
    parts, whole, rtol=tolerance, atol=0.1 * tolerance
  )
  assert not np.allclose(whole[0].alphas['normal'], state.alphas['normal'])
