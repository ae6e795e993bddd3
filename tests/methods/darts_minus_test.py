"""Tests of DARTS-: the auxiliary skip connection and its decay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import darts_minus as darts_minus_lib
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.darts_minus import AUXILIARY, darts_minus
from opp_darts_jax.spaces.catalogue import SPACES

SPACE = tiny_search.space_of('s3', 'none', 'skip_connect', 'sep_conv_3x3')
MASK = tiny_search.mask_of(SPACE)


@pytest.mark.parametrize(
  ('decay', 'want'),
  [
    ('linear', [1.0, 0.5, 0.02]),
    ('cosine', [1.0, 0.5, (1 + np.cos(0.98 * np.pi)) / 2]),
    ('slow_cosine', [1.0, np.sqrt(0.5), np.cos(0.49 * np.pi)]),
    ('none', [1.0, 1.0, 1.0]),
  ],
)
def test_weight_of_the_auxiliary_skip(decay, want):
  method = darts_minus(decay=decay)
  alphas = method.init(tiny_search.KEY, SPACE)
  plain = darts().scores(SPACE, alphas, MASK)
  for epoch, beside in zip((0, 25, 49), want):
    draw = tiny_search.draw_of(2 * epoch + 1, 50)
    tables = method.weights(SPACE, alphas, MASK, draw)
    for kind in SPACE.kinds:
      np.testing.assert_array_equal(tables[kind][:, :3], plain[kind])
      np.testing.assert_allclose(tables[kind][:, 3], beside, atol=1e-6)


@pytest.mark.parametrize('name', ['s1', 's4', 'nasbench201'])
def test_every_edge_has_it_besides_what_it_had(name):
  space = SPACES[name]
  found = darts_minus_lib.with_auxiliary(space)
  assert found.names == (*space.names, AUXILIARY)
  assert found.derive is space.derive
  for kind, table in space.mask().items():
    np.testing.assert_array_equal(found.mask()[kind][:, :-1], table)
    assert found.mask()[kind][:, -1].all()


def test_nothing_but_the_auxiliary_skip_is_the_identity():
  # With all searched weight on none, an edge of stride 1 gives its source.
  space = SPACE.with_nodes(1)
  task = tiny_search.task_of(space, darts_minus(), layers=1, channels=2)
  state = tiny_search.random_state(task)
  images = tiny_search.batches()[0].images
  whole = task.supernet_mask(state.mask)

  @jax.jit
  def logits(weights, tables):
    return task.model.apply(
      {'params': weights, 'batch_stats': state.batch_stats},
      images, tables, whole, True, mutable=['batch_stats'],
    )[0]  # fmt: skip

  def tables(skip, auxiliary):
    row = jnp.array([1.0 - skip, skip, 0.0, auxiliary])
    return {kind: jnp.broadcast_to(row, (2, 4)) for kind in space.kinds}

  same = jax.tree.map(lambda w: w, state.weights)
  cell = same['cell0']
  cell[AUXILIARY] = cell['skip_connect']
  np.testing.assert_allclose(
    logits(same, tables(0.0, 1.0)), logits(same, tables(1.0, 0.0)), rtol=1e-4
  )
  none = logits(same, tables(0.0, 0.0))
  assert np.abs(none - logits(same, tables(0.0, 1.0))).max() > 1e-3


def test_unfit_arguments():
  with pytest.raises(UserError, match=r"decay of darts_minus 'no'; valid are:"):
    darts_minus(decay='no')
  with pytest.raises(UserError, match=r'at least 0; got start=-1'):
    darts_minus(start=-1)
