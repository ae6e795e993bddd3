"""Tests of the separable unit: its kernels against its parts, in float64."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.operations import separable
from opp_darts_jax.operations.cpu import native
from opp_darts_jax.operations.norm import Normalised, measure
from opp_darts_jax.operations.separable import separable_unit


def arrays(shape, out_channels, size, seed=0):
  """x, shift, scale, depthwise and pointwise weights."""
  rng = np.random.default_rng(seed)
  channels = shape[-1]
  shapes = [shape, (channels,), (channels,), (size, size, channels)]
  x, shift, scale, depthwise = map(rng.standard_normal, shapes)
  pointwise = rng.standard_normal((channels, out_channels))
  return jax.device_put((x, shift, scale + 3, depthwise, pointwise))


def unit(x, shift, scale, *weights, **params):
  return separable_unit(Normalised(x, shift, scale), *weights, **params)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def results_and_gradients(function, stride, dilation, args):
  results, vjp = jax.vjp(
    functools.partial(function, stride=stride, dilation=dilation), *args
  )
  return results, vjp(jax.tree.map(lambda r: 0.1 + 0.01 * r, results))


@pytest.mark.parametrize(
  ('shape', 'out_channels', 'size', 'stride', 'dilation'),
  [
    ((2, 7, 9, 5), 5, 3, 1, 1),
    ((3, 8, 8, 8), 8, 5, 1, 2),
    ((2, 13, 11, 6), 12, 5, 2, 1),
    ((2, 4, 3, 9), 3, 7, 1, 1),
    ((2, 9, 8, 9), 16, 3, 2, 2),
    ((2, 5, 6, 3), 3, 9, 3, 1),
    ((3, 1, 1, 4), 2, 3, 2, 1),
  ],
)
def test_kernels_are_their_parts(shape, out_channels, size, stride, dilation):
  with jax.enable_x64(True):
    args = arrays(shape, out_channels, size)
    got = results_and_gradients(unit, stride, dilation, args)
    want = results_and_gradients(separable._parts, stride, dilation, args)
    assert got[0].x.dtype == jnp.float64
  chex.assert_trees_all_close(got, want, rtol=1e-11, atol=1e-11)


def test_a_product_without_a_depthwise_convolution():
  with jax.enable_x64(True):
    x, _, _, _, pointwise = arrays((2, 7, 9, 20), 5, 1)

    @functools.partial(jax.jit, static_argnums=0)
    def results_gradients_and_their_derivatives(function, *args):
      def loss(*args):
        y, mean, var = function(*args)
        return jnp.sin(y).sum() + (jnp.cos(mean) * var).sum()

      gradient = jax.value_and_grad(loss, (0, 1))
      return jax.jvp(gradient, args, jax.tree.map(jnp.cos, args))

    def parts(x, pointwise):
      return measure(jnp.einsum('bhwc,cd->bhwd', jax.nn.relu(x), pointwise))

    got, want = (
      results_gradients_and_their_derivatives(function, x, pointwise)
      for function in (separable.pointwise_unit, parts)
    )
  chex.assert_trees_all_close(got, want, rtol=1e-10, atol=1e-10)


def test_what_is_not_a_number_stays_so():
  args = jax.tree.map(jnp.float32, arrays((2, 4, 4, 3), 3, 3))
  x = np.array(args[0])
  x[0, 1, 1, 0] = np.nan
  found = jax.device_get(jax.jit(unit)(x, *args[1:]))
  assert np.isnan(found.x[0]).any()


def test_kernels_in_float32():
  args = jax.tree.map(jnp.float32, arrays((4, 9, 9, 8), 8, 3))
  got = results_and_gradients(unit, 1, 1, args)
  want = results_and_gradients(separable._parts, 1, 1, args)
  chex.assert_trees_all_close(got, want, rtol=2e-5, atol=2e-5)


def test_derivatives_of_gradients():
  with jax.enable_x64(True):
    args = arrays((2, 4, 5, 3), 3, 3)
    along = jax.tree.map(np.cos, args)

    @functools.partial(jax.jit, static_argnums=0)
    def products(function):
      def loss(*args):
        y, mean, var = function(*args, stride=1, dilation=1)
        return jnp.sin(y).sum() + (jnp.cos(mean) * var).sum()

      gradient = jax.grad(loss, range(5))
      return (
        jax.jvp(gradient, args, along)[1],
        jax.vjp(gradient, *args)[1](along),
      )

    forward, backward = products(unit)
    want, _ = products(separable._parts)
  chex.assert_trees_all_close(forward, want, rtol=1e-9, atol=1e-9)
  # A Hessian is symmetric.
  chex.assert_trees_all_close(backward, want, rtol=1e-9, atol=1e-9)


def test_vmap_is_a_loop():
  args = jax.tree.map(
    lambda *t: np.stack(t), *[arrays((2, 4, 5, 3), 2, 3, s) for s in range(3)]
  )
  axes = (0, None, 0, 0, None)
  args = tuple(a if axis == 0 else a[0] for a, axis in zip(args, axes))
  run = functools.partial(results_and_gradients, unit, 1, 1)
  got = jax.vmap(lambda *args: run(args), axes)(*args)
  each = [
    run(tuple(a[i] if axis == 0 else a for a, axis in zip(args, axes)))
    for i in range(3)
  ]
  want = jax.tree.map(lambda *t: np.stack(t), *each)
  chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-4)


def test_without_the_kernels_xla_gets_the_parts(monkeypatch):
  monkeypatch.setattr(native, 'available', lambda *_: False)
  args = jax.tree.map(jnp.float32, arrays((2, 4, 5, 3), 3, 3))
  text = jax.jit(unit).lower(*args).as_text()
  assert 'custom_call' not in text
  chex.assert_trees_all_equal(
    jax.jit(unit)(*args),
    jax.jit(functools.partial(separable._parts, stride=1, dilation=1))(*args),
  )
