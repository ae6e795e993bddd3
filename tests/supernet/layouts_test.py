"""Both layouts compute the same: logits, gradients, running averages.

In double precision, so that nothing but rounding far below is let through.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toys

from opp_darts_jax.methods.pc_darts import partial_channels
from opp_darts_jax.operations.cpu import native
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.spaces.skeleton import Part
from opp_darts_jax.supernet.supernet import Supernet

KEY = tiny_search.KEY
SPACES_HERE = {
  'full': tiny_search.space_of(
    'full', 'none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3', 'noise'
  ),
  'fused': tiny_search.space_of(
    'fused', 'max_pool_3x3', 'skip_connect', 'dil_conv_3x3'
  ),
  's1': SPACES['s1'],
  'nasbench201': SPACES['nasbench201'],
  'toy': toys.TOY,
  'sparse': toys.SPARSE,
}


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def few_cells(space):
  """The space with as few cells as show how all of them run."""
  first, last = space.kinds[0], space.kinds[-1]

  def plan(layers, channels, imagenet):
    del layers, imagenet
    keeps = Part('cell0', first, channels)
    halves = Part('cell1', last, 2 * channels, reduction=True)
    # Cells of NAS-Bench-201 never halve; those of S1 take long to compile.
    one = space.name in ('nasbench201', 's1')
    return (keeps,) if one else (keeps, halves)

  skeleton = space.skeleton._replace(plan=plan)
  return dataclasses.replace(space, skeleton=skeleton)


@functools.cache
def network(name, parts):
  """The supernet of a space, its variables, and what it is given."""
  space = few_cells(SPACES_HERE[name])
  partial = partial_channels(parts) if parts else None
  model = Supernet(space, 2, 2 * (parts or 1), 3, partial=partial)
  images = jax.random.normal(KEY, (4, 9, 9, 1))
  mask = tiny_search.mask_of(space)
  # Some edges alone have the last operation.
  mask = {kind: table.at[1:3, -1].set(False) for kind, table in mask.items()}
  numbers = np.random.default_rng(0)
  weights = {
    kind: jnp.asarray(numbers.random(table.shape)) * table
    for kind, table in mask.items()
  }
  variables = tiny_search.random_variables(model, images, weights, mask)
  variables = jax.tree.map(lambda t: t.astype(jnp.float64), variables)
  return model, variables, images, weights, mask


def gradients(layout, name, parts):
  """Of weights and operation weights; logits and running averages."""
  model, variables, images, weights, mask = network(name, parts)

  @jax.jit
  def program(params, weights):
    def loss(params, weights):
      logits, changed = model.clone(layout=layout).apply(
        variables | {'params': params},
        images,
        jax.tree.map(jnp.multiply, weights, mask),
        mask,
        True,
        KEY,
        mutable=['batch_stats'],
      )
      return (logits**2).sum(), (logits, changed)

    return jax.grad(loss, (0, 1), has_aux=True)(params, weights)

  return program(variables['params'], weights)


@functools.cache
def batch_gradients(name, parts):
  return gradients('batch', name, parts)


@pytest.mark.usefixtures('quick_compilation')
@pytest.mark.parametrize(
  ('name', 'parts', 'kernels'),
  [
    ('full', 0, True),
    ('s1', 0, True),
    ('nasbench201', 0, True),
    ('toy', 0, True),
    ('sparse', 0, True),
    ('fused', 2, True),
    ('fused', 2, False),
  ],
)
def test_layouts_agree(name, parts, kernels, monkeypatch):
  if not kernels:
    monkeypatch.setattr(native, 'supports', lambda *_, **__: False)
  (grads, (logits, moved)) = one = gradients('loop', name, parts)
  assert np.isfinite(logits).all()
  assert any(jnp.abs(g).max() > 1e-3 for g in jax.tree.leaves(grads[1]))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10),
    one,
    batch_gradients(name, parts),
  )
  # Something has moved, and the comparison is not of nothing.
  before = network(name, parts)[1]['batch_stats']
  assert any(
    not np.array_equal(*pair)
    for pair in zip(jax.tree.leaves(before), jax.tree.leaves(moved))
  )
