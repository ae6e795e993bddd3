"""Tests of how the C++ kernels are built, and of going on without them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.operations import depthwise
from opp_darts_jax.operations.cpu import native


@pytest.fixture
def cache(monkeypatch, tmp_path):
  """An empty cache, and nothing remembered of an earlier build."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.setattr(native, 'available', native.available.__wrapped__)
  return tmp_path


@pytest.mark.skipif(native.compiler() is None, reason='there is no compiler')
def test_a_library_is_built_once(cache):
  path = native._build('first_order', 'float32')
  assert list((cache / 'opp_darts_jax').iterdir()) == [path]
  built = path.stat().st_mtime_ns
  assert native._build('first_order', 'float32') == path
  assert path.stat().st_mtime_ns == built


@pytest.mark.parametrize('compiler', ['false', 'no-such-compiler'])
def test_without_a_compiler_xla_computes_the_same(
  cache, monkeypatch, caplog, compiler
):
  monkeypatch.setenv('CXX', compiler)
  assert (native.compiler() is None) == (compiler == 'no-such-compiler')
  assert not native.available('first_order', 'float32')
  # A compiler that fails is worth a warning; none at all is not.
  warned = [r.getMessage() for r in caplog.records if r.levelname == 'WARNING']
  assert ['were not built' in w for w in warned] == [True] * (
    compiler == 'false'
  )
  assert not native.supports(jnp.zeros(2))
  rng = np.random.default_rng(0)
  x = jnp.float32(rng.standard_normal((2, 5, 6, 3)))
  kernel = jnp.float32(rng.standard_normal((3, 3, 3)))
  y, back = jax.vjp(depthwise.depthwise_conv, x, kernel)
  params = {'stride': 1, 'dilation': 1}
  want = (
    depthwise._shifted_conv(x, kernel, **params),
    depthwise._scanned_kernel_grad(x, x, size=3, **params),
  )
  for got, expected in zip((y, back(x)[1]), want):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_kernels_that_are_not_there_cannot_be_called(cache, monkeypatch):
  monkeypatch.setenv('CXX', 'no-such-compiler')
  x = jnp.zeros((1, 2, 2, 1))
  with pytest.raises(RuntimeError, match='no C.. kernel separable for float32'):
    native.call('separable', x, x, stride=1, dilation=1)


def test_other_types_are_left_to_xla():
  assert not native.supports(jnp.zeros(2, jnp.float16))
  assert not native.supports(jnp.zeros(2), jnp.zeros(2, jnp.bfloat16))
