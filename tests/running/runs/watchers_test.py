"""What a caller has called after each epoch."""

import functools

import numpy as np
import pytest

from opp_darts_jax import errors
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import launch
from opp_darts_jax.running.runs.watchers import ends, tell, watchers_of


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


def test_what_a_watcher_raises_is_its_own():
  error = ConnectionError('the server is away')

  class Tells:
    def __call__(self, record):
      raise error

  with pytest.raises(ConnectionError) as caught:
    tell(functools.partial(Tells()), None)
  assert caught.value is error  # As its callers know it.
  said = f'the callback partial of {__file__}'
  assert errors.of_callback(error) == said
  sentence, code = launch._about_system(error)
  assert code == UserError.exit_code
  assert f'{said} raised ConnectionError: the server is away; ' in sentence
  # Files of the package are none of a user's.
  own = OSError(28, 'No space left on device')
  sentence, code = launch._about_system(own)
  assert (errors.of_callback(own), code) == ('', errors.WriteError.exit_code)
  assert not errors.is_users(ends)


def test_true_alone_ends_a_search():
  assert ends(True)
  assert ends(np.bool_(True))
  for answer in (None, False, 'no', 1, np.array([True, True])):
    assert not ends(answer)
