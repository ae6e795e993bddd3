"""Tests of evaluation on plain arrays."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.running import evaluation

evaluate = jax.jit(
  evaluation.evaluate, static_argnums=(0, 4, 5, 6), static_argnames='mistakes'
)


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
    return batch.reshape(size, -1) @ jax.device_put(kernel) + i * jnp.asarray(
      offset
    )

  x = (images[rows] / 255 - 0.4) / 0.3
  number = np.arange(len(rows)) // size
  scores = x.reshape(8, -1) @ kernel + number[:, None] * offset
  right = scores[np.arange(8), labels[rows]]
  losses = np.log(np.exp(scores).sum(1)) - right
  found = evaluate(
    logits,
    images,
    labels,
    jax.device_put(rows),
    size,
    augmentation,
    3,
    mistakes=8,
  )
  np.testing.assert_allclose(found.loss, losses.mean(), rtol=1e-5)
  hits = right == scores.max(1)
  assert 0 < hits.sum() < 8
  np.testing.assert_allclose(found.accuracy, hits.mean(), rtol=1e-6)
  assert found.top5_accuracy == 1  # There are three classes.
  confusion = np.zeros((3, 3), int)
  np.add.at(confusion, (labels[rows], scores.argmax(1)), 1)
  np.testing.assert_array_equal(found.confusion, confusion)
  # Those that are wrong, and no more, the largest loss first.
  wrong = np.flatnonzero(right < scores.max(1))
  order = wrong[np.argsort(-losses[wrong])]
  worst = found.mistakes
  np.testing.assert_allclose(
    worst.losses[: len(order)], losses[order], rtol=1e-5
  )
  assert not np.isfinite(worst.losses[len(order) :]).any()
  np.testing.assert_array_equal(worst.rows[: len(order)], rows[order])
  np.testing.assert_array_equal(
    worst.classes[: len(order)], labels[rows[order]]
  )
  predicted = scores.argmax(1)[order]
  np.testing.assert_array_equal(worst.predicted[: len(order)], predicted)
  shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
  both = np.stack([predicted, labels[rows[order]]], 1)
  np.testing.assert_allclose(
    worst.probabilities[: len(order)],
    np.take_along_axis(shares[order], both, 1),
    rtol=1e-4,
  )


def test_the_five_largest():
  scores = np.random.default_rng(0).standard_normal((9, 7))
  labels = np.arange(9) % 7
  images = np.zeros((9, 1, 1, 1), np.uint8)
  found = evaluate(
    lambda batch, i: jax.lax.dynamic_slice(
      jax.device_put(scores), (3 * i, 0), (3, 7)
    ),
    images,
    labels,
    jnp.arange(9),
    3,
    Augmentation((0.0,), (1.0,)),
    7,
  )
  ranks = (scores > scores[np.arange(9), labels][:, None]).sum(1)
  assert 0 < (ranks < 5).mean() < 1
  np.testing.assert_allclose(found.top5_accuracy, (ranks < 5).mean(), rtol=1e-6)


@pytest.mark.parametrize(
  ('platform', 'devices', 'count', 'fields', 'size'),
  [
    ('cpu', 1, 9000, {}, 64),
    ('cpu', 1, 9000, {'eval_batch_size': 300}, 300),
    ('gpu', 1, 9000, {'eval_batch_size': 300}, 300),
    ('gpu', 1, 9000, {}, 512),
    ('tpu', 6, 9000, {}, 510),
    ('tpu', 4, 359, {}, 360),
    ('gpu', 1, 40, {}, 64),
    ('gpu', 1, 9000, {'batch_size': 1024}, 1024),
    ('gpu', 1, 9000, {'accumulate': 2}, 64),
    ('gpu', 1, 9000, {'remat': True}, 64),
  ],
)
def test_how_many_images_are_evaluated_at_a_time(
  platform, devices, count, fields, size
):
  target = types.SimpleNamespace(platform=platform)
  given = types.SimpleNamespace(target=target, count=devices)
  config = SearchConfig(**fields)
  assert evaluation.batch_size(config, given, count) == size
