"""Tests of DARTS-PT: what is chosen, in which order, and by what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toy_network

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import darts_pt as darts_pt_lib
from opp_darts_jax.methods.darts_pt import darts_pt
from opp_darts_jax.methods.stages import Stage
from opp_darts_jax.spaces.catalogue import SPACES

# Three nodes: 2, 3 and 4 edges, of which the last two nodes keep a part.
SPACE = tiny_search.space_of(
  's', 'skip_connect', 'sep_conv_3x3', 'max_pool_3x3', nodes=3
)
BENCH = SPACES['nasbench201']
BEST = 1
# What each edge is worth; removing the best operation of it costs as much.
WORTH = np.array([1, 2, 3, 5, 4, 6, 9, 8, 7]) / 100


class Judge:
  """An accuracy that depends on one operation an edge, whatever the alphas."""

  def __init__(self):
    self.asked = []

  def __call__(self, state, tables=None, by_batch=False):
    assert by_batch
    self.asked.append(jax.device_get(tables))
    return float(
      sum(
        (np.asarray(t)[:, BEST] * WORTH[: len(t)]).sum()
        for t in tables.values()
      )
    )


def selection(method, space, search_epochs, interval, epochs, seed=0):
  """The states after each choice of a search that does not train."""
  _, state = toy_network.search_of(method, space=space)
  # Alphas prefer anything but the best operation.
  alphas = {
    k: jnp.zeros(t.shape).at[:, BEST].set(-3.0) for k, t in state.mask.items()
  }
  velocity = jax.tree.map(jnp.ones_like, state.weight_opt)
  state = state.replace(alphas=alphas, weight_opt=velocity)
  judge = Judge()
  plain = ScheduleConfig('plain')
  config = SearchConfig(epochs=epochs, seed=seed, schedule=plain)
  method.check(config, space)
  search = tiny_search.search_of(space, config, accuracy=judge)
  stages, states = [Stage(0, space.names, {})], []
  for epoch in range(1, epochs):
    before = len(judge.asked)
    change = method.begin_epoch(search, state, epoch, stages)
    chooses = epoch >= search_epochs and (epoch - search_epochs) % interval == 0
    assert chooses or len(judge.asked) == before
    assert chooses or change.state is state
    state = change.state
    if chooses:
      states.append(state)
  return states, judge


def test_operations_then_edges_are_those_without_which_it_is_worst():
  method = darts_pt(search_epochs=2, interval=2)
  assert darts_pt_lib.count_choices(SPACE) == 9 + 2
  states, judge = selection(method, SPACE, 2, 2, epochs=2 + 2 * 10 + 1)
  assert len(states) == 11
  for number, state in enumerate(states[:9], 1):
    for kind in SPACE.kinds:
      decided = np.asarray(state.mask[kind]).sum(1) == 1
      assert decided.sum() == number
  done = states[8]
  for kind in SPACE.kinds:
    assert (np.asarray(done.mask[kind]).argmax(1) == BEST).all()
    tables = method.scores(SPACE, done.alphas, done.mask)
    np.testing.assert_array_equal(tables[kind], np.eye(3)[[BEST] * 9])
  last = states[-1]
  for kind in SPACE.kinds:
    live = np.asarray(last.mask[kind]).any(1)
    # Of edges 2 to 4 and 5 to 8 the two worth most.
    assert np.flatnonzero(live).tolist() == [0, 1, 3, 4, 6, 7]
  found = tiny_search.derived(method, SPACE, last.alphas, last.mask)
  assert found.operations == ('sep_conv_3x3',)
  sources = [(e.source, e.node) for e in found['normal'].edges]
  assert sources == [(0, 2), (1, 2), (1, 3), (2, 3), (1, 4), (2, 4)]
  # Momentum is forgotten at the first choice.
  assert not any(leaf.any() for leaf in jax.tree.leaves(states[0].weight_opt))


def test_one_weight_is_0_and_the_others_are_as_they_are():
  method = darts_pt(search_epochs=1, interval=1)
  states, judge = selection(method, BENCH, 1, 1, epochs=1 + 5 + 1)
  state = states[0]
  # Five operations of one undecided edge, first of all.
  whole = method.scores(BENCH, state.alphas, tiny_search.mask_of(BENCH))['cell']
  for tables in judge.asked[:5]:
    differs = np.argwhere(tables['cell'] != whole)
    assert len(differs) == 1
    assert tables['cell'][tuple(differs[0])] == 0
  # Every edge is kept there, `none` is a candidate, and no edge is dropped.
  assert darts_pt_lib.count_choices(BENCH) == 6
  assert np.asarray(states[-1].mask['cell']).sum() == 6


def test_the_order_of_choices_is_the_seeds():
  method = darts_pt(search_epochs=1, interval=1)

  def order(seed):
    states, _ = selection(method, BENCH, 1, 1, epochs=7, seed=seed)
    masks = [np.asarray(state.mask['cell']).sum(1) for state in states]
    return [np.flatnonzero(mask == 1).tolist() for mask in masks]

  assert order(0) == order(0) != order(1)


def test_rates():
  method, config = darts_pt(search_epochs=10), SearchConfig(epochs=100)
  rates = [method.learning_rate(config, epoch, [0]) for epoch in (0, 9, 10, 99)]
  least = 0.001 + 0.024 * (1 + np.cos(0.9 * np.pi)) / 2
  np.testing.assert_allclose(rates, [0.025, least, 0.0025, 0.0025])


def test_alphas_may_be_held():
  task, state = toy_network.search_of(darts_pt(holds_alphas=True))
  after, metrics = toy_network.stepped(task, state)
  for kind, table in state.alphas.items():
    np.testing.assert_array_equal(after.alphas[kind], table)
  assert not np.array_equal(after.weights['head'], state.weights['head'])
  assert np.isnan(metrics.val_loss)


def test_unfit_numbers():
  darts_pt().check(SearchConfig(epochs=131), SPACES['darts'])
  with pytest.raises(UserError, match=r'at least 131 for darts_pt .* got 130'):
    darts_pt().check(SearchConfig(epochs=130), SPACES['darts'])
  with pytest.raises(UserError, match=r'at least 1; .* and interval=0'):
    darts_pt(interval=0)
