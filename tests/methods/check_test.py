"""What a user's own records get wrong is told before anything runs."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import pytest

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.catalogue import METHODS, get_method, scheduled
from opp_darts_jax.methods.check import check_hooks, check_task
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.loss import make_task
from opp_darts_jax.operations.norm import measure
from opp_darts_jax.operations.operation import no_weights
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.spaces.robust import S2

CONFIG = SearchConfig(layers=3, channels=4)


def check(space=S2, method=None):
  check_task(make_task(CONFIG, space, method or darts(), 10, per_epoch=3))


def normed(x, norm, numbers):
  for i in numbers:
    x = norm(measure(x), i).value
  return x


def strided(apply, norms=0):
  """Fields of an operation without weights, of what it does at stride 1."""
  return {
    'init': no_weights,
    'apply': lambda params, x, norm, stride, key: apply(
      params, x[:, ::stride, ::stride], norm, key
    ),
    'norms': lambda stride: norms,
  }


ODD_NORMS = {
  'init': no_weights,
  'apply': lambda params, x, norm, stride, key: normed(
    x[:, ::stride, ::stride], norm, range(stride)
  ),
  'norms': lambda stride: stride,
}
ODD_WEIGHTS = strided(lambda params, x, norm, key: x) | {
  'init': lambda key, copies, channels, stride: {
    'a': jnp.zeros((*copies, stride))
  },
}


@pytest.mark.parametrize('method', ['darts', 'pc_darts(partial=2)'])
@pytest.mark.parametrize('space', SPACES.values(), ids=list(SPACES))
def test_what_ships_is_fit(space, method):
  check(space, get_method(method))


@pytest.mark.parametrize('method', METHODS)
def test_every_method_is_fit(method):
  check(method=get_method(method))


@pytest.mark.parametrize(
  'schedule', ['progressive', 'freezing', 'early_stopping+progressive']
)
def test_every_schedule_is_fit(schedule):
  check(method=scheduled(darts(), ScheduleConfig(name=schedule)))


def test_what_a_method_keeps_is_there_for_its_weights_and_terms():
  method = darts()._replace(
    name='kept',
    init_own=lambda space, weights: {'t': jnp.ones(len(weights))},
    weights=lambda space, params, mask, draw: {
      kind: mask[kind] * params[kind] / draw.own['t'][0] for kind in space.kinds
    },
    val_term=lambda space, params, mask, draw: draw.own['t'].sum(),
  )
  check(method=method)


@pytest.mark.parametrize(
  ('hook', 'value'),
  [
    ('begin_epoch', None),
    ('derive', None),
    ('learning_rate', 0.1),
    ('check', 5),
    ('moves', True),
    ('val_term', 0.0),
    ('init', 'text'),
  ],
)
def test_a_hook_that_cannot_be_called(hook, value):
  check_hooks(darts())  # Some of them may be None.
  got = type(value).__name__
  sentence = f"method 'darts': {hook} must be a function, .* got .*{got}"
  with pytest.raises(UserError, match=sentence):
    check_hooks(darts()._replace(**{hook: value}))
  sentence = "the method 'darts' as PartialChannels or NoneType, got int"
  with pytest.raises(UserError, match=sentence):
    check_hooks(darts()._replace(partial=4))


@pytest.mark.parametrize(
  ('hook', 'function', 'count', 'got'),
  [
    ('check', lambda config: None, 2, '(config)'),
    ('init', lambda key: None, 2, '(key)'),
    ('begin_epoch', lambda search, state: None, 4, '(search, state)'),
    ('derive', lambda search, state: None, 3, '(search, state)'),
    ('numbers', lambda: {}, 3, '()'),
    ('learning_rate', lambda config, *, epoch: 1, 3, '(config, *, epoch)'),
    ('moves', lambda own, weights, more: None, 2, '(own, weights, more)'),
  ],
)
def test_a_hook_of_other_arguments(hook, function, count, got):
  sentence = re.escape(
    f"The method 'darts': {hook} must be a function of {count} arguments, see "
    f'methods/method.py; got one of {got}.'
  )
  with pytest.raises(UserError, match=sentence):
    check_hooks(darts()._replace(**{hook: function}))
  check_hooks(darts()._replace(**{hook: lambda *args: None}))


@pytest.mark.parametrize('order', ['second', 'second_fd'])
def test_one_level_has_no_second_order(order):
  config = dataclasses.replace(CONFIG, order=order)
  task = make_task(config, S2, get_method('snas'), 10, per_epoch=3)
  with pytest.raises(UserError, match=f"'first' for snas.* got '{order}'"):
    check_task(task)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    (
      {'weights': lambda space, params, mask, draw: {
        kind: params[kind].T for kind in space.kinds
      }},
      r'weights must give a dict with \(edges, operations\) = \(14, 2\) for '
      r'each of normal, reduce; got \{normal: \(2, 14\), reduce: \(2, 14\)\}',
    ),
    ({'weights': lambda space, params: 0}, 'weights raised TypeError: .* 4 '),
    ({'weights': lambda *args: jnp.zeros(3)}, r'weights must .* got \(3,\)'),
    (
      {'weights': lambda space, params, *args: {'normal': params['normal']}},
      r'weights must .* got \{normal: \(14, 2\)\}',
    ),
    ({'scores': lambda *args: None}, 'scores must give .* got NoneType'),
    ({'init': lambda key, space: {}}, r'init must give a dict .* got \{\}'),
    (
      {'init': lambda key, space: {
        kind: jnp.zeros(space.table_shape, int) for kind in space.kinds
      }},
      'init must give floating numbers, .*; got int32',
    ),
    ({'val_term': lambda *args: None}, 'val_term must give a number, got None'),
    (
      {'train_term': lambda space, params, *args: params['normal']},
      r'train_term must give a number, got \(14, 2\)',
    ),
    (
      {'trained': lambda params, mask: {'normal': mask['normal']}},
      r'trained must give truth .* of the parameters; got \{normal: \(14, 2\)',
    ),
    (
      {'trained': lambda params, mask: {
        kind: table[:3] for kind, table in mask.items()
      }},
      r"trained .* got \(3, 2\) for \(14, 2\) at \['normal'\]",
    ),
    ({'trained': lambda params, mask: params}, 'trained .* got float32'),
    ({'trains_alphas': lambda at: at.epoch}, r'.* one .* got int32 \(\)'),
    ({'trains_alphas': lambda at: 'x'}, 'trains_alphas raised TypeError'),
    ({'moves': lambda own, weights: None}, 'moves must .* got NoneType'),
    ({'init_own': lambda space, weights: weights['x']}, 'init_own raised Key'),
    (
      {'weight_gradient': lambda gradients, tables, own, draw: None},
      'weight_gradient raised TypeError: cannot unpack',
    ),
    (
      {'weight_gradient': lambda gradients, tables, own, draw: (
        *gradients.weights(tables), draw.key
      )},
      r'weight_gradient must give what is kept of .* got \(\)',
    ),
  ],
)  # fmt: skip
def test_a_method_that_is_unfit(fields, message):
  with pytest.raises(UserError, match=f"The method 'mine': {message}"):
    check(method=darts()._replace(name='mine', **fields))


def softmax(space, params, mask, draw):
  return {kind: jax.nn.softmax(params[kind]) for kind in space.kinds}


def of_each_cell(space, params, mask, draw):
  tables = softmax(space, params, mask, draw)
  return {
    kind: jnp.stack([table] * draw.cells[kind])
    for kind, table in tables.items()
  }


def sampled(space, params, mask, draw):
  def one_hot(table):
    drawn = jax.random.categorical(draw.key, table)
    return jax.nn.one_hot(drawn, table.shape[1])

  return {kind: one_hot(params[kind]) for kind in space.kinds}


def beside(space, params, mask, draw):
  return {
    kind: jnp.pad(table, ((0, 0), (0, 1)), constant_values=1.0)
    for kind, table in softmax(space, params, mask, draw).items()
  }


@pytest.mark.parametrize(
  ('weights', 'method'),
  [
    (softmax, 'darts'),
    (softmax, 'oles'),
    (of_each_cell, 'lambda_darts'),
    (sampled, 'gdas'),
    (beside, 'darts_minus'),
  ],
)
def test_weights_of_what_is_not_active(weights, method):
  """They would be computed and trained, in silence."""
  method = get_method(method)._replace(name='mine', weights=weights)
  sentence = (
    r"The method 'mine': weights must be 0 where the mask is False, .* got "
    r"[\d.]+ for 'sep_conv_3x3' on edge \d+ of a normal cell\."
  )
  with pytest.raises(UserError, match=sentence):
    check(method=method)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'norms': lambda stride: 0}, r'as many norms .* 0, .* numbers \[0, 1\]'),
    ({'norms': 1}, "norms raised TypeError: 'int' object is not callable"),
    (
      {'apply': lambda params, x, norm, stride, key: jnp.zeros(2)},
      r'must give \(2, 6, 5, 8\) of \(2, 6, 5, 8\); got \(2,\)',
    ),
    ({'apply': lambda params, x: x}, 'apply raised TypeError: .* 5 were given'),
    (
      {'init': lambda key, copies, channels, stride: {'a': jnp.zeros((9, 9))}},
      r'the copies on their first axes; got \{a: \(9, 9\)\} for 3 copies',
    ),
    ({'init': lambda *args: jnp.zeros(3)}, r'a dict of arrays .* got \(3,\)'),
    (
      {'shared': lambda stride: True},
      r'neither weights nor randomness .* got the weights \{depthwise: ',
    ),
    (
      strided(lambda params, x, norm, key: jax.random.normal(key, x.shape)),
      'must say random=True to get a key',
    ),
    (
      strided(lambda params, x, norm, key: normed(x, norm, (1, 0)), norms=2),
      r'as they follow each other; it applies the numbers \[1, 0\]',
    ),
    (
      {'multiply_adds': lambda channels, stride, size: size.h},
      "at stride 1, multiply_adds raised AttributeError: 'tuple'",
    ),
    (
      {'multiply_adds': lambda channels: channels},
      'multiply_adds raised TypeError: .* 3 were given',
    ),
    ({'multiply_adds': lambda *args: None}, 'a number as its .* got None'),
    ({'multiply_adds': lambda *args: '12'}, "a number as its .* got '12'"),
    ({'multiply_adds': 12}, "multiply_adds raised TypeError: 'int' object"),
    (ODD_NORMS, 'strides 1 and 2, must apply as many norms .* got 1 and 2'),
    (
      ODD_WEIGHTS,
      r'weights of the first .* got \{a: \(3, 1\)\} and \{a: \(3, 2\)\}',
    ),
  ],
)
def test_an_operation_that_is_unfit(fields, message):
  skip, conv = S2.operations
  own = conv._replace(name='mine', **fields)
  space = dataclasses.replace(S2, operations=(skip, own))
  with pytest.raises(UserError, match=f"The operation 'mine', .*{message}"):
    check(space)


def test_what_an_operation_takes_in_a_network_is_asked_too():
  skip, conv = S2.operations
  derived = conv._replace(name='mine', multiply_adds=lambda *args: None)
  space = dataclasses.replace(
    S2, operations=(skip, conv._replace(derived=derived))
  )
  with pytest.raises(UserError, match="'mine', .* multiply_adds .* got None"):
    check(space)


@pytest.mark.parametrize('fields', [ODD_NORMS, ODD_WEIGHTS])
def test_in_cells_of_one_stride_each_strides_may_differ(fields):
  skip, conv = S2.operations
  own = conv._replace(name='mine', **fields)
  check(dataclasses.replace(S2, operations=(skip, own)).with_nodes(1))


def test_stride_2_counts_where_there_is_one():
  skip, conv = S2.operations

  def apply(params, x, norm, stride, key):
    return conv.apply(params, x, norm, 1, key)

  own = conv._replace(name='mine', apply=apply)
  space = dataclasses.replace(S2, operations=(skip, own))
  with pytest.raises(
    UserError, match=r"'mine', at stride 2, must give \(2, 3,"
  ):
    check(space)
  bench = SPACES['nasbench201']
  check(dataclasses.replace(bench, operations=(*bench.operations[:2], own)))
