"""Tests of programs that are compiled in threads before they are called."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import SEARCH

from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.state import Metrics
from opp_darts_jax.running.ahead import compiled_ahead
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.live_search import LiveSearch
from opp_darts_jax.running.search_programs import Programs
from opp_darts_jax.spaces.catalogue import get_space


@pytest.fixture
def traced():
  """Names of programs and of threads, in the order in which they traced."""
  return []


def search_of(traced, fail=False, space='darts'):
  """A search whose programs tell who traces them, and compute next to nothing.

  Its state is a number.
  """

  def note(name):
    traced.append((name, threading.current_thread().name.split('_')[0]))

  def steps(state, sums, data, key, rate, count):
    note('steps')
    if fail:
      raise ValueError('no such step')
    return state + count * rate + data.sum(), sums

  def score(total, state, mask, data, key, first, count):
    note('score')
    return total + state + count + sum(m.sum() for m in mask.values())

  def evaluate(state, data):
    note('evaluate')
    return state + data.sum()

  devices = Devices(jax.devices()[:1])
  programs = Programs(
    *(jax.jit(f) for f in (lambda key: jnp.zeros(()), steps, score, evaluate))
  )
  return LiveSearch(
    dataclasses.replace(SEARCH, space=space),
    get_space(space, 1),
    darts(),
    devices.copy(jax.random.key(0)),
    programs,
    None,
    devices.copy(jnp.arange(3.0)),
    devices,
    3,
    None,
  )


def test_threads_compile_what_is_called_later(traced):
  search = search_of(traced)
  with compiled_ahead(search) as ahead:
    copy, p = ahead.devices.copy, ahead.programs
    state = copy(p.init(ahead.key))
    mask = jax.tree.map(np.asarray, ahead.space.mask())
    zero, sums = copy(jnp.zeros(())), copy(Metrics.zeros())
    score = p.score(zero, state, mask, ahead.data, ahead.key, 2, 3)
    moved, _ = p.steps(state, sums, ahead.data, ahead.key, 0.5, 2)
    assert float(moved) == 2 * 0.5 + 3
    assert float(p.evaluate(moved, ahead.data)) == 4 + 3
    active = sum(m.sum() for m in mask.values())
    assert float(score) == 3 + active
  assert sorted(traced) == [
    ('evaluate', 'compile'),
    ('score', 'compile'),
    ('steps', 'compile'),
  ]
  assert all(program._cache_size() == 1 for program in search.programs)


def test_what_is_never_called_is_not_compiled(traced):
  # One of its operations has weights, and nothing is chosen by a score.
  with compiled_ahead(search_of(traced, space='s3')) as search:
    search.programs.evaluate(search.devices.copy(jnp.zeros(())), search.data)
  assert sorted(dict(traced)) == ['evaluate', 'steps']


def test_what_fails_in_a_thread_fails_in_the_call(traced):
  search = search_of(traced, fail=True)
  with compiled_ahead(search) as ahead:
    state = ahead.devices.copy(jnp.zeros(()))
    sums = ahead.devices.copy(Metrics.zeros())
    with pytest.raises(ValueError, match='no such step'):
      ahead.programs.steps(state, sums, ahead.data, ahead.key, 0.5, 2)
  assert ('steps', 'MainThread') in traced
