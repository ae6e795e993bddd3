"""Every function of a method's record does what the record says.

The methods are toys, as a user would write them; so is the network, of a few
products of matrices, so that gradients are known and nothing takes long.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
from toy_network import (
  KEY,
  SPACE,
  TRAIN,
  VAL,
  alpha_gradient,
  search_of,
  stepped,
  weight_gradient,
)

from opp_darts_jax.config import ScheduleConfig
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.growth import all_enter
from opp_darts_jax.methods.loss import table_loss
from opp_darts_jax.methods.progressive import progressive
from opp_darts_jax.methods.stages import Change, Stage
from opp_darts_jax.methods.tables import softmax_weights
from opp_darts_jax.operations.catalogue import OPERATIONS
from opp_darts_jax.spaces.space import Space

# What XLA would optimise is smaller than what it would take.
both_orders = pytest.mark.parametrize('order', ['first', 'second'])


def cross_entropy(task, state, weights, tables, batch):
  loss = table_loss(task, state.batch_stats, state.mask)
  return loss(weights, tables, batch, KEY)[0]


def gradient_of(loss, argnums=0):
  """`jax.value_and_grad`, compiled as a whole."""

  def call(weights, tables, batch):
    program = jax.jit(jax.value_and_grad(loss, argnums))
    return program(weights, tables, batch)

  return call


def tables_of(alphas, mask):
  return softmax_weights(SPACE, alphas, mask)


close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-6)


@both_orders
def test_a_term_of_the_validation_loss_adds_its_gradient(order):
  def term(space, params, mask, draw):
    assert space is SPACE
    return 3.0 * sum((params[kind] ** 2).sum() for kind in mask)

  plain, with_term = (
    (task, state.replace(alphas=larger(KEY, SPACE)))
    for task, state in (
      search_of(darts()._replace(**fields), order)
      for fields in ({}, {'val_term': term})
    )
  )
  (one, one_metrics), (other, other_metrics) = (
    stepped(*given) for given in (plain, with_term)
  )
  difference = jax.tree.map(
    jnp.subtract,
    alpha_gradient(*with_term, other),
    alpha_gradient(*plain, one),
  )
  close(difference, jax.tree.map(lambda a: 6.0 * a, plain[1].alphas), atol=1e-5)
  # Metrics are of the cross entropy alone.
  close(other_metrics.val_loss, one_metrics.val_loss)


def larger(key, space):
  """Alphas that are not nearly 0."""
  return jax.tree.map(lambda a: 1e3 * a, darts().init(key, space))


@both_orders
def test_a_term_of_the_training_loss_leaves_a_bilevel_step_alone(order):
  def term(space, params, mask, draw):
    del space, draw
    return 5.0 * sum(params[kind].sum() for kind in mask)

  one, other = (
    stepped(*search_of(darts()._replace(**fields), order))[0]
    for fields in ({}, {'train_term': term})
  )
  close(one, other)


def test_first_order_takes_the_gradient_at_the_weights_as_they_are():
  task, state = search_of(darts())
  after, metrics = stepped(task, state)

  def loss(alphas):
    tables = tables_of(alphas, state.mask)
    return cross_entropy(task, state, state.weights, tables, VAL)

  value, grads = jax.jit(jax.value_and_grad(loss))(state.alphas)
  close(alpha_gradient(task, state, after), grads)
  close(metrics.val_loss, value)
  tables = tables_of(after.alphas, state.mask)
  train_loss = functools.partial(cross_entropy, task, state)
  value, grads = gradient_of(train_loss)(state.weights, tables, TRAIN)
  close(weight_gradient(state, after), grads)
  close(metrics.train_loss, value)


def test_every_cell_of_a_kind_may_have_its_own_tables():
  copies = 3

  def weights(space, alphas, mask, draw):
    del draw
    return {
      kind: jnp.stack([table] * copies)
      for kind, table in softmax_weights(space, alphas, mask).items()
    }

  task, state = search_of(darts()._replace(weights=weights))
  after, metrics = stepped(task, state)
  chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
  assert np.isfinite(metrics.val_loss)

  def loss(alphas):
    tables = jax.tree.map(
      lambda t: jnp.stack([t] * copies), tables_of(alphas, state.mask)
    )
    return cross_entropy(task, state, state.weights, tables, VAL)

  grads = jax.jit(jax.grad(loss))(state.alphas)
  close(alpha_gradient(task, state, after), grads)


def perturb(tables):
  return jax.tree.map(
    lambda t: t + 0.2 * jax.random.uniform(KEY, t.shape), tables
  )


def test_weights_may_move_by_the_gradient_at_perturbed_tables():
  def gradient(gradients, tables, own, draw):
    assert draw.progress.epochs == 4
    found, grads = gradients.weights(perturb(tables))
    return found, grads, own

  plain = stepped(*search_of(darts()))[0]
  task, state = search_of(darts()._replace(weight_gradient=gradient))
  after, metrics = stepped(task, state)
  close(after.alphas, plain.alphas, rtol=1e-6)
  tables = perturb(tables_of(after.alphas, state.mask))
  loss = functools.partial(cross_entropy, task, state)
  value, grads = gradient_of(loss)(state.weights, tables, TRAIN)
  close(weight_gradient(state, after), grads)
  close(metrics.train_loss, value)


def test_gradients_that_a_weight_step_may_ask_for():
  def gradient(gradients, tables, own, draw):
    del own, draw
    found, grads = gradients.weights(tables)
    kept = {
      'tables': gradients.tables(perturb(tables)),
      'validation': gradients.validation(perturb(tables)),
      'evaluated': gradients.evaluated(perturb(tables)),
    }
    return found, jax.tree.map(jnp.add, grads, kept['validation']), kept

  method = darts()._replace(weight_gradient=gradient)
  task, state = search_of(method)
  state = state.replace(
    own={
      'tables': jax.tree.map(jnp.zeros_like, state.alphas),
      'validation': jax.tree.map(jnp.zeros_like, state.weights),
      'evaluated': (
        jnp.zeros(()),
        jax.tree.map(jnp.zeros_like, state.alphas),
      ),
    }
  )
  after, _ = stepped(task, state)
  tables = tables_of(after.alphas, state.mask)
  perturbed = perturb(tables)
  # What the alpha step has left: the averages decide nothing in training mode.
  loss = functools.partial(cross_entropy, task, state)
  _, by_tables = gradient_of(loss, 1)(state.weights, perturbed, TRAIN)
  _, by_weights = gradient_of(loss)(state.weights, perturbed, VAL)
  in_training = table_loss(task, state.batch_stats, state.mask)
  before = tables_of(state.alphas, state.mask)
  moved = in_training(state.weights, before, VAL, KEY)[1].batch_stats

  def by_averages(weights, tables, batch):
    loss = table_loss(task, moved, state.mask, train=False)
    return loss(weights, tables, batch, KEY)[0]

  close(
    after.own,
    {
      'tables': by_tables,
      'validation': by_weights,
      'evaluated': gradient_of(by_averages, 1)(state.weights, perturbed, TRAIN),
    },
  )
  _, plain = gradient_of(loss)(state.weights, tables, TRAIN)
  both = jax.tree.map(jnp.add, by_weights, plain)
  close(weight_gradient(state, after), both)
  chex.assert_trees_all_equal_shapes_and_dtypes(after, state)


@both_orders
def test_weights_that_may_not_move_stay_to_the_bit(order):
  def moves(own, weights):
    def may(path, leaf):
      frozen = path[1].key == 'sep_conv_3x3' if len(path) > 1 else False
      return jnp.full(leaf.shape, True) & ~(frozen & own['frozen'])

    return jax.tree_util.tree_map_with_path(may, weights)

  method = darts()._replace(
    moves=moves, init_own=lambda space, weights: {'frozen': jnp.array(True)}
  )
  task, state = search_of(method, order)
  # Momentum would move them, too.
  state = state.replace(
    weight_opt=jax.tree.map(lambda m: m + 1, state.weight_opt)
  )
  after = stepped(task, stepped(task, state)[0])[0]
  for name in SPACE.names:
    old, new = (s.weights['cell0'][name]['kernel'] for s in (state, after))
    same = np.asarray(old == new)
    assert same.all() if name == 'sep_conv_3x3' else not same.any()
  assert not (after.weights['head'] == state.weights['head']).any()
  thawed = state.replace(own={'frozen': jnp.array(False)})
  after = stepped(task, thawed)[0]
  assert not np.array_equal(
    after.weights['cell0']['sep_conv_3x3']['kernel'],
    state.weights['cell0']['sep_conv_3x3']['kernel'],
  )


@both_orders
@pytest.mark.parametrize('fields', [{}, {'weights_first': True}], ids=str)
def test_alphas_rest_while_they_are_not_trained(order, fields):
  method = darts()._replace(
    trains_alphas=lambda progress: progress.epoch >= 1, **fields
  )
  task, state = search_of(method, order)
  for number in range(3):  # Two steps are an epoch.
    after, metrics = stepped(task, state)
    rests = number < 2
    for kind in SPACE.kinds:
      same = np.asarray(after.alphas[kind] == state.alphas[kind])
      assert same.all() if rests else not same.any()
    assert np.isnan(metrics.val_loss) == np.isnan(metrics.val_accuracy) == rests
    assert np.isfinite(metrics.train_loss)
    assert not np.array_equal(after.weights['head'], state.weights['head'])
    if rests:
      chex.assert_trees_all_equal(after.alpha_opt, state.alpha_opt)
    state = after


@both_orders
def test_weights_may_move_first(order):
  task, state = search_of(darts()._replace(weights_first=True), order)
  after, metrics = stepped(task, state)
  tables = tables_of(state.alphas, state.mask)
  loss = functools.partial(cross_entropy, task, state)
  _, grads = gradient_of(loss)(state.weights, tables, TRAIN)
  close(weight_gradient(state, after), grads)
  if order == 'first':
    value = loss(after.weights, tables, VAL)
    close(metrics.val_loss, value)
    assert abs(value - loss(state.weights, tables, VAL)) > 1e-4


def test_both_may_move_at_once_by_the_training_loss():
  def term(space, params, mask, draw):
    del space, draw
    return 5.0 * sum((params[kind] ** 2).sum() for kind in mask)

  method = darts()._replace(init=larger, single_level=True, train_term=term)
  task, state = search_of(method)
  after, metrics = stepped(task, state)

  def loss(weights, alphas):
    tables = tables_of(alphas, state.mask)
    return cross_entropy(task, state, weights, tables, TRAIN)

  gradient = jax.jit(jax.grad(loss, (0, 1)))
  of_weights, of_alphas = gradient(state.weights, state.alphas)
  close(weight_gradient(state, after), of_weights)
  want = jax.tree.map(lambda g, a: g + 10.0 * a, of_alphas, state.alphas)
  close(alpha_gradient(task, state, after), want, atol=1e-5)
  assert np.isnan(metrics.val_loss)
  assert np.isnan(metrics.val_accuracy)


def test_alphas_may_rest_in_a_step_of_one_level():
  method = darts()._replace(
    single_level=True, trains_alphas=lambda progress: progress.epoch >= 1
  )
  task, state = search_of(method)
  rested, _ = stepped(task, state)
  chex.assert_trees_all_equal(rested.alphas, state.alphas)
  chex.assert_trees_all_equal(rested.alpha_opt, state.alpha_opt)
  later = state.replace(step=jnp.int32(2))
  assert not np.array_equal(
    stepped(task, later)[0].alphas['normal'], state.alphas['normal']
  )


AUXILIARY = OPERATIONS['skip_connect']._replace(name='auxiliary')


def with_auxiliary():
  """A skip connection beside the operations, on every edge (as in DARTS-)."""

  def prepare(space):
    return Space(
      space.name, (*space.operations, AUXILIARY), space.graph, space.kinds
    )

  def weights(space, alphas, mask, draw):
    beside = 1 - draw.progress.step / 10
    return {
      kind: jnp.pad(table, ((0, 0), (0, 1)), constant_values=beside)
      for kind, table in softmax_weights(space, alphas, mask).items()
    }

  return darts()._replace(prepare=prepare, weights=weights)


def test_a_supernet_may_have_more_than_is_searched():
  task = tiny_search.task_of(SPACE, with_auxiliary(), layers=1)
  state = tiny_search.random_state(task, 'sep_conv_3x3')
  assert state.mask['normal'].shape == state.alphas['normal'].shape == (2, 2)
  assert state.weights['cell0']['auxiliary']['pointwise'].shape[0] == 2
  whole = task.supernet_mask(state.mask)['reduce']
  np.testing.assert_array_equal(whole, [[False, True, True]] * 2)

  @jax.jit
  def loss_and_gradient(step):
    tables = task.tables(state.alphas, state.mask, tiny_search.draw_of(step))
    loss = table_loss(task, state.batch_stats, state.mask)
    return jax.value_and_grad(lambda w: loss(w, tables, TRAIN, KEY)[0])(
      state.weights
    )

  (first, grads), (last, no_grads) = map(loss_and_gradient, (0, 10))
  assert abs(first - last) > 1e-4
  assert np.abs(grads['cell0']['auxiliary']['pointwise']).max() > 1e-6
  assert not no_grads['cell0']['auxiliary']['pointwise'].any()
  assert not grads['cell0']['skip_connect']['pointwise'].any()
  genotype = task.method.derive(
    task.method, tiny_search.search_of(SPACE), state
  )
  assert 'auxiliary' not in genotype.operations


def stopping(at):
  """Ends a search before an epoch, and marks the state of every epoch."""

  def begin_epoch(search, state, epoch, stages):
    change = all_enter(search, state, epoch, stages)
    marked = change.state.replace(own={'epoch': epoch})
    return change._replace(state=marked, stop=epoch == at)

  return darts()._replace(begin_epoch=begin_epoch)


@pytest.mark.parametrize('wrapped', [False, True])
def test_an_epoch_may_not_begin(wrapped):
  method = stopping(at=3)
  if wrapped:
    method = progressive(method, ScheduleConfig(selection='random'))
  task, state = search_of(method)
  state = state.replace(mask=jax.tree.map(jnp.zeros_like, state.mask))
  search = tiny_search.search_of(SPACE, task.config, fresh=lambda key: state)
  stages, entered = [], []
  for epoch in range(4):
    state, stage, stop, _ = method.begin_epoch(search, state, epoch, stages)
    assert stop == (epoch == 3)
    assert state.own == {'epoch': epoch}
    if stage is not None:
      stages.append(stage)
      entered.append((epoch, stage.entered))
  if wrapped:
    assert entered == [(0, ('sep_conv_3x3',)), (2, ('skip_connect',))]
  else:
    assert entered == [(0, SPACE.names)]
  assert all(isinstance(stage, Stage) for stage in stages)
  assert isinstance(method.begin_epoch(search, state, 4, stages), Change)


def test_derivation_may_evaluate():
  # The operation without which accuracy is least, as in DARTS-PT.
  worth = np.array([0.7, 0.1])
  asked = []

  def accuracy(state, tables=None):
    asked.append(tables)
    return float(tables['normal'].sum(0) @ worth)

  def derive(method, search, state):
    tables = method.scores(search.space, state.alphas, state.mask)
    found = {kind: np.zeros(table.shape) for kind, table in tables.items()}
    for kind, table in tables.items():
      for edge in range(len(table)):
        without = [
          search.accuracy(
            state, tables | {kind: table.at[edge, operation].set(0.0)}
          )
          for operation in range(table.shape[1])
        ]
        found[kind][edge, np.argmin(without)] = 1.0
    return search.space.derive(search.space, found)

  method = darts()._replace(derive=derive)
  task, state = search_of(method)
  search = tiny_search.search_of(SPACE, task.config, accuracy=accuracy)
  genotype = method.derive(method, search, state)
  assert len(asked) == 8
  assert [e.operation for e in genotype['normal'].edges] == ['skip_connect'] * 2


def test_alphas_that_become_inactive_rest_at_once():
  # Adam's moments would move them on for many steps.
  task, state = search_of(darts())
  state, _ = stepped(task, state)
  column = jnp.arange(len(SPACE.names)) > 0
  mask = {kind: table & column for kind, table in state.mask.items()}
  after, _ = stepped(task, state.replace(mask=mask))
  for kind, table in mask.items():
    assert not np.asarray(table).all()
    np.testing.assert_array_equal(
      np.asarray(after.alphas[kind] != state.alphas[kind]), table
    )
