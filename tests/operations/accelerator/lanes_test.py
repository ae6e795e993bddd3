"""Rows in the lanes: what layouts_test.py does not see of kernels for TPU."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.operations.accelerator.copies import (
  CONV,
  MAX,
  Copies,
  Copy,
  Window,
)
from opp_darts_jax.operations.accelerator.edges import (
  FIRST,
  SOURCES,
  Edges,
  Term,
)
from opp_darts_jax.operations.accelerator.fused import Stacks
from opp_darts_jax.operations.accelerator.lanes import form, fused, products
from opp_darts_jax.operations.accelerator.lanes.activity import tables_of
from opp_darts_jax.operations.accelerator.lanes.form import Form
from opp_darts_jax.operations.depthwise import depthwise_conv

# Two convolutions of a source, of which the second may rest, the largest of
# another, and a source itself; no edge reaches the third destination.
EDGES = Edges(
  first=Copies(
    (
      Copy(CONV, Window(3), 0, depthwise=1, pointwise=0),
      Copy(CONV, Window(3, 2), 0, depthwise=0, pointwise=1),
      Copy(MAX, Window(3), 1),
    ),
    1,
    2,
    2,
    2,
  ),
  second=None,
  terms=(
    Term(FIRST, 0, 0, 3),
    Term(FIRST, 1, 0, 1),
    Term(FIRST, 2, 1, 0),
    Term(SOURCES, 1, 0, 2),
  ),
  destinations=3,
  places=5,
)
ALL = jnp.ones(5, bool)


def arguments(seed, channels=3, dtype=jnp.float32):
  draw = np.random.default_rng(seed)

  def normal(*shape):
    return jnp.asarray(draw.normal(size=shape), jnp.float32)

  x = normal(2, 3, 4, 5, channels).astype(dtype)
  first = normal(2, 9, channels), normal(2, channels, channels)
  none = jnp.zeros((1, 9, channels)), jnp.zeros((1, channels, channels))
  return x, Stacks(*first, *none), normal(5)


def run(x, stacks, weights, mask):
  own = fused.form_of(x.shape, 1)
  return fused.run_edges(
    EDGES, own.enter(x), fused.expanded(stacks), weights, mask, own
  )


def loss(x, stacks, weights, mask):
  own = fused.form_of(x.shape, 1)
  out = own.leave(run(x, stacks, weights, mask)[0]).astype(jnp.float32)
  return (out * jnp.cos(jnp.arange(out.size).reshape(out.shape))).sum()


gradient = jax.value_and_grad(loss, (0, 1, 2))


@functools.cache
def alone():
  return jax.jit(gradient)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize(
  ('batch', 'size', 'channels', 'devices'),
  [
    (3, (5, 7), 6, 1),
    (20, (4, 4), 12, 2),
    (17, (9, 3), 36, 1),
    (2, (3, 2), 256, 2),
  ],
)
def test_images_enter_their_form_and_leave_it(
  batch, size, channels, devices, stride
):
  own = Form(batch, size, channels, stride, devices)
  x = np.arange(2.0 * batch * np.prod(size) * channels, dtype=np.float32)
  x = x.reshape(2, batch, *size, channels)
  there = own.enter(jnp.asarray(x))
  assert there.shape == own.shape(2)
  assert there.shape[-1] % form.LANES == 0
  assert there.shape[-2] % 8 == 0
  assert there.shape[1] % devices == 0
  # What is filled up is 0.
  assert np.count_nonzero(there) == np.count_nonzero(x)
  np.testing.assert_array_equal(own.leave(there), x)
  if stride == 1:
    joined = np.concatenate(list(x), -1)
    np.testing.assert_array_equal(own.join(list(there)), joined)
  else:
    # Even rows of even columns come first.
    first = own.behind.leave(there[:, :, : own.out[0]])
    np.testing.assert_array_equal(first, x[:, :, ::2, ::2])


@pytest.mark.parametrize('channels', [3, 16, 130])
def test_weights_of_a_block_are_those_of_its_pixels(channels):
  draw = np.random.default_rng(0)
  k = draw.normal(size=(2, channels)).astype(np.float32)
  w = draw.normal(size=(1, channels, channels)).astype(np.float32)
  block, depth = form.block_of(channels), form.depth_of(channels)
  x = np.zeros((block // depth, depth), np.float32)
  x[:, :channels] = draw.normal(size=(block // depth, channels))
  flat = x.reshape(1, block)
  found = (flat * form.vectors(k)).reshape(2, *x.shape)[..., :channels]
  np.testing.assert_allclose(found, x[:, :channels] * k[:, None], rtol=1e-6)
  found = (flat @ form.matrices(w)[0]).reshape(x.shape)[:, :channels]
  np.testing.assert_allclose(
    found, x[:, :channels] @ w[0], rtol=1e-4, atol=1e-5
  )
  # The other way is the gradient.
  for there, back, own in (
    (form.vectors, form.of_vectors, k),
    (form.matrices, form.of_matrices, w),
  ):
    g = draw.normal(size=there(own).shape).astype(np.float32)
    want = jax.vjp(there, jnp.asarray(own))[1](jnp.asarray(g))[0]
    np.testing.assert_allclose(back(g, channels), want, rtol=1e-5, atol=1e-5)


def test_a_place_that_rests_sees_what_another_does():
  mask = ALL.at[1].set(False).at[0].set(False).astype(jnp.int32)
  tables = tables_of(EDGES, jnp.full(5, jnp.nan).at[2:].set(2), mask)
  seen = tables.view(tables.arrays).seen

  def column(of, count):
    return [int(of[i]) for i in range(count)]

  assert column(seen.runs[0], 3) == [1, 0, 0]
  assert column(seen.copy[0], 3) == [0, 0, 0]
  # By destination: of the first three, the last is a source; none is the third.
  assert column(seen.adds, 5) == [1, 0, 1, 0, 0]
  assert column(seen.row[FIRST], 5) == [0] * 5
  assert column(seen.row[SOURCES], 5) == [1] * 5
  np.testing.assert_array_equal(tables.weights, [0, 0, 2, 2, 2])


def test_several_searches_are_longer_lists_and_what_rests_has_no_say():
  each = [arguments(seed) for seed in range(2)]
  masks = jnp.stack([ALL, ALL.at[1].set(False)])
  x, stacks, weights = each[1]
  broken = stacks._replace(
    depthwise=stacks.depthwise.at[0].set(jnp.nan),
    pointwise=stacks.pointwise.at[1].set(jnp.nan),
  )
  stacked = jax.tree.map(
    lambda *t: jnp.stack(t), each[0], (x, broken, weights.at[1].set(jnp.nan))
  )
  together = jax.jit(jax.vmap(gradient))(*stacked, masks)
  for i, args in enumerate(each):
    own = jax.tree.map(lambda t, i=i: t[i], together)
    want = alone()(*args, masks[i])
    chex.assert_trees_all_close(own, want, rtol=1e-4, atol=1e-5)
  _, (_, grads, weight_grad) = want
  assert not grads.depthwise[0].any()
  assert not grads.pointwise[1].any()
  assert weight_grad[1] == 0
  assert weight_grad[4] == 0  # No term has the place.


def test_the_derivative_along_a_direction_is_the_gradient_times_it():
  args = arguments(0)
  along = jax.tree.map(lambda t: jnp.cos(3 * t + 1), args)
  mask = ALL.at[1].set(False)
  slope = jax.jit(
    lambda args, along: jax.jvp(lambda *a: loss(*a, mask), args, along)[1]
  )(args, along)
  _, grads = alone()(*args, mask)
  want = jax.tree.map(jnp.vdot, grads, along)
  np.testing.assert_allclose(slope, sum(jax.tree.leaves(want)), rtol=1e-4)


def test_products_are_linear_in_each_and_their_gradients_belong_together():
  copies = Copies(
    (
      Copy(CONV, Window(5, 2), 1, 0, 0),
      Copy(CONV, Window(3), 0, 1, 1),
      Copy(CONV, Window(3), 0, 2, 2),
    ),
    *(2, 2, 3, 3),
  )
  active = jnp.array([1, 1, 0])
  size = 5, 6
  draw = np.random.default_rng(0)
  shapes = {
    'z': (2, 3, *size, 3),
    'k': (3, 25, 3),
    'w': (3, 3, 3),
    'g': (3, 3, 3, 3, 3),
  }
  given = {
    slot: jnp.asarray(draw.normal(size=shape), jnp.float32)
    for slot, shape in shapes.items()
  }
  given['k'] = given['k'].at[1:, 9:].set(0)

  @functools.partial(jax.jit, static_argnums=0)
  def find(missing, given):
    args = [given[slot] for slot in 'zkwg' if slot != missing]
    return products.of_share(
      missing, *args, active, lists=copies, size=size, precision='highest'
    )

  y = find('g', given)
  kernel = given['k'][0].reshape(5, 5, 3)
  want = depthwise_conv(given['z'][1], kernel, 2, 2) @ given['w'][0]
  np.testing.assert_allclose(y[0], want, rtol=1e-4, atol=1e-4)
  assert not y[2].any()
  whole = jnp.vdot(y, given['g'])
  for slot in 'zkw':
    found = find(slot, given)
    assert found.shape == shapes[slot]
    np.testing.assert_allclose(jnp.vdot(found, given[slot]), whole, rtol=1e-4)


def test_bfloat16_is_near_and_weights_are_float32():
  exact, exact_grads = alone()(*arguments(0), ALL)
  value, (x_grad, *grads) = alone()(*arguments(0, dtype=jnp.bfloat16), ALL)
  assert x_grad.dtype == jnp.bfloat16
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(grads))
  sizes = float(jnp.abs(exact_grads[2]).max())
  assert abs(value - exact) < 0.05 * sizes
  np.testing.assert_allclose(grads[1], exact_grads[2], atol=0.05 * sizes)


def test_given_moments_and_more_channels_than_lanes():
  x, stacks, weights = arguments(0, 130)
  own = fused.form_of(x.shape, 1)

  @jax.jit
  def program():
    out, first, second = run(x, stacks, weights, ALL)
    assert second is None
    again = fused.evaluate_edges(
      EDGES,
      own.enter(x),
      fused.expanded(stacks),
      weights,
      ALL,
      (first, None),
      own,
    )
    return own.leave(out), own.leave(again), first

  out, again, (mean, var) = program()
  np.testing.assert_allclose(again, out, rtol=1e-4, atol=1e-4)
  assert not out[2].any()
  kernel = stacks.depthwise[1].reshape(3, 3, 130)
  y = depthwise_conv(jax.nn.relu(x[0]), kernel, 1, 1) @ stacks.pointwise[0]
  np.testing.assert_allclose(mean[0], y.mean((0, 1, 2)), rtol=1e-3, atol=1e-3)
  np.testing.assert_allclose(var[0], y.var((0, 1, 2)), rtol=1e-3)
