"""Methods go on after a kill as if nothing had happened, to the bit.

The supernet is a few products of matrices: what a method keeps from step to
step, and what it does between epochs, does not depend on more.
"""

import dataclasses

import pytest
import tiny_runs
from tiny_runs import KillError, contents

from opp_darts_jax.config import CostConfig
from opp_darts_jax.data import dataset
from opp_darts_jax.methods.catalogue import METHODS
from opp_darts_jax.running.searches.search import run_search

# What so short a search has to be told.
ARGUMENTS = {
  'pc_darts': '(partial=1, warmup_epochs=1)',
  'drnas': '(keep=1, kl=0.1)',
  'darts_pt': '(search_epochs=1, interval=1)',
  'oles': '(threshold=0.9, window=2)',
  'robust_darts': '(period=1, first_epoch=0)',
  'p_darts': '(more_layers=(0, 0), keep=(2, 1), warmup_epochs=0)',
  'random_sharing': '(samples=3)',
}
# What a method keeps, and what it does outside of steps: these are functions of
# the state and the step's number, and of a kill they know nothing.
OUTSIDE = ('init', 'init_own', 'begin_epoch', 'learning_rate', 'derive')
# What is these methods' own there are functions of the state alone.
PURE = ('gdas', 'fair_darts')
PLAIN = METHODS['darts']()
OWN = [
  name
  for name, make in METHODS.items()
  if name not in PURE
  and any(getattr(make(), f) is not getattr(PLAIN, f) for f in OUTSIDE)
]
# And a target of weights, under what lets or takes operations in or out.
OTHERS = {
  'snas': ("early_stopping(rule='skips')+progressive", 0),
  'p_darts': ('freezing(window=1)', 20_000),
}
CASES = [
  (name + ARGUMENTS.get(name, ''), *OTHERS.get(name, ('plain', 0)))
  for name in ('darts', *OWN)
]
FILES = ('metrics.jsonl', 'alphas.jsonl', 'genotype.json', 'results.json')


@pytest.fixture(scope='module')
def images():
  return dataset.load(tiny_runs.DATA)


@pytest.mark.usefixtures('toys')
@pytest.mark.parametrize(('method', 'schedule', 'target'), CASES)
def test_a_search_that_is_killed_ends_the_same(
  method, schedule, target, images, tmp_path
):
  config = dataclasses.replace(
    tiny_runs.SEARCH,
    method=method,
    layers=3 if 'skips' in schedule else 1,  # With a normal cell to judge.
    schedule=dataclasses.replace(tiny_runs.SEARCH.schedule, name=schedule),
    cost=CostConfig(target=target, quantity='weights', layers=2, channels=16),
    eval_epochs=3,
  )

  def run(name, on_epoch=()):
    return run_search(
      config, tmp_path / name, data=images, on_epoch=on_epoch, quiet=True
    )

  def kill(record):
    if record.epoch == 1:
      raise KillError

  whole = run('whole')
  if method != 'random_cells':  # It has no epoch to be killed in.
    with pytest.raises(KillError):
      run('cut', kill)
  assert run('cut') == whole
  found, expected = (
    contents(tmp_path / name, FILES) for name in ('cut', 'whole')
  )
  assert found == expected
