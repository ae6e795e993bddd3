"""Tests of many devices, eight of which the CPU pretends to be."""

import subprocess
import sys

import jax
import pytest
from launched import with_devices

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.running.devices import Devices, distribute
from opp_darts_jax.running.trainings.dry_run import dry_run

# Both on the eight devices and, by other kernels, on the first of them.
_SEARCH = """
import dataclasses
import gc
import re
import jax
import jax.numpy as jnp
import numpy as np
from opp_darts_jax.data import dataset
from opp_darts_jax.running.searches import search
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

# On two of them: three norms, two of them a batch of copies as edges are, and a
# layer with a scale and a bias. Then with each device's own statistics, against
# two passes on one device, each over the half of the batch that a device has.
_NORMS = """
from opp_darts_jax.operations import norm
from opp_darts_jax.operations.target import traced_for

numbers = np.random.default_rng(0)
x = jax.device_put(np.float32(numbers.standard_normal((8, 3, 4, 2)) + 1000))
layer = norm.BatchNorm()
variables = layer.init(jax.random.key(0), x, train=True)

def copies(x):
  y, batch = norm.normalise(norm.measure(x), None)
  return jnp.sin(y.value), batch

def program(devices, x=x, own_norms=False):
  def loss(params, x):
    y, batch = jax.vmap(copies)(jnp.stack([x, jnp.cos(x)]))
    last = variables | {'params': params}
    z, moved = layer.apply(last, y.sum(0), True, mutable=['batch_stats'])
    return (z**3).mean(), (batch, moved)

  def gradients(params, x):
    with traced_for(devices.target._replace(own_norms=own_norms)):
      return jax.value_and_grad(loss, (0, 1), has_aux=True)(
        params, devices.divide(x)
      )

  args = devices.copy((variables['params'], x))
  return jax.jit(gradients).lower(*args).compile(), args

def collectives(compiled):
  names = ('all-gather', 'all-reduce', 'all-to-all', 'collective-permute')
  text = compiled.as_text()
  return [len(re.findall(f' {name}(?:-start)?\\\\(', text)) for name in names]

one_device, two_devices = (Devices(jax.devices()[:n]) for n in (1, 2))
found = []
for devices in (one_device, two_devices):
  compiled, args = program(devices)
  found.append(jax.device_get(compiled(*args)))
for one, two in zip(*map(jax.tree.leaves, found)):
  np.testing.assert_allclose(two, one, rtol=1e-3, atol=2e-4)
# A mean of 1000 does not blur a variance of 1.
_, (batch, _) = found[1][0]
flat = np.float64(x).reshape(-1, 2)
np.testing.assert_allclose(batch['mean'][0], flat.mean(0), rtol=1e-6)
np.testing.assert_allclose(batch['var'][0], flat.var(0, ddof=1), rtol=1e-4)
# Devices wait for each other once a norm and once a gradient.
assert collectives(compiled) == [2, 2, 0, 0], collectives(compiled)

compiled, args = program(two_devices, own_norms=True)
# At the end: gradients, loss and statistics in one sum.
assert collectives(compiled) == [0, 1, 0, 0], collectives(compiled)
(loss, aux), (params, x_grads) = jax.device_get(compiled(*args))
of_half, (first_params, _) = program(one_device, x[:4])
halves = [of_half(first_params, half) for half in (x[:4], x[4:])]
means = jax.tree.map(lambda a, b: (a + b) / 2, *halves)
(want, want_aux), (want_params, _) = means
want = want, want_aux, want_params
for a, b in zip(*map(jax.tree.leaves, ((loss, aux, params), want))):
  np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)
by_halves = np.concatenate([half[1][1] for half in halves]) / 2
np.testing.assert_allclose(x_grads, by_halves, rtol=1e-3, atol=2e-4)
# What is averaged is what each half says, unbiased, not what the batch says.
by_hand = (flat[:48].var(0, ddof=1) + flat[48:].var(0, ddof=1)) / 2
np.testing.assert_allclose(aux[0]['var'][0], by_hand, rtol=1e-4)
assert np.abs(by_hand / batch['var'][0] - 1).max() > 1e-3
"""


def test_eight_devices_search_as_one():
  """And with norms by each device's own share, as one device in parts.

  Then what norms give, and how often devices wait for each other for them.
  """
  cache = {'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir}
  done = subprocess.run(
    [sys.executable, '-c', _SEARCH + _NORMS],
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
    dry_run(config, tmp_path)


def test_without_a_cluster_a_sentence_says_what_is_missing(monkeypatch):
  monkeypatch.delenv('JAX_COORDINATOR_ADDRESS', raising=False)
  with pytest.raises(UserError, match='--distributed needs Slurm.*; got: '):
    distribute()
  monkeypatch.setenv('JAX_NUM_PROCESSES', 'two')
  with pytest.raises(UserError, match="--distributed needs .*; got: .*'two'"):
    distribute()
  assert jax.process_count() == 1
