"""What a caller has called after each epoch."""

import numpy as np
import pytest

from opp_darts_jax.errors import UserError
from opp_darts_jax.running.runs.watchers import ends, watchers_of


@pytest.mark.parametrize(
  ('watcher', 'sentence'),
  [
    (lambda: None, r"function of an epoch's record alone, got one of \(\)"),
    (lambda a, b: None, r'got one of \(a, b\)'),
    ('text', 'several, got str'),
  ],
)
def test_a_watcher_takes_a_record(watcher, sentence):
  with pytest.raises(UserError, match=sentence):
    watchers_of(watcher)
  assert watchers_of(print) == [print]


def test_true_alone_ends_a_search():
  assert ends(True)
  assert ends(np.bool_(True))
  for answer in (None, False, 'no', 1, np.array([True, True])):
    assert not ends(answer)
