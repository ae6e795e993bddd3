"""Tests of how the C++ kernels are built, and of going on without them."""

import ctypes
import errno
import functools
import os
import time
from concurrent import futures

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
  monkeypatch.setattr(native, '_available', native._available.__wrapped__)
  return tmp_path


@pytest.fixture
def tiny(monkeypatch, cache, tmp_path_factory):
  """A library of one small file in place of those that ship."""
  if native.compiler() is None:
    pytest.skip('there is no compiler')
  folder = tmp_path_factory.mktemp('kernels')
  (folder / 'tiny.cc').write_text('extern "C" int three() { return 3; }')
  library = native.Library(('tiny',), ('three',))
  monkeypatch.setattr(native, 'SOURCES', folder)
  monkeypatch.setattr(native, 'LIBRARIES', {'tiny': library})
  monkeypatch.setattr(native.jax.ffi, 'register_ffi_target', lambda *_, **__: 0)
  return cache / 'opp_darts_jax'


def warnings(caplog):
  levels = ((r.levelname, r.getMessage()) for r in caplog.records)
  return [message for level, message in levels if level == 'WARNING']


def test_a_library_is_built_once(tiny):
  path = native._build('tiny', 'float32')
  assert list(tiny.glob('*.so')) == [path]
  built = path.stat().st_mtime_ns
  assert native._build('tiny', 'float32') == path
  assert path.stat().st_mtime_ns == built
  assert ctypes.cdll.LoadLibrary(str(path)).three() == 3


@pytest.mark.parametrize('left', [0, 100, -1])
def test_a_library_that_was_cut_off_is_built_again(tiny, caplog, left):
  whole = native._build('tiny', 'float32').read_bytes()
  path = native._build('tiny', 'float32')
  path.write_bytes(whole[:left])
  assert native.available('tiny', 'float32')
  assert path.read_bytes() == whole
  assert not warnings(caplog)


def test_file_systems_without_links(tiny, monkeypatch):
  def refuse(*args, **kwargs):
    raise OSError(errno.EPERM, 'Operation not permitted')

  monkeypatch.setattr(os, 'link', refuse)
  monkeypatch.setattr(os, 'symlink', refuse)
  assert native.available('tiny', 'float32')


def test_threads_that_ask_at_once_wait_for_one_build(tiny, monkeypatch):
  monkeypatch.setattr(native, '_available', functools.cache(native._available))
  build, calls = native._build, []

  def slow(*args):
    calls.append(args)
    time.sleep(0.1)
    return build(*args)

  monkeypatch.setattr(native, '_build', slow)
  with futures.ThreadPoolExecutor(4) as pool:
    found = pool.map(native.available, ['tiny'] * 4, ['float32'] * 4)
    assert list(found) == [True] * 4
  assert calls == [('tiny', 'float32')]


@pytest.mark.parametrize('locks', [True, False])
def test_processes_that_build_at_once_wait_for_one(tiny, monkeypatch, locks):
  compiled, run = [], native._run

  def count(command):
    compiled.extend(part for part in command if part == '-c')
    return run(command)

  def refuse(self, *args, **kwargs):
    raise NotImplementedError('FileSystem does not appear to support flock')

  monkeypatch.setattr(native, '_run', count)
  if not locks:
    monkeypatch.setattr(native.filelock.FileLock, 'acquire', refuse)
  # As a process does that knows nothing of another.
  with futures.ThreadPoolExecutor(4) as pool:
    paths = list(pool.map(native._build, ['tiny'] * 4, ['float32'] * 4))
  assert all(ctypes.cdll.LoadLibrary(str(p)).three() == 3 for p in paths)
  assert set(tiny.glob('*.so')) == set(paths)
  assert len(compiled) == 1 or not locks


def test_a_cache_that_cannot_be_written(tiny, caplog):
  tiny.write_text('in the way')
  assert not native.available('tiny', 'float32')
  (warning,) = warnings(caplog)
  assert 'slower operations take their place' in warning
  assert str(tiny) in warning
  assert '$XDG_CACHE_HOME moves it' in warning


@pytest.mark.parametrize(
  ('script', 'said'),
  [
    ('echo no memory >&2; exit 1', 'no memory'),
    ('sleep 60', 'timed out after 0.2 seconds'),
    # What it links is no library.
    ('for last; do true; done; echo text > "$last"', 'cannot be used'),
  ],
)
def test_compilers_that_fail(tiny, monkeypatch, caplog, script, said):
  file = tiny.parent / 'compiler'
  file.write_text(f'#!/bin/sh\n{script}\n')
  file.chmod(0o755)
  monkeypatch.setenv('CXX', str(file))
  monkeypatch.setattr(native, '_TIMEOUT', 0.2)
  assert not native.available('tiny', 'float32')
  (warning,) = warnings(caplog)
  assert said in warning


def test_a_library_without_what_it_should_have(tiny, monkeypatch, caplog):
  library = native.Library(('tiny',), ('four',))
  monkeypatch.setattr(native, 'LIBRARIES', {'tiny': library})
  assert not native.available('tiny', 'float32')
  assert 'undefined symbol: four' in warnings(caplog)[0]


@pytest.mark.skipif(native.compiler() is None, reason='there is no compiler')
@pytest.mark.parametrize('size', [1, 64])
def test_too_little_memory_is_an_error_of_the_call(size):
  """Alone or with helping threads; the padding would take 10^14 bytes."""
  x, kernel = jnp.zeros((2, size, size, 3)), jnp.zeros((3, 3, 3))
  for target, args, result in (
    ('depthwise_conv', (x, kernel), x),
    ('depthwise_kernel_grad', (x, x), kernel),
  ):
    with pytest.raises(jax.errors.JaxRuntimeError, match='RESOURCE_EXHAUSTED'):
      native.call(target, result, *args, stride=1, dilation=10**6)


@pytest.mark.parametrize('compiler', ['false', 'no-such-compiler', "g++ 'half"])
def test_without_a_compiler_xla_computes_the_same(
  cache, monkeypatch, caplog, compiler
):
  monkeypatch.setenv('CXX', compiler)
  assert (native.compiler() is None) == (compiler != 'false')
  assert not native.available('first_order', 'float32')
  # A compiler that fails is worth a warning; none at all is not.
  assert len(warnings(caplog)) == (compiler == 'false')
  assert not native.supports(jnp.zeros(2))
  rng = np.random.default_rng(0)
  x = jax.device_put(np.float32(rng.standard_normal((2, 5, 6, 3))))
  kernel = jax.device_put(np.float32(rng.standard_normal((3, 3, 3))))
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
