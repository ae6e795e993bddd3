"""Programs for devices that are not here: what they are lowered to."""

import contextlib
import functools
import re

import jax
import jax.numpy as jnp
import pytest
import tiny_search
from jax.experimental import pallas
from jax.experimental.pallas import triton
from jax.sharding import use_abstract_mesh

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.genotypes.darts_form import darts_genotype
from opp_darts_jax.methods.state import Metrics
from opp_darts_jax.networks.network import Network
from opp_darts_jax.operations.target import Target, traced_for
from opp_darts_jax.running import programs
from opp_darts_jax.running.accelerators import compilation
from opp_darts_jax.running.accelerators.catalogue import ACCELERATORS
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.searches.programs import SearchData, make_programs
from opp_darts_jax.running.trainings.programs import (
  TrainMetrics,
  make_train_programs,
)
from opp_darts_jax.supernet import cell

# What JAX calls a platform that is lowered for -> what its devices do.
PLATFORMS = {'cpu': 'cpu', 'cuda': 'gpu', 'tpu': 'tpu'}
SPACE = tiny_search.space_of(
  'test', 'max_pool_3x3', 'skip_connect', 'dil_conv_3x3', nodes=1
)
EDGES = (
  *(('sep_conv_3x3', 0), ('avg_pool_3x3', 1)),
  *(('skip_connect', 0), ('max_pool_3x3', 2)),
)
CELLS = darts_genotype(EDGES, (2, 3), EDGES, (2, 3))
AUGMENTATION = Augmentation((0.5,), (0.3,), crop_padding=1, flip=False)
PRODUCT = re.compile(r'stablehlo\.(?:dot_general|convolution)\b.*')


def devices_for(platform):
  return Devices(target=Target(platform))


def search(platform, **fields):
  """{program: (it, its arguments)} of a search."""
  task = tiny_search.task_of(SPACE, layers=1, **fields)
  state = tiny_search.shapes_of(task)
  made = make_programs(task, AUGMENTATION, (8, 8, 1), devices_for(platform))
  rows = jnp.arange(8)
  data = SearchData(jnp.zeros((16, 8, 8, 1), jnp.uint8), rows, rows, rows)
  key = tiny_search.KEY
  return {
    'steps': (made.steps, (state, Metrics.zeros(), data, key, 0.1, 1)),
    'score': (made.score, (0.0, state, state.mask, data, key, 0, 1)),
    'evaluate': (made.evaluate, (state, data)),
  }


def training(platform, **fields):
  config = TrainConfig(layers=1, channels=2, batch_size=4, **fields)
  model = Network(CELLS, 1, 2, 3, stack=config.stack)  # It is a reduction cell.
  made = make_train_programs(
    config, model, (8, 8, 1), AUGMENTATION, devices_for(platform)
  )
  key = tiny_search.KEY
  images, labels = jnp.zeros((4, 8, 8, 1), jnp.uint8), jnp.arange(4) % 3
  state = jax.eval_shape(made.init, key)
  step = (state, TrainMetrics.zeros(), images, labels, key, 0.1, 0.1)
  return {
    'step': (made.step, step),
    'test': (made.test, (state, images, labels, 4)),
  }


PROGRAMS = [
  (search, {}, 'steps'),
  (search, {'order': 'second'}, 'steps'),
  (search, {}, 'score'),
  (search, {}, 'evaluate'),
  (training, {}, 'step'),
  (training, {}, 'test'),
]


@functools.cache
def text(make, name, platform, **fields):
  program, args = make(PLATFORMS[platform], **fields)[name]
  # Kernels for GPU ask whose they are.
  mesh = compilation.mesh_of(ACCELERATORS['h100']) if make is search else None
  with contextlib.nullcontext() if mesh is None else use_abstract_mesh(mesh):
    traced = program.trace(*args)
    return traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize(
  ('make', 'fields', 'name', 'platform'),
  [
    (*program, platform)
    for program in PROGRAMS
    for platform in PLATFORMS
    # Second order's are counted in ../operations/cpu/mixture_test.py.
    if (program, platform) != (PROGRAMS[1], 'cpu')
  ],
)
def test_kernels_are_called_on_a_cpu_alone(make, fields, name, platform):
  lowered = text(make, name, platform, **fields)
  kernels = re.findall(r'custom_call @(\w+_float32)', lowered)
  assert bool(kernels) == (platform == 'cpu')


@pytest.mark.parametrize(
  ('platform', 'layout'),
  [('cpu', 'loop'), ('gpu', 'copies'), ('tpu', 'lanes')],
)
def test_the_layout_is_that_of_the_platform(platform, layout):
  with traced_for(Target(platform)):
    assert cell._best_layout() == layout


def test_the_layout_of_the_platform_is_what_runs():
  chosen = text(search, 'evaluate', 'cuda')
  assert chosen == text(search, 'evaluate', 'cuda', layout='copies')


def test_a_sum_by_atomic_additions_would_be_seen():
  def kernel(x_ref, out_ref):
    triton.atomic_add(out_ref, (0,), x_ref[0])

  add = pallas.pallas_call(
    kernel,
    out_shape=jax.ShapeDtypeStruct((8,), jnp.float32),
    compiler_params=triton.CompilerParams(),
  )
  with use_abstract_mesh(compilation.mesh_of(ACCELERATORS['h100'])):
    lowered = (
      jax.jit(add).trace(jnp.zeros(8)).lower(lowering_platforms=('cuda',))
    )
  assert 'atomic' in lowered.as_text()


@pytest.mark.parametrize(
  ('make', 'fields', 'name'), [*PROGRAMS[:3], PROGRAMS[4]]
)
def test_sums_are_in_the_same_order_on_a_gpu(make, fields, name):
  lowered = text(make, name, 'cuda', **fields)
  assert 'atomic' not in lowered
  # XLA compiles none of these where order counts.
  assert 'select_and_scatter' not in lowered
  assert '"stablehlo.scatter"' not in lowered


@pytest.mark.parametrize(
  ('platform', 'deterministic'), [('gpu', True), ('gpu', False), ('tpu', True)]
)
def test_a_gpu_is_told_to_be_deterministic(
  platform, deterministic, monkeypatch
):
  given = []
  monkeypatch.setattr(
    programs.jax, 'jit', lambda f, **options: given.append(options)
  )
  config = TrainConfig(deterministic=deterministic)
  programs.compiled(jnp.sin, config, devices_for(platform))
  wanted = {'xla_gpu_deterministic_ops': True}
  expected = wanted if platform == 'gpu' and deterministic else None
  assert given[-1].get('compiler_options') == expected


def test_the_compiler_knows_the_option():
  config = TrainConfig(deterministic=True)
  sine = programs.compiled(jnp.sin, config, devices_for('gpu'))
  assert sine(0.0) == 0.0


# What a kernel is there, and the most lines of the steps of a cell of three
# operations on two edges, forward and backward twice.
ACCELERATED = pytest.mark.parametrize(
  ('platform', 'kernel', 'lines'),
  [
    ('cuda', r'custom_call @__gpu\$xla.gpu.triton', 3500),
    ('tpu', r'custom_call @tpu_custom_call', 3500),
  ],
)


@ACCELERATED
@pytest.mark.parametrize(('make', 'fields', 'name'), PROGRAMS[:3])
def test_nothing_waits_or_scatters(make, fields, name, platform, kernel, lines):
  lowered = text(make, name, platform, **fields)
  assert 'stablehlo.case' not in lowered
  assert 'stablehlo.if' not in lowered
  assert '"stablehlo.scatter"' not in lowered
  # By loops: as many kernels for an operation as for eight.
  assert len(re.findall(kernel, lowered)) > 2
  if (fields, name) == ({}, 'steps'):
    assert lowered.count('\n') < lines


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
@pytest.mark.parametrize(('make', 'fields', 'name'), PROGRAMS)
def test_float32_is_float32(make, fields, name, platform):
  products = PRODUCT.findall(text(make, name, platform, **fields))
  assert products
  assert [p for p in products if p.count('HIGHEST') != 2] == []


@pytest.mark.parametrize('make', [search, training])
def test_a_lower_precision_may_be_asked_for(make):
  name = 'evaluate' if make is search else 'test'
  products = PRODUCT.findall(text(make, name, 'tpu', precision='default'))
  inexact = [product for product in products if 'HIGHEST' not in product]
  # What copies weights to the pixels of a block is exact, by ones and zeros.
  copying = [product for product in products if 'tensor<8x128xf32>' in product]
  assert inexact
  assert sorted(inexact + copying) == sorted(products)
