"""Tests of the kernels for a node's separable operations, in float64."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax import mixture, native
from opp_darts_jax.gate import gated_operation
from opp_darts_jax.primitives import PRIMITIVES

NAMES = ('sep_conv_3x3', 'dil_conv_5x5', 'sep_conv_5x5', 'dil_conv_3x3')
ACTIVE = jnp.array([[True, True, False, True], [False, True, True, False]])

pytestmark = pytest.mark.skipif(
  not native.available(), reason='there is no C++ compiler'
)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def arrays(channels, size):
  rng = np.random.default_rng(0)
  params = [
    {
      leaf: jnp.asarray(rng.standard_normal((len(ACTIVE), *weights.shape)))
      for leaf, weights in jax.eval_shape(
        lambda name=name: PRIMITIVES[name].init(
          jax.random.key(0), (), channels, 1
        )
      ).items()
    }
    for name in NAMES
  ]
  x = rng.standard_normal((3, size, size + 1, channels))
  return jnp.asarray(x), jnp.asarray(rng.random(ACTIVE.shape)), params


def mixed(x, weights, params, stride):
  return mixture.separable_mixture(
    NAMES, ACTIVE, x, weights, mixture.pack(params), stride
  )


def parts(x, weights, params, stride):
  """The same by conditions, and by loops over edges and operations."""
  sums, statistics = [], [[] for _ in NAMES]
  for d, edge in enumerate(ACTIVE):
    sums.append(0.0)
    for k, name in enumerate(NAMES):
      apply = gated_operation(PRIMITIVES[name], stride, True, recompute=False)
      own = jax.tree.map(lambda p, d=d: p[d], params[k])
      y, batch = apply(edge[k], weights[d, k], own, {}, x, None)
      sums[-1] += y
      statistics[k].append(batch)
  return jnp.stack(sums), [
    jax.tree.map(lambda *t: jnp.stack(t), *batches) for batches in statistics
  ]


def loss(function, stride, *args):
  y = function(*args, stride)[0]
  return (jnp.sin(y) * jnp.linspace(0, 1, y.size).reshape(y.shape)).sum()


@pytest.mark.parametrize(
  ('channels', 'size', 'stride'), [(5, 7, 1), (8, 9, 2), (12, 4, 1)]
)
def test_sums_statistics_and_gradients(channels, size, stride):
  args = arrays(channels, size)
  sums, moments = jax.jit(mixed, static_argnums=3)(*args, stride)
  want, statistics = jax.jit(parts, static_argnums=3)(*args, stride)
  count = want[0, ..., 0].size
  chex.assert_trees_all_close(sums, want, rtol=1e-10, atol=1e-10)
  got = mixture.statistics(NAMES, moments, channels, count)
  for k, (batch, expected) in enumerate(zip(got, statistics)):
    # Nothing is said of the moments of what is not active.
    rows = np.flatnonzero(ACTIVE[:, k])
    chex.assert_trees_all_close(
      *(
        jax.tree.map(lambda t, rows=rows: t[rows], b) for b in (batch, expected)
      ),
      rtol=1e-10,
    )
  assert not moments[1, : 4 * channels].any()
  gradients = (
    jax.jit(jax.grad(functools.partial(loss, function, stride), (0, 1, 2)))
    for function in (mixed, parts)
  )
  got, want = (gradient(*args) for gradient in gradients)
  chex.assert_trees_all_close(got, want, rtol=1e-9, atol=1e-9)
  # An inactive operation has no gradient.
  assert not got[1][~np.asarray(ACTIVE)].any()


def test_derivatives_of_gradients():
  args = arrays(3, 5)
  along = jax.tree.map(jnp.cos, args)

  def product(function):
    gradient = jax.grad(functools.partial(loss, function, 1), (0, 1, 2))
    return jax.jit(lambda: jax.jvp(gradient, args, along)[1])()

  chex.assert_trees_all_close(
    product(mixed), product(parts), rtol=1e-9, atol=1e-9
  )


def test_vmap_is_a_loop():
  x, weights, params = arrays(3, 5)
  several = jnp.stack([weights, 1 - weights])
  run = jax.jit(
    lambda weights: jax.grad(functools.partial(loss, mixed, 1), (0, 1))(
      x, weights, params
    )
  )
  got = jax.vmap(run)(several)
  want = jax.tree.map(lambda *t: jnp.stack(t), *map(run, several))
  chex.assert_trees_all_close(got, want, rtol=1e-10, atol=1e-10)


def test_one_kernel_forward_and_one_backward():
  args = arrays(3, 5)
  gradient = jax.grad(functools.partial(loss, mixed, 1), (0, 1, 2))
  text = jax.jit(gradient).lower(*args).as_text()
  assert text.count('custom_call @mixture_float64') == 1
  assert text.count('custom_call @mixture_grad_float64') == 1
