"""Tests of what a search leaves when it has ended."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from tiny_runs import SEARCH, contents

from opp_darts_jax import recorded
from opp_darts_jax.config import MonitorConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.catalogue import get_method
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.method import Change
from opp_darts_jax.running.searches.search import run_search
from opp_darts_jax.runs import load_run
from opp_darts_jax.spaces.robust import S3


def going_back(search, state, epoch, stages):
  """Ends the search before its last epoch, with alphas of its own."""
  if epoch < 2:
    return darts().begin_epoch(search, state, epoch, stages)
  alphas = jax.tree.map(lambda a: 9.0 * jnp.eye(*a.shape), state.alphas)
  return Change(state.replace(alphas=alphas), stop=True)


def test_the_accuracy_is_of_what_was_trained(toys, tmp_path):
  """Whether or not it was evaluated before the method went back."""
  method = darts()._replace(begin_epoch=going_back)
  found = []
  for eval_epochs in (1, 3):
    config = dataclasses.replace(SEARCH, eval_epochs=eval_epochs)
    workdir = tmp_path / f'{eval_epochs}'
    run_search(config, workdir, method=method, signals=False, quiet=True)
    found.append(load_run(workdir))
  often, seldom = found
  assert often.results['ended_by'] == 'the method'
  assert [line.get('eval_loss') for line in seldom.epochs] == [None, None]
  for name in ('eval_loss', 'eval_accuracy'):
    assert often.results[name] == often.epochs[-1][name]
    assert seldom.results[name] == pytest.approx(often.results[name])
  assert seldom.genotype == often.genotype


@pytest.mark.parametrize(
  'hook', ['begin_epoch', 'derive', 'numbers', 'learning_rate']
)
def test_what_a_method_gives_of_another_kind(hook, toys, tmp_path):
  """It is told where it is asked for, and nothing of it is written."""
  method = darts()._replace(name='mine', **{hook: lambda *args: None})
  sentence = f"Expected what {hook} of the method 'mine' gives as"
  with pytest.raises(UserError, match=sentence):
    run_search(SEARCH, tmp_path, method=method, signals=False, quiet=True)
  assert not (tmp_path / 'results.json').exists()


def test_names_that_a_search_records_are_taken(toys, tmp_path):
  method = darts()._replace(numbers=lambda *args: {'fine': 1.0})
  space = dataclasses.replace(S3, truth=lambda genotype: {'test_mine': 0.5})
  config = dataclasses.replace(
    SEARCH,
    truth_cells=2,
    monitor=MonitorConfig(derived=True, eigenvalue_epochs=1),
  )
  run_search(
    config, tmp_path, method=method, space=space, signals=False, quiet=True
  )
  run = load_run(tmp_path)
  for names in (*run.epochs, run.results):
    assert [name for name in names if not recorded.is_taken(name)] == ['fine']


@pytest.mark.parametrize('name', ['darts', 'random_sharing(samples=3)'])
def test_an_epoch_is_derived_once(name, toys, tmp_path):
  """The last one too; a search that goes on after it derives it again."""
  inner, derived = get_method(name), []

  def derive(method, search, state):
    derived.append(int(state.step))
    return inner.derive(method, search, state)

  def search():
    method = inner._replace(derive=derive)
    run_search(SEARCH, tmp_path, method=method, signals=False, quiet=True)
    return contents(tmp_path, ('genotype.json', 'results.json'))

  found = search()
  assert derived == [3, 6, 9]
  (tmp_path / 'results.json').unlink()
  assert search() == found
  assert derived == [3, 6, 9, 9]
