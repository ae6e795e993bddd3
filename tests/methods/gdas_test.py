"""Tests of GDAS: samples straight through, what a pass computes, derivation."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.cell import Edge
from opp_darts_jax.methods import gdas as gdas_lib
from opp_darts_jax.methods.gdas import gdas
from opp_darts_jax.methods.loss import table_loss
from opp_darts_jax.methods.samples import gumbel_softmax
from opp_darts_jax.methods.snas import snas
from opp_darts_jax.operations.target import Target, traced_for
from opp_darts_jax.spaces.catalogue import SPACES

KEY = tiny_search.KEY
SPACE = tiny_search.space_of('s3', 'none', 'skip_connect', 'sep_conv_3x3')
ALPHAS = np.float32([[0.5, -1.0, 2.0, 0.0], [1.0, 1.0, -2.0, 3.0]])
MASK = np.array([[True] * 4, [True, True, False, False]])


@pytest.mark.parametrize('temperature', [0.1, 1.0, 100.0])
def test_samples_have_the_frequencies_of_the_softmax(temperature):
  keys = jax.random.split(KEY, 4000)
  sample = jax.vmap(lambda k: gdas_lib.sample(k, ALPHAS, MASK, temperature))
  drawn = np.asarray(jax.jit(sample)(keys))
  assert set(np.unique(drawn)) == {0.0, 1.0}
  np.testing.assert_array_equal(drawn.sum(-1), 1)
  want = np.where(MASK, np.exp(ALPHAS), 0)
  want /= want.sum(-1, keepdims=True)
  np.testing.assert_allclose(drawn.mean(0), want, atol=0.03)


def test_gradients_are_those_of_the_relaxed_sample():
  @jax.jit
  def jacobians(alphas):
    return [
      jax.jacobian(lambda alphas, f=f: f(KEY, alphas, MASK, 0.7))(alphas)
      for f in (gdas_lib.sample, gumbel_softmax)
    ]

  hard, soft = jax.device_get(jacobians(ALPHAS))
  np.testing.assert_allclose(hard, soft, atol=1e-6)
  assert np.abs(soft[0, :, 0]).max() > 0.01


def test_temperature_falls_linearly():
  @jax.jit
  def spread(step):
    """How far a relaxed sample is from uniform, by the gradient's size."""
    draw = tiny_search.draw_of(step, epochs=4)
    mask = SPACE.mask()

    def first(alphas):
      tables = gdas(10.0, 1.0).weights(SPACE, alphas, mask, draw)
      return tables['normal'][0, 0]

    alphas = {kind: jnp.zeros(m.shape) for kind, m in mask.items()}
    return jax.grad(first)(alphas)['normal'][0]

  @jax.jit
  def noise():
    own = gdas_lib.key_of_each(KEY, SPACE)['normal']
    return jax.random.gumbel(own, (5, 3))[0]

  # Epochs 0 to 3 of two steps: temperatures 10, 7, 4, 1.
  for step, heat in ((0, 10.0), (2, 7.0), (7, 1.0)):
    exps = np.exp(np.asarray(noise()) / heat)
    shares = exps / exps.sum()
    want = shares[0] * (np.eye(3)[0] - shares) / heat
    found = spread(np.int32(step))
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
  ('method', 'heats'),
  [(gdas(10.0, 1.0), (10.0, 7.0, 1.0)), (snas(0.25), (0.8125, 0.625, 0.25))],
)
def test_epochs_tell_their_temperature(method, heats):
  search = types.SimpleNamespace(per_epoch=2, config=SearchConfig(epochs=4))
  for step, heat in zip((2, 4, 8), heats):
    state = types.SimpleNamespace(step=jnp.int32(step))
    assert method.numbers(search, state, None) == {
      'temperature': pytest.approx(heat)
    }


# The C++ kernels compute an edge's operations alone; on several devices, edges
# share identities and pools, which would give the rest a slope.
@pytest.mark.parametrize('devices', [1, 2])
def test_a_pass_computes_what_is_sampled_alone(devices):
  space = tiny_search.space_of(
    's', 'skip_connect', 'avg_pool_3x3', 'sep_conv_3x3'
  )
  task = tiny_search.task_of(space, gdas(), layers=1, channels=2)
  state = tiny_search.random_state(task)
  # Two edges leave the first input, the last one has a stride of 1.
  sampled = np.zeros((5, 3), np.float32)
  sampled[[0, 2, 4], [1, 2, 2]] = 1
  tables = dict.fromkeys(space.kinds, sampled)
  loss = table_loss(task, state.batch_stats, state.mask)
  train = tiny_search.batches()[0]

  @jax.jit
  def run(weights, tables):
    with traced_for(Target('cpu', devices=devices)):
      gradient = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
      return gradient(weights, tables, train, KEY)

  (_, found), grads = run(state.weights, tables)
  found, grads, state = jax.device_get((found, grads, state))
  moved = jax.tree.map(
    lambda old, new: (old != new).reshape(len(old), -1).any(1),
    state.batch_stats['cell0'],
    found.batch_stats['cell0'],
  )
  assert moved['sep_conv_3x3']['mean'].tolist() == sampled[:, 2].tolist()
  assert not moved['skip_connect']['mean'].any()
  kernel = grads[0]['cell0']['sep_conv_3x3']['pointwise']
  np.testing.assert_array_equal(kernel.any((1, 2, 3)), sampled[:, 2])
  np.testing.assert_array_equal(grads[1]['reduce'] != 0, sampled != 0)


def test_two_pairs_may_be_of_one_edge_and_none_is_no_pair():
  space = SPACE
  scores = np.zeros((5, 3))
  scores[1] = [0.9, 0.4, 0.3]  # Both pairs of the first node are of this edge.
  scores[[2, 4], 1] = 0.2, 0.5
  cell = gdas_lib.two_pairs(space, 'normal', scores)
  assert cell.edges == (
    Edge('skip_connect', 1, 2),
    Edge('sep_conv_3x3', 1, 2),
    Edge('skip_connect', 2, 3),
    Edge('skip_connect', 0, 3),
  )


def test_other_rules_of_derivation_are_the_spaces_own():
  space, method = SPACES['nasbench201'], gdas()
  alphas = np.zeros((6, 5), np.float32)
  alphas[:, 0] = 5
  found = tiny_search.derived(method, space, {'cell': alphas})
  assert found.operations == ('none',)


def test_unfit_temperatures():
  with pytest.raises(UserError, match=r'above 0; got temperature=10.0 and'):
    gdas(temperature_min=0)
