"""Tests of the weights' learning rate."""

import numpy as np

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.methods.rates import cosine_rate

PUBLISHED = [0, 2, 4, 6, 8, 10, 12, 14]


def rates(cosine, stage_epochs=tuple(PUBLISHED)):
  config = SearchConfig(schedule=ScheduleConfig(cosine=cosine))
  return [
    cosine_rate(config, epoch, stage_epochs) for epoch in range(config.epochs)
  ]


def test_plain_cosine():
  plain = rates('plain')
  assert plain == rates('plain', stage_epochs=())
  assert plain[0] == 0.025
  np.testing.assert_allclose(plain[14], 0.0206, atol=5e-5)
  np.testing.assert_allclose(plain[25], (0.025 + 0.001) / 2)
  np.testing.assert_allclose(plain[49], 0.001, atol=5e-5)
  assert (np.diff(plain) < 0).all()


def test_reanchored_cosine():
  anchored = rates('reanchored')
  assert anchored[0] == 0.025
  assert anchored[:2] == rates('plain')[:2]
  np.testing.assert_allclose(anchored[14], 0.0241, atol=5e-5)
  np.testing.assert_allclose(anchored[49], 0.001, atol=5e-5)
  assert (np.diff(anchored) < 0).all()
  # A stage still to come changes nothing.
  assert rates('reanchored', PUBLISHED[:4])[:8] == anchored[:8]
  # After the last stage it is a cosine over the epochs left.
  share = (1 + np.cos(np.pi * 18 / 36)) / 2
  np.testing.assert_allclose(
    anchored[32], 0.001 + share * (anchored[14] - 0.001)
  )
