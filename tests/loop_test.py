"""Tests of the loop over an epoch's steps, and over a test's batches."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax import loop
from opp_darts_jax.errors import UserError


class Means(NamedTuple):
  train_loss: jax.Array
  train_accuracy: jax.Array


def run(values, chunk):
  """An epoch with these losses of its steps, and what happened in order."""
  events = []

  def dispatch(state, size):
    events.append(('dispatch', state, size))
    own = jnp.array(values[state : state + size])
    return state + size, Means(own.mean(), -own.mean())

  def log(done, size, means):
    events.append(('log', done, size, means))

  result = loop.run_epoch(dispatch, 0, len(values), chunk, log)
  return result, events


@pytest.mark.parametrize('chunk', [1, 2, 3, 4, 7, 20])
def test_means_are_over_steps_whatever_the_chunks(chunk):
  values = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
  (state, means), events = run(values, chunk)
  assert state == 7
  assert list(means) == ['train_loss', 'train_accuracy']
  np.testing.assert_allclose(means['train_loss'], np.mean(values), rtol=1e-6)
  np.testing.assert_allclose(means['train_accuracy'], -np.mean(values), 1e-6)
  assert max(e[2] for e in events) <= chunk


def test_a_chunk_is_logged_while_the_next_one_runs():
  _, events = run([1.0, 3.0, 5.0, 7.0, 10.0], 2)
  assert events == [
    ('dispatch', 0, 2),
    ('dispatch', 2, 2),
    ('log', 2, 2, {'train_loss': 2.0, 'train_accuracy': -2.0}),
    ('dispatch', 4, 1),
    ('log', 4, 2, {'train_loss': 6.0, 'train_accuracy': -6.0}),
    ('log', 5, 1, {'train_loss': 10.0, 'train_accuracy': -10.0}),
  ]


@pytest.mark.parametrize('loss', [np.nan, np.inf])
@pytest.mark.parametrize('step', [0, 3, 4])
def test_a_loss_that_is_not_finite_ends_the_epoch(loss, step):
  values = [1.0] * 5
  values[step] = loss
  with pytest.raises(
    UserError, match=f'must be finite, but is {loss}: .*diver'
  ):
    run(values, 2)
