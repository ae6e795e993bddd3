"""What a space knows of cells: written by searches in it, and by no others."""

import dataclasses
import json

import pytest
from genotype_cells import TINY
from tiny_runs import SEARCH

from opp_darts_jax.errors import UserError
from opp_darts_jax.running.searches.search import run_search
from opp_darts_jax.runs import load_run
from opp_darts_jax.spaces import truth
from opp_darts_jax.spaces.nasbench201 import NASBENCH201
from opp_darts_jax.spaces.robust import S3


def by_skips(genotype):
  """A truth in which skip connections are all that counts."""
  skips = genotype.num_skips()
  return {'test_mine': 1 - skips / 8, 'regret_mine': skips / 8, 'rank': skips}


KNOWING = dataclasses.replace(S3, truth=by_skips)


def test_spaces_that_know_nothing_say_nothing():
  assert truth.of_genotype(S3, TINY) == {}
  # A method may derive what the table of a space has not.
  assert truth.of_genotype(NASBENCH201, TINY) == {}

  def knows_nothing(genotype):
    raise UserError('no such cell')

  space = dataclasses.replace(S3, truth=knows_nothing)
  assert truth.of_genotype(space, TINY) == {}
  assert truth.sentence({'eval_accuracy': 0.5}) == ''


@pytest.mark.parametrize(
  ('answer', 'sentence'),
  [
    (lambda genotype: None, 'gives as a dict of numbers by name, got NoneType'),
    (
      lambda genotype: {'test_a': 'good'},
      "gives .* by name, got 'good' as 'test_a'",
    ),
    (lambda genotype: genotype.accuracy, 'could not be asked .* AttributeErr'),
    (lambda: {}, 'could not be asked of a genotype: TypeError'),
  ],
)
def test_a_space_that_says_something_else(answer, sentence, tmp_path):
  """It is told before a search."""
  space = dataclasses.replace(S3, truth=answer)
  with pytest.raises(UserError, match=f"truth of the space 's3' {sentence}"):
    run_search(SEARCH, tmp_path / 'run', space=space, signals=False)
  assert not (tmp_path / 'run').exists()


def test_a_space_that_derives_nothing(tmp_path):
  space = dataclasses.replace(S3, derive=lambda space, weights: None)
  sentence = "what derive of the space 's3' gives as Genotype, got NoneType"
  with pytest.raises(UserError, match=sentence):
    run_search(SEARCH, tmp_path / 'run', space=space, signals=False)
  assert not (tmp_path / 'run').exists()


def test_sentence():
  fields = truth.of_genotype(KNOWING, TINY)
  skips = TINY.num_skips()
  assert fields['truth_rank'] == skips
  assert truth.sentence({'eval_accuracy': 0.5, **fields}) == (
    f'trained, the cell has: mine {1 - skips / 8:.4f} ({skips / 8:.4f} below '
    f'the best), rank {skips}'
  )
  assert truth.sentence({'truth_test_a': 0.5}).endswith('has: a 0.5000')


@pytest.mark.usefixtures('toys')
def test_a_search_writes_the_truth_of_its_cells(tmp_path, capsys):
  def go():
    config = dataclasses.replace(SEARCH, truth_cells=4)
    return run_search(config, tmp_path, space=KNOWING, signals=False)

  found = go()
  run = load_run(tmp_path)
  assert len(run.epochs) == SEARCH.epochs
  for epoch in run.epochs:
    skips = epoch['skip_normal'] + epoch['skip_reduce']
    assert epoch['truth_rank'] == skips
    assert epoch['truth_test_mine'] == 1 - skips / 8
  skips = found.num_skips()
  assert run.results['truth_regret_mine'] == skips / 8
  cells = json.loads((tmp_path / 'sampled_cells.json').read_text())
  assert len(cells) == 4
  assert all(0 <= cell['supernet_accuracy'] <= 1 for cell in cells)
  assert {'spearman_mine', 'kendall_mine'} <= set(run.results)
  said = capsys.readouterr().out
  sentence = truth.sentence(run.results)
  assert sentence
  assert said.count(sentence) == 1
  go()  # It has finished, and says so.
  assert capsys.readouterr().out.splitlines()[1:] == [sentence]
