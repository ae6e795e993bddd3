"""Tests of OLES: agreement of gradients, and what rests by it."""

import chex
import jax
import jax.numpy as jnp
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


def test_agreement_is_the_mean_cosine_along_output_channels():
  a = {
    'kernel': jax.random.normal(KEY, (3, 2, 4, 5)),
    'other': jnp.ones((3, 1, 6)),
  }
  same, active = oles_lib.agreement(a, a)
  np.testing.assert_allclose(same, 1, rtol=1e-6)
  assert active.all()
  b = jax.tree.map(lambda t: -2 * t, a)
  np.testing.assert_allclose(oles_lib.agreement(a, b)[0], -1, rtol=1e-6)
  # Tensors count alike: one that agrees, and one across.
  b = {'kernel': a['kernel'], 'other': jnp.array([[[1.0, -1] * 3]] * 3)}
  np.testing.assert_allclose(oles_lib.agreement(a, b)[0], 0.5, atol=1e-6)
  none, active = oles_lib.agreement(jax.tree.map(jnp.zeros_like, a), a)
  assert not active.any()
  np.testing.assert_array_equal(none, 0)


def test_a_bias_has_no_say_beside_kernels():
  one = {'kernel': jnp.ones((3, 4, 5)), 'bias': jnp.ones((3, 5))}
  other = {'kernel': one['kernel'], 'bias': -one['bias']}
  np.testing.assert_allclose(oles_lib.agreement(one, other)[0], 1, rtol=1e-6)
  alone = {'bias': one['bias']}, {'bias': other['bias']}
  np.testing.assert_allclose(oles_lib.agreement(*alone)[0], -1, rtol=1e-6)


def test_an_instance_rests_for_good_after_a_window_of_disagreement():
  seen = {
    'sum': jnp.zeros(3),
    'steps': jnp.zeros(3, jnp.int32),
    'rests': jnp.zeros(3, bool),
  }
  active = jnp.array([True, True, False])
  for step in range(4):
    score = jnp.array([0.6, 0.3 if step < 2 else 0.9, 0.0])
    seen = oles_lib.watched(seen, score, active, 0.4, window=2)
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
    'cell0': {'conv': {'kernel': jnp.ones((2, 3, 3))}},
    'head': jnp.ones(4),
  }
  own = {'cell0': {'conv': {'rests': jnp.array([True, False])}}}
  moves = oles_lib.moves(own, weights)
  kernel = np.asarray(moves['cell0']['conv']['kernel'])
  assert not kernel[0].any()
  assert kernel[1].all()
  assert moves['head'].all()


def test_unfit_window():
  with pytest.raises(UserError, match=r'at least 1; got window=0'):
    oles(window=0)
