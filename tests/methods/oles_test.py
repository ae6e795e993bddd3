"""Tests of OLES: agreement of gradients, and what rests by it."""

import chex
import jax
import numpy as np
import pytest
import tiny_search
import toy_network

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import freezing as oles_lib
from opp_darts_jax.methods.nested import kept
from opp_darts_jax.methods.oles import oles
from opp_darts_jax.methods.steps import search_step

KEY = tiny_search.KEY
SPACE = toy_network.SPACE


def agreement(one, other):
  return jax.device_get(compiled(one, other))


compiled = jax.jit(oles_lib.agreement)


def test_agreement_is_the_mean_cosine_along_output_channels():
  drawn = np.random.default_rng(0).standard_normal((3, 2, 4, 5))
  a = {'kernel': np.float32(drawn), 'other': np.ones((3, 1, 6), np.float32)}
  same, active = agreement(a, a)
  np.testing.assert_allclose(same, 1, rtol=1e-6)
  assert active.all()
  b = jax.tree.map(lambda t: -2 * t, a)
  np.testing.assert_allclose(agreement(a, b)[0], -1, rtol=1e-6)
  # Tensors count alike: one that agrees, and one across.
  b = {'kernel': a['kernel'], 'other': np.float32([[[1.0, -1] * 3]] * 3)}
  np.testing.assert_allclose(agreement(a, b)[0], 0.5, atol=1e-6)
  none, active = agreement(jax.tree.map(np.zeros_like, a), a)
  assert not active.any()
  np.testing.assert_array_equal(none, 0)


def test_a_bias_has_no_say_beside_kernels():
  kernel, bias = (np.ones(s, np.float32) for s in ((3, 4, 5), (3, 5)))
  one, other = ({'kernel': kernel, 'bias': sign * bias} for sign in (1, -1))
  np.testing.assert_allclose(agreement(one, other)[0], 1, rtol=1e-6)
  alone = {'bias': bias}, {'bias': -bias}
  np.testing.assert_allclose(agreement(*alone)[0], -1, rtol=1e-6)


def test_an_instance_rests_for_good_after_a_window_of_disagreement():
  seen = {
    'sum': np.zeros(3, np.float32),
    'steps': np.zeros(3, np.int32),
    'rests': np.zeros(3, bool),
  }
  active = np.array([True, True, False])
  watched = jax.jit(oles_lib.watched, static_argnums=(3, 4))
  for step in range(4):
    score = np.float32([0.6, 0.3 if step < 2 else 0.9, 0])
    seen = jax.device_get(watched(seen, score, active, 0.4, 2))
    # The first agrees, the second does not at first, the last is not there.
    assert seen['rests'].tolist() == [False, step > 0, False]
    assert seen['steps'].tolist() == [(step + 1) % 2] * 2 + [0]


def test_parametric_operations_are_watched_by_cell_and_edge():
  task = tiny_search.task_of(SPACE, oles())
  own = kept(tiny_search.shapes_of(task).own)
  assert set(own) == {'cell0', 'cell1'}
  for operations in own.values():
    assert set(operations) == {'sep_conv_3x3'}
    assert operations['sep_conv_3x3']['rests'].shape == (2,)


def test_weights_of_what_rests_stay_to_the_bit_and_alphas_do_not():
  task, state = toy_network.search_of(oles(threshold=2.0, window=1))
  args = 0.1, toy_network.TRAIN, toy_network.VAL, KEY
  step = jax.jit(lambda state: search_step(task, state, *args)[0])
  first = step(state)
  # Nothing agrees more than 1: all instances rest from the next step on.
  assert kept(first.own)['cell0']['sep_conv_3x3']['rests'].all()
  second = step(first)
  chex.assert_trees_all_equal(
    second.weights['cell0']['sep_conv_3x3'],
    first.weights['cell0']['sep_conv_3x3'],
  )
  for before, after in (
    (first.weights['head'], second.weights['head']),
    (first.alphas['normal'], second.alphas['normal']),
    (state.weights['cell0']['skip_connect']['kernel'],
     first.weights['cell0']['skip_connect']['kernel']),
  ):  # fmt: skip
    assert not np.array_equal(before, after)


def test_one_edge_may_rest_alone():
  weights = {
    'cell0': {'conv': {'kernel': np.ones((2, 3, 3), np.float32)}},
    'head': np.ones(4, np.float32),
  }
  own = {'cell0': {'conv': {'rests': np.array([True, False])}}}
  moves = jax.device_get(jax.jit(oles_lib.moves)(own, weights))
  kernel = moves['cell0']['conv']['kernel']
  assert not kernel[0].any()
  assert kernel[1].all()
  assert moves['head'].all()


def test_unfit_window():
  with pytest.raises(UserError, match=r'at least 1; got window=0'):
    oles(window=0)
