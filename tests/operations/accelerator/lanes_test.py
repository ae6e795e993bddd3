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
from opp_darts_jax.operations.accelerator.lanes.tables import Tables
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
ALL = np.ones(5, bool)


def without(*places):
  """All but these."""
  return ~np.isin(np.arange(5), places)


def arguments(seed, channels=3, dtype=jnp.float32):
  draw = np.random.default_rng(seed)

  def normal(*shape):
    return np.float32(draw.normal(size=shape))

  x = normal(2, 3, 4, 5, channels).astype(dtype)
  first = normal(2, 9, channels), normal(2, channels, channels)
  none = (
    np.zeros((1, 9, channels), np.float32),
    np.zeros((1, channels, channels), np.float32),
  )
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

  @jax.jit
  def forms(x):
    there = own.enter(x)
    if stride == 1:
      return there, own.leave(there), own.join(list(there))
    # Even rows of even columns come first.
    first = own.behind.leave(there[:, :, : own.out[0]])
    return there, own.leave(there), first

  there, back, other = jax.device_get(forms(x))
  assert there.shape == own.shape(2)
  assert there.shape[-1] % form.LANES == 0
  assert there.shape[-2] % 8 == 0
  assert there.shape[1] % devices == 0
  # What is filled up is 0.
  assert np.count_nonzero(there) == np.count_nonzero(x)
  np.testing.assert_array_equal(back, x)
  want = np.concatenate(list(x), -1) if stride == 1 else x[:, :, ::2, ::2]
  np.testing.assert_array_equal(other, want)


@functools.partial(jax.jit, static_argnums=(0, 1))
def there_and_back(there, back, x, g):
  """What a function gives, what another gives back of g, and its gradient."""
  y, vjp = jax.vjp(there, x)
  return y, back(g, x.shape[-1]), vjp(g)[0]


@pytest.mark.parametrize('channels', [3, 16, 130])
def test_weights_of_a_block_are_those_of_its_pixels(channels):
  draw = np.random.default_rng(0)
  k = draw.normal(size=(2, channels)).astype(np.float32)
  w = draw.normal(size=(1, channels, channels)).astype(np.float32)
  block, depth = form.block_of(channels), form.depth_of(channels)
  x = np.zeros((block // depth, depth), np.float32)
  x[:, :channels] = draw.normal(size=(block // depth, channels))
  expanded = []
  for there, back, own in (
    (form.vectors, form.of_vectors, k),
    (form.matrices, form.of_matrices, w),
  ):
    shape = jax.eval_shape(there, own).shape
    g = draw.normal(size=shape).astype(np.float32)
    y, found, want = jax.device_get(there_and_back(there, back, own, g))
    expanded.append(y)
    # The other way is the gradient.
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
  vectors, matrices = expanded
  flat = x.reshape(1, block)
  found = (flat * vectors).reshape(2, *x.shape)[..., :channels]
  np.testing.assert_allclose(found, x[:, :channels] * k[:, None], rtol=1e-6)
  found = (flat @ matrices[0]).reshape(x.shape)[:, :channels]
  np.testing.assert_allclose(
    found, x[:, :channels] @ w[0], rtol=1e-4, atol=1e-5
  )


def test_a_place_that_rests_sees_what_another_does():
  weights = np.float32([np.nan, np.nan, 2, 2, 2])
  find = jax.jit(lambda *given: tables_of(EDGES, *given).arrays)
  arrays = jax.device_get(find(weights, np.int32(without(0, 1))))
  tables = Tables(EDGES, *arrays)
  seen = tables.view(arrays).seen

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
  masks = np.stack([ALL, without(1)])
  stacked = jax.tree.map(lambda *t: np.stack(t), *each)
  _, stacks, weights = stacked
  for rests in (stacks.depthwise[1, 0], stacks.pointwise[1, 1]):
    rests[:] = np.nan
  weights[1, 1] = np.nan
  together = jax.device_get(jax.jit(jax.vmap(gradient))(*stacked, masks))
  for i, args in enumerate(each):
    own = jax.tree.map(lambda t, i=i: t[i], together)
    want = jax.device_get(alone()(*args, masks[i]))
    chex.assert_trees_all_close(own, want, rtol=1e-4, atol=1e-5)
  _, (_, grads, weight_grad) = want
  assert not grads.depthwise[0].any()
  assert not grads.pointwise[1].any()
  assert weight_grad[1] == 0
  assert weight_grad[4] == 0  # No term has the place.


def test_the_derivative_along_a_direction_is_the_gradient_times_it():
  args = arguments(0)
  along = jax.tree.map(lambda t: np.cos(3 * t + 1), args)
  mask = without(1)
  slope = jax.jit(
    lambda args, along: jax.jvp(lambda *a: loss(*a, mask), args, along)[1]
  )(args, along)
  _, grads = jax.device_get(alone()(*args, mask))
  want = jax.tree.map(np.vdot, grads, along)
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
  active = np.int32([1, 1, 0])
  size = 5, 6
  draw = np.random.default_rng(0)
  shapes = {
    'z': (2, 3, *size, 3),
    'k': (3, 25, 3),
    'w': (3, 3, 3),
    'g': (3, 3, 3, 3, 3),
  }
  given = {
    slot: np.float32(draw.normal(size=shape)) for slot, shape in shapes.items()
  }
  given['k'][1:, 9:] = 0

  @jax.jit
  def find(given):
    def missing(own):
      args = [given[slot] for slot in 'zkwg' if slot != own]
      return products.of_share(
        own, *args, active, lists=copies, size=size, precision='highest'
      )

    kernel = given['k'][0].reshape(5, 5, 3)
    want = depthwise_conv(given['z'][1], kernel, 2, 2) @ given['w'][0]
    return {slot: missing(slot) for slot in 'zkwg'}, want

  found, want = jax.device_get(find(given))
  y = found['g']
  np.testing.assert_allclose(y[0], want, rtol=1e-4, atol=1e-4)
  assert not y[2].any()
  whole = np.vdot(y, given['g'])
  for slot in 'zkw':
    assert found[slot].shape == shapes[slot]
    np.testing.assert_allclose(
      np.vdot(found[slot], given[slot]), whole, rtol=1e-4
    )


def test_bfloat16_is_near_and_weights_are_float32():
  exact, exact_grads = jax.device_get(alone()(*arguments(0), ALL))
  value, (x_grad, *grads) = jax.device_get(
    alone()(*arguments(0, dtype=jnp.bfloat16), ALL)
  )
  assert x_grad.dtype == jnp.bfloat16
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(grads))
  sizes = np.abs(exact_grads[2]).max()
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
    kernel = stacks.depthwise[1].reshape(3, 3, 130)
    y = depthwise_conv(jax.nn.relu(x[0]), kernel, 1, 1) @ stacks.pointwise[0]
    return own.leave(out), own.leave(again), first, y

  out, again, (mean, var), y = jax.device_get(program())
  np.testing.assert_allclose(again, out, rtol=1e-4, atol=1e-4)
  assert not out[2].any()
  np.testing.assert_allclose(mean[0], y.mean((0, 1, 2)), rtol=1e-3, atol=1e-3)
  np.testing.assert_allclose(var[0], y.var((0, 1, 2)), rtol=1e-3)
