"""Tests of the loop over an epoch's steps, and over a test's batches."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax import loop
from opp_darts_jax.augment import Augmentation
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


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def evaluate(logits, images, labels, rows, size, augmentation):
  return loop.evaluate(logits, images, labels, rows, size, augmentation)


@pytest.mark.parametrize('size', [1, 2, 4, 7, 8, 10])
def test_every_row_counts_once(size):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (12, 2, 3, 1), np.uint8)
  labels = rng.integers(0, 3, 12)
  rows = np.array([11, 0, 5, 3, 8, 2, 7, 10])
  kernel = rng.standard_normal((6, 3))
  offset = np.array([0.5, -0.2, 0.1])
  augmentation = Augmentation((0.4,), (0.3,), cutout=2)

  def logits(batch, i):
    assert batch.shape == (size, 2, 3, 1)
    return batch.reshape(size, -1) @ jnp.asarray(kernel) + i * jnp.asarray(
      offset
    )

  x = (images[rows] / 255 - 0.4) / 0.3
  number = np.arange(len(rows)) // size
  scores = x.reshape(8, -1) @ kernel + number[:, None] * offset
  right = scores[np.arange(8), labels[rows]]
  losses = np.log(np.exp(scores).sum(1)) - right
  loss, accuracy = evaluate(
    logits, images, labels, jnp.asarray(rows), size, augmentation
  )
  np.testing.assert_allclose(loss, losses.mean(), rtol=1e-5)
  hits = right == scores.max(1)
  assert 0 < hits.sum() < 8
  np.testing.assert_allclose(accuracy, hits.mean(), rtol=1e-6)
