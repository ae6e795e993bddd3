"""Tests of many devices, eight of which the CPU pretends to be."""

import subprocess
import sys

import jax
import pytest
from launched import with_devices

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.running import training
from opp_darts_jax.running.devices import Devices, distribute

# Both on the eight devices and, by other kernels, on the first of them.
_SEARCH = """
import dataclasses
import gc
import re
import jax
import jax.numpy as jnp
import numpy as np
from opp_darts_jax.data import dataset
from opp_darts_jax.running import search
from opp_darts_jax.config import AlphaOptimizerConfig, DataConfig, SearchConfig
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.loss import make_gradient, make_loss, make_task
from opp_darts_jax.methods.method import no_term
from opp_darts_jax.methods.state import Batch, Metrics
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.programs import compiled
from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.spaces.space import Space

config = SearchConfig(
  layers=1, nodes=1, channels=2, batch_size=16,
  data=DataConfig(crop_padding=1, flip=False, max_train=96, max_test=40),
  alphas=AlphaOptimizerConfig(learning_rate=3e-3),
)
gc.set_threshold(100_000, 20, 20)  # As in conftest.py.
assert jax.device_count() == 8
images = dataset.load(config.data)
# Interpreted kernels take long to compile: of one convolution alone.
space = Space('few', named('skip_connect', 'dil_conv_3x3')).with_nodes(1)
found = []
for devices, layout in (
  (Devices(jax.devices()[:1]), 'loop'),
  (Devices(), 'copies'),
):
  parts = dataclasses.replace(config, layout=layout, accumulate=2)
  devices.check(parts.batch_size, parts.accumulate)
  assert devices.own_rows(16) == list(range(16))
  joined = devices.join(np.arange(16))
  assert len(joined.sharding.device_set) == devices.count
  np.testing.assert_array_equal(joined, np.arange(16))
  run = search.prepare(parts, space, darts(), images, devices)
  state, sums = run.programs.init(run.key), devices.copy(Metrics.zeros())
  for count in (3, 17):
    state, sums = run.programs.steps(
      state, sums, run.data, run.key, 0.025, count
    )
  assert run.programs.steps._cache_size() == 1
  assert len(state.alphas['normal'].sharding.device_set) == devices.count
  score = run.programs.score(
    jnp.zeros(()), state, state.mask, run.data, run.key, 0, 2
  )
  found.append([*state.alphas.values(), *sums, score])
for one, many in zip(*found):
  np.testing.assert_allclose(many, one, rtol=2e-5, atol=1e-6)
# The only cell of so small a network is a reduction cell.
moved = np.abs(found[0][1]).max()
assert moved > 0.01, moved


# Shares of two images, each normalised by itself, are a step in eight parts.
images = np.random.default_rng(0).normal(size=(16, 8, 8, 1))
batch = Batch(jnp.float32(images), jnp.arange(16) % 10)
# A part is every eighth image.
order = np.arange(16).reshape(8, 2).T.ravel()
shuffled = jax.tree.map(lambda t: t[order], batch)
found = []
for devices, batch, fields in (
  (Devices(jax.devices()[:1]), shuffled, {'layout': 'loop', 'accumulate': 8}),
  (Devices(), batch, {'layout': 'copies', 'norm_statistics': 'device'}),
  (Devices(), batch, {'layout': 'lanes', 'norm_statistics': 'device'}),
):
  own = dataclasses.replace(config, **fields)
  task = make_task(own, space, darts(), 10, 5)
  def gradients(state, batch):
    loss = make_loss(task, state, no_term)
    gradient = make_gradient(loss, (0, 1), own.accumulate)
    batch = devices.divide(batch)
    return gradient(state.weights, state.alphas, batch, jax.random.key(0))
  program = compiled(gradients, own, devices)
  args = devices.copy((jax.device_get(state), batch))
  program = program.lower(*args).compile()
  found.append(jax.device_get(program(*args)))
  text = program.as_text()
  assert 'all-gather' not in text
  reductions = len(re.findall(r' all-reduce(?:-start)?\\(', text))
  assert reductions == (devices.count > 1), reductions
for many in found[1:]:
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    many,
    found[0],
  )
"""


def test_eight_devices_search_as_one():
  """And with norms by each device's own share, as one device in parts."""
  cache = {'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir}
  done = subprocess.run(
    [sys.executable, '-c', _SEARCH],
    env=with_devices(8) | cache,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr


def test_batches_that_cannot_be_divided_are_refused():
  Devices().check(5)
  three = Devices()
  three.count = 3
  three.check(12, 2)
  with pytest.raises(
    UserError,
    match='must be a multiple of 6, for 3 devices and accumulate=2; got 9',
  ):
    three.check(9, 2)
  three.check(12, eval_batch_size=9)
  with pytest.raises(
    UserError,
    match='eval_batch_size must be a multiple of 3, for 3 devices, or 0; got 8',
  ):
    three.check(12, eval_batch_size=8)


def test_a_dry_run_of_a_training_refuses_them_too(tmp_path):
  config = TrainConfig(batch_size=9, accumulate=2)
  with pytest.raises(UserError, match='must be a multiple of 2, .*; got 9'):
    training.dry_run(config, tmp_path)


def test_without_a_cluster_a_sentence_says_what_is_missing(monkeypatch):
  monkeypatch.delenv('JAX_COORDINATOR_ADDRESS', raising=False)
  with pytest.raises(UserError, match='--distributed needs Slurm.*; got: '):
    distribute()
  monkeypatch.setenv('JAX_NUM_PROCESSES', 'two')
  with pytest.raises(UserError, match="--distributed needs .*; got: .*'two'"):
    distribute()
  assert jax.process_count() == 1
