"""Tests of searches whose supernet gets another size on the way."""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from opp_darts_jax.methods import growth
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.stages import Change, Stage
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.searches.live import LiveSearch
from opp_darts_jax.running.searches.results import count_network
from opp_darts_jax.running.searches.search import run_search

SEARCH = dataclasses.replace(
  tiny_runs.SEARCH,
  schedule=dataclasses.replace(tiny_runs.SEARCH.schedule, name='plain'),
)
DEEPER = 1


def deepening(seen):
  """DARTS, which begins anew with two cells at an epoch."""
  base = darts()

  def begin_epoch(search, state, epoch, stages):
    seen.append((epoch, len([n for n in state.weights if 'cell' in n])))
    if epoch != DEEPER:
      return base.begin_epoch(search, state, epoch, stages)
    deep = search.resized(layers=2)
    assert deep.resized(layers=2) is deep
    fresh = deep.fresh(jax.random.fold_in(search.key, 2))
    names = search.space.names
    grown = growth.grow(fresh, fresh, deep, (), names)
    grown = grown.replace(step=state.step)
    return Change(grown, Stage(epoch, names, {}), search=deep)

  def weights(space, params, mask, draw):
    tables = base.weights(space, params, mask, draw)
    # An epoch that is none would spoil losses, those of evaluation too.
    inside = draw.progress.epoch < draw.progress.epochs
    return {k: jnp.where(inside, t, jnp.nan) for k, t in tables.items()}

  return base._replace(
    name='deepening', begin_epoch=begin_epoch, weights=weights
  )


class KillError(Exception):
  """Ends a run in an epoch."""


@pytest.mark.usefixtures('toys')
def test_a_supernet_that_deepens_and_goes_on(tmp_path):
  seen = []
  method = deepening(seen)

  def run(name, **fields):
    return run_search(
      SEARCH, tmp_path / name, method=method, quiet=True, **fields
    )

  losses = []
  whole = run('whole', on_epoch=lambda r: losses.append(r.metrics['eval_loss']))
  assert np.isfinite(losses).all()
  assert seen == [(0, 1), (1, 1), (2, 2)]
  # The network that is counted has the size of the last supernet.
  count_network(tmp_path / 'whole', SEARCH)
  results = json.loads((tmp_path / 'whole' / 'results.json').read_text())
  assert (SEARCH.layers, results['supernet']['layers']) == (1, 2)
  assert results['network']['layers'] == 2
  assert results['network']['channels'] == SEARCH.channels

  def kill(record):
    if record.epoch == 2:
      raise KillError

  with pytest.raises(KillError):
    run('cut', on_epoch=kill)
  seen.clear()
  # The last checkpoint is of the epoch that began with two cells.
  assert run('cut') == whole
  assert seen == [(2, 2)]
  files = ('metrics.jsonl', 'alphas.jsonl')
  assert tiny_runs.contents(tmp_path / 'cut', files) == tiny_runs.contents(
    tmp_path / 'whole', files
  )


class Total(float):
  """A sum of losses that says when it is waited for."""

  def block_until_ready(self):
    self.events.append(('wait', self))


def test_scoring_waits_for_a_dispatch_after_the_next_one_alone():
  events = []

  def total(value):
    made = Total(value)
    made.events = events
    return made

  def score(before, state, mask, data, key, first, count):
    events.append(('dispatch', first, count))
    return total(before + count)

  pace = types.SimpleNamespace(
    size=2,
    start=lambda: None,
    finish=lambda size: events.append(('finished', size)),
  )
  live = LiveSearch(
    config=SEARCH,
    space=None,
    method=None,
    key=None,
    programs=types.SimpleNamespace(score=score),
    make=None,
    images=None,
    data=None,
    devices=Devices(),
    per_epoch=5,
    run=types.SimpleNamespace(pace=pace, stop_if_asked=lambda step: None),
  )
  state = types.SimpleNamespace(step=0)
  assert live.score(state, {}, None) == 1.0
  assert events == [
    ('dispatch', 0, 2),
    ('dispatch', 2, 2),
    ('wait', 2),
    ('finished', 2),
    ('dispatch', 4, 1),
    ('wait', 4),
    ('finished', 2),
    ('wait', 5),
    ('finished', 1),
  ]


def live_of(method, **programs):
  """A search that runs nothing but these programs."""
  return LiveSearch(
    config=SEARCH,
    space=None,
    method=method,
    key=None,
    programs=types.SimpleNamespace(**programs),
    make=None,
    images=None,
    data='data',
    devices=Devices(),
    per_epoch=5,
  )


def test_what_is_evaluated_by_batches():
  def evaluation(loss):
    return lambda state, data, tables=None: types.SimpleNamespace(
      loss=np.float32(loss), accuracy=np.float32(loss / 4)
    )

  programs = {'evaluate': evaluation(1), 'evaluate_batches': evaluation(2)}
  plain = live_of(darts(), **programs)
  sampling = live_of(darts()._replace(sparse=True), **programs)
  assert plain.evaluate(None) == {'eval_loss': 1, 'eval_accuracy': 0.25}
  assert sampling.evaluate(None) == {'eval_loss': 2, 'eval_accuracy': 0.5}
  assert plain.accuracy(None) == sampling.accuracy(None) == 0.25
  assert plain.accuracy(None, by_batch=True) == 0.5


def test_curvature_is_the_largest_eigenvalue_of_what_the_program_gives():
  def curvature(state, data):
    return jnp.array([2.0, 2, 9]), jnp.array([1.0, 0])

  # The 9 is behind the end of the Krylov space.
  assert live_of(darts(), curvature=curvature).curvature(None) == (
    pytest.approx(3)
  )
