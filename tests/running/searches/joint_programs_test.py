"""Tests of the programs of several searches, mapped over them."""

import contextlib
import dataclasses
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toy_supernet
from jax.sharding import use_abstract_mesh

from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.state import Metrics
from opp_darts_jax.operations.target import Target
from opp_darts_jax.running.accelerators import compilation
from opp_darts_jax.running.accelerators.catalogue import ACCELERATORS
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.searches import joint_programs
from opp_darts_jax.running.searches.programs import SearchData, make_programs

KEYS = [jax.random.key(seed) for seed in range(4)]
SPACE = tiny_search.space_of(
  'test', 'max_pool_3x3', 'skip_connect', 'dil_conv_3x3', nodes=1
)
AUGMENTATION = Augmentation((0.5,), (0.3,), crop_padding=1, flip=False)


def data():
  draw = np.random.default_rng(0)
  return SearchData(
    jnp.asarray(draw.integers(0, 256, (24, 8, 8, 1)), jnp.uint8),
    jnp.asarray(draw.integers(0, 3, 24), jnp.int32),
    jnp.arange(12),
    jnp.arange(12, 24),
  )


def toy(method=None):
  """A task whose network compiles in no time."""
  task = tiny_search.task_of(SPACE, method, layers=1)
  return dataclasses.replace(task, model=toy_supernet.network(SPACE))


def made(task, platform='cpu'):
  """The programs of one search of a task, and those of several."""
  devices = Devices(jax.devices()[:1], Target(platform))
  programs = make_programs(task, AUGMENTATION, (8, 8, 1), devices)
  joint = joint_programs.make_joint_programs(programs, task.config, devices)
  return programs, joint


def states_of(task, *masks):
  """States of other weights each, whose stages are their own."""
  states = []
  for number, operations in enumerate(masks):
    state = tiny_search.random_state(task, *operations)
    weights = jax.tree.map(lambda w, n=number: w * (1 + n / 8), state.weights)
    states.append(state.replace(weights=weights))
  return tuple(states)


MASKS = [('dil_conv_3x3',), ('max_pool_3x3', 'dil_conv_3x3')]


def test_searches_are_mapped_to_within_rounding():
  task = toy()
  programs, joint = made(task)
  states, keys = states_of(task, *MASKS), tuple(KEYS[:2])
  rates, images = (0.02, 0.01), data()
  zeros = (Metrics.zeros(),) * 2
  found = joint.steps(states, zeros, images, keys, rates, 3)
  scores = joint.score((0.0, 0.5), states, SAME, images, keys, 1, 2)
  tables = [
    task.tables(s.alphas, s.mask, tiny_search.draw_of()) for s in states
  ]
  own = joint.evaluate(states, images, None)
  other = joint.evaluate(states, images, tuple(tables[::-1]))
  close = {'rtol': 2e-4, 'atol': 2e-5}
  for i, state in enumerate(states):
    args = state, SAME[i], images, keys[i], 1, 2
    expected = programs.score((0.0, 0.5)[i], *args)
    np.testing.assert_allclose(scores[i], expected, rtol=1e-5)
    for mine, given in ((own, None), (other, tables[1 - i])):
      expected = programs.evaluate(state, images, given)
      chex.assert_trees_all_close(mine[i], expected, **close)
    copy = jax.tree.map(jnp.array, state)
    expected = programs.steps(copy, zeros[i], images, keys[i], rates[i], 3)
    after, sums = found[0][i], found[1][i]
    assert after.step.dtype == expected[0].step.dtype
    chex.assert_trees_all_close((after, sums), expected, **close)
    # Operations that have not entered rest, whatever the other search has.
    for kind, mask in state.mask.items():
      same = np.asarray(after.alphas[kind] == state.alphas[kind])
      np.testing.assert_array_equal(same, ~np.asarray(mask))


SAME = tuple(tiny_search.mask_of(SPACE, *mask) for mask in MASKS)


def lowered(joint, name, task, count, platform='cuda'):
  """The text of a program for as many searches as one asks for."""
  states = (tiny_search.shapes_of(task),) * count
  images, keys = data(), tuple(KEYS[:count])
  args = {
    'steps': (
      states,
      (Metrics.zeros(),) * count,
      images,
      keys,
      (0.1,) * count,
      1,
    ),
    'score': (
      (0.0,) * count,
      states,
      tuple(state.mask for state in states),
      images,
      keys,
      0,
      1,
    ),
    'evaluate': (states, images, None),
  }[name]
  gpu = platform == 'cuda'
  mesh = use_abstract_mesh(compilation.mesh_of(ACCELERATORS['h100']))
  with mesh if gpu else contextlib.nullcontext():
    traced = getattr(joint, name).trace(*args)
    return traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize('name', ['steps', 'evaluate'])
def test_four_searches_are_as_many_kernels_as_one(name):
  # Options for the compiler are of the whole program.
  task = tiny_search.task_of(
    SPACE, layers=1, layout='copies', deterministic=True
  )
  _, joint = made(task, 'gpu')
  one, four = (lowered(joint, name, task, count) for count in (1, 4))
  kernels = [
    len(re.findall(r'custom_call @__gpu\$xla.gpu.triton', text))
    for text in (one, four)
  ]
  assert kernels[0] == kernels[1] > 0
  for text in (one, four):
    assert 'stablehlo.case' not in text
    assert 'stablehlo.if' not in text
  # Beside the kernels there are few more: each state is put in and taken out.
  sizes = [text.count('stablehlo.convolution') for text in (one, four)]
  assert sizes[0] == sizes[1]


def test_four_scores_are_as_many_passes_as_one():
  """Of a toy: the kernels of its passes are the first of a step's."""
  task = toy()
  _, joint = made(task, 'gpu')
  one, four = (lowered(joint, 'score', task, count) for count in (1, 4))
  assert one.count('stablehlo.tanh') == four.count('stablehlo.tanh') > 0
  for text in (one, four):
    assert 'stablehlo.case' not in text
    assert 'stablehlo.if' not in text


def test_what_depends_on_the_step_stays_a_condition():
  method = darts()._replace(
    trains_alphas=lambda progress: progress.epoch > 0, name='late'
  )
  task = toy(method)
  _, joint = made(task, 'gpu')
  assert 'stablehlo.case' in lowered(joint, 'steps', task, 2)
