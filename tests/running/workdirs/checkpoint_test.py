"""Tests of the checkpoints."""

import shutil
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import struct

from opp_darts_jax.errors import CheckpointError
from opp_darts_jax.running.workdirs import checkpoint
from opp_darts_jax.running.workdirs.checkpoint import KEPT, Checkpoints


@struct.dataclass
class OlderState:
  step: jax.Array
  weights: Any
  mask: Any
  opt: Any


@struct.dataclass
class State(OlderState):
  own: Any = None


def state_of(seed):
  rng = np.random.default_rng(seed)
  weights = {
    'stem': {'kernel': jax.device_put(np.float32(rng.standard_normal((3, 2))))},
    'cell0': {
      'none': {},
      'half': jnp.bfloat16(rng.standard_normal(5)),
      'odd': jnp.float32([1e-45, -0.0, np.inf, 1 / 3]),
    },
  }
  opt = optax.adam(1e-3).init(weights['stem'])
  return State(
    step=jnp.int32(seed),
    weights=weights,
    mask={'normal': jax.device_put(rng.random((2, 3)) > 0.5)},
    opt=jax.tree.map(lambda m: m + jnp.asarray(seed, m.dtype), opt),
  )


def whole(seed):
  """What a run saves: its state, and sums beside it."""
  return {'state': state_of(seed), 'sums': (jnp.float32(seed), jnp.zeros(()))}


def bits(tree):
  return jax.tree.map(lambda leaf: np.asarray(leaf).tobytes(), tree)


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
  state = whole(7)
  progress = {
    'epochs': 3,
    'stages': [{'epoch': 0, 'entered': ['none'], 'losses': {'none': 0.1}}],
  }
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(3, state, progress)
  with Checkpoints(tmp_path) as checkpoints:
    saved = checkpoints.restore(whole(1))
  assert saved.progress == progress
  chex.assert_trees_all_equal_shapes_and_dtypes(saved.state, state)
  assert jax.tree.structure(saved.state) == jax.tree.structure(state)
  assert bits(saved.state) == bits(state)
  assert isinstance(saved.state['state'].step, jax.Array)


def test_what_is_saved_is_what_was_known_then(tmp_path, monkeypatch):
  """It is written in the background, while the run learns more."""
  given = []
  save = ocp.args.JsonSave
  monkeypatch.setattr(
    ocp.args, 'JsonSave', lambda item: given.append(item) or save(item)
  )
  progress = {'totals': {'loss': 1.5}, 'known': {'stages': [0]}}
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(3, whole(1), progress)
    progress['totals']['loss'] += 1
    progress['known']['stages'].append(1)
  assert given[0] == {'totals': {'loss': 1.5}, 'known': {'stages': [0]}}


def test_the_newest_wins_and_old_ones_go(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    for epoch in (1, 2, 10):
      checkpoints.save(epoch, whole(epoch), {'epochs': epoch})
  kept = {path.name for path in (tmp_path / 'checkpoints').iterdir()}
  assert kept == {'2', '10'}
  assert len(kept) == KEPT
  with Checkpoints(tmp_path) as checkpoints:
    saved = checkpoints.restore(whole(0))
    assert (int(saved.state['state'].step), saved.progress) == (
      10,
      {'epochs': 10},
    )
    # A run goes on from there.
    checkpoints.save(11, whole(11), {'epochs': 11})
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.restore(whole(0)).progress == {'epochs': 11}


def test_there_is_none_at_first(tmp_path):
  with Checkpoints(tmp_path / 'new' / 'run') as checkpoints:
    assert checkpoints.restore(whole(0)) is None


@pytest.mark.parametrize('own', [None, jnp.arange(3)])
def test_a_field_that_is_none_is_as_if_it_were_not_there(tmp_path, own):
  """A release that adds a field reads the checkpoints of the one before."""
  state = {'state': state_of(1).replace(own=own)}
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, state, {})
  new = state['state']
  like = {'state': OlderState(new.step, new.weights, new.mask, new.opt)}
  with Checkpoints(tmp_path) as checkpoints:
    if own is None:
      saved = checkpoints.restore(like).state
      assert jax.tree.leaves(bits(saved)) == jax.tree.leaves(bits(state))
    else:
      with pytest.raises(CheckpointError, match='state/own should be absent'):
        checkpoints.restore(like)


def test_processes_wait_for_what_is_set_aside(tmp_path, monkeypatch):
  """All look at what is left after the first one has moved what is damaged."""
  seen = []
  moved = tmp_path / 'damaged_checkpoint_2'

  def wait(name):
    del name
    seen.append(('wait', moved.is_dir()))

  with Checkpoints(tmp_path, say=lambda line: None) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, whole(step), {})
  shutil.rmtree(tmp_path / 'checkpoints' / '2' / 'state')
  monkeypatch.setattr(checkpoint.multihost_utils, 'sync_global_devices', wait)
  with Checkpoints(tmp_path, say=lambda line: None) as checkpoints:
    reload = checkpoints._manager.reload

    def look():
      seen.append(('look', moved.is_dir()))
      reload()

    monkeypatch.setattr(checkpoints._manager, 'reload', look)
    assert int(checkpoints.restore(whole(0)).state['state'].step) == 1
    assert seen == [('wait', True), ('look', True)]
