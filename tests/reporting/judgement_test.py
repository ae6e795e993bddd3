"""Tests of the sentence that says whether a search has collapsed."""

import pytest
from genotype_cells import TINY

from opp_darts_jax.reporting.judgement import judge, levels

S3 = {'name': 's3'}
BENCH = {'name': 'nasbench201'}


def epochs_of(skips, edges=8, kind='normal', eigenvalues=()):
  """The lines of a search with as many skip connections at each epoch."""
  lines = [{'kind': 'stage', 'epoch': 0}]
  for epoch, count in enumerate(skips):
    line = {'kind': 'epoch', 'epoch': epoch, f'skip_{kind}': count}
    line[f'skip_share_{kind}'] = count / edges
    if epoch < len(eigenvalues):
      line['eigenvalue'] = eigenvalues[epoch]
    lines.append(line)
  return lines


@pytest.mark.parametrize(
  ('skips', 'level', 'rule'),
  [
    ([0, 0, 1, 1, 1, 1], 'healthy', 'none'),
    ([0, 0, 0, 0, 1], 'at risk', 'growing skip connections'),
    ([1, 0, 0, 1], 'healthy', 'none'),  # It went down in between.
    ([0, 0, 1], 'healthy', 'none'),  # Too few for a trend.
    ([0, 0, 0, 2], 'collapsed', 'DARTS+'),
    ([0, 3, 5, 1], 'healthy', 'none'),  # It came back.
  ],
)
def test_skip_connections(skips, level, rule):
  found = judge(epochs_of(skips), S3)
  assert (found.level, found.rule) == (level, rule)
  assert found.sentence.lower().startswith(level)


@pytest.mark.parametrize(
  ('skips', 'trend'),
  [
    ([0], ' are skip connections. No rule'),
    ([0, 1], ' are skip connections. No rule'),
    ([0, 1, 0, 1], ' and their share has not grown steadily over 3 epochs.'),
    ([1, 1, 1, 1], ' and their share has not grown over 3 epochs.'),
  ],
)
def test_of_a_trend_only_what_is_seen_is_said(skips, trend):
  assert trend in judge(epochs_of(skips), S3).sentence


def test_every_epoch_is_judged_by_what_was_known_then():
  lines = epochs_of([0, 1, 2, 2, 1, 1])
  spans = [(0, 1, 'healthy'), (2, 3, 'collapsed'), (4, 5, 'healthy')]
  assert levels(lines, S3) == spans
  for end in range(2, len(lines) + 1):
    level = judge(lines[:end], S3).level
    assert level == levels(lines[:end], S3)[-1][2]


def test_sentences_say_what_is_seen_and_by_which_rule():
  assert judge(epochs_of([1, 4]), S3).sentence == (
    'Collapsed by the rule of DARTS+: at epoch 1, 4 of 8 edges of the normal '
    'cell are skip connections, and it stops a search at 2 of 8.'
  )
  assert judge(epochs_of([0, 0, 0, 1]), S3).sentence == (
    'At risk: the share of skip connections in the normal cell has grown from '
    '0% to 12% over 3 epochs.'
  )


def test_a_cell_of_nearly_equal_weights_is_hardly_decided():
  lines = epochs_of([3])
  for entropy, undecided in ((0.5, False), (None, False), (0.995, True)):
    lines[-1]['entropy_normal'] = entropy
    found = judge(lines, S3)
    assert found.level == 'collapsed'
    assert ('(entropy 0.995 of 1).' in found.sentence) == undecided


def test_cells_of_another_size_go_by_the_share():
  assert judge(epochs_of([1], edges=6), S3).level == 'healthy'
  assert judge(epochs_of([1], edges=4), S3).level == 'collapsed'


def test_nasbench201_has_collapsed_when_all_are_skips():
  def level(skips):
    return judge(epochs_of(skips, edges=6, kind='cell'), BENCH).level

  assert level([5, 5, 5, 5]) == 'healthy'
  assert level([3, 3, 4, 5]) == 'at risk'
  assert level([0, 6]) == 'collapsed'


def test_the_eigenvalue_is_averaged_as_robust_darts_does():
  flat = [1.0] * 5
  for last, level in ((1.37, 'healthy'), (1.38, 'at risk')):
    # The means of the last five and of the first: (1 + 4 last) / 5, and 1.
    values = [*flat, last, last, last, last]
    found = judge(epochs_of([0] * 9, eigenvalues=values), S3)
    assert found.level == level
  assert found.rule == 'RobustDARTS'
  assert '1.30 times' in found.sentence
  # It claims no more than is published.
  assert 'in s1 (rank correlation 0.76) and not in s3 (-0.04).' in (
    found.sentence
  )
  other = judge(epochs_of([0] * 9, eigenvalues=values), {'name': 'darts'})
  assert other.sentence.endswith('for darts there is none.')


def test_too_few_eigenvalues_or_none_say_nothing():
  values = [1.0] * 4 + [9.0] * 4
  assert judge(epochs_of([0] * 8, eigenvalues=values), S3).level == 'healthy'
  values = [None] * 9
  assert judge(epochs_of([0] * 9, eigenvalues=values), S3).level == 'healthy'
  values = [-1.0] * 5 + [9.0] * 4
  assert judge(epochs_of([0] * 9, eigenvalues=values), S3).level == 'healthy'


def test_a_kind_that_the_supernet_has_no_cell_of_is_left_out():
  """As the normal cell in two layers: it is what noise made of it at first."""
  lines = epochs_of([4, 4, 4, 4])
  for line in lines[1:]:
    line['skip_reduce'] = line['skip_share_reduce'] = 0
  lacking = {**S3, 'cells': {'normal': 0, 'reduce': 2}}
  found = judge(lines, lacking)
  assert found.level == 'healthy'
  assert '0% of the edges of the reduce cell' in found.sentence
  assert levels(lines, lacking) == [(0, 3, 'healthy')]
  for known in (S3, {**S3, 'cells': {'normal': 1, 'reduce': 2}}):
    assert '4 of 8 edges of the normal cell' in judge(lines, known).sentence


def test_lines_of_earlier_releases_are_judged_by_their_genotype():
  line = {'kind': 'epoch', 'epoch': 3, 'genotype': TINY.to_dict()}
  assert '1 of 2 edges of the normal cell' in judge([line], S3).sentence


@pytest.mark.parametrize(
  'lines', [[], [{'kind': 'epoch', 'epoch': 0, 'skip_normal': 4}]]
)
def test_without_shares_nothing_is_judged(lines):
  found = judge(lines, S3)
  assert (found.level, found.rule) == ('unknown', 'none')
  assert found.sentence == 'Unknown: no cell has been derived yet.'


def test_a_cell_without_parameters_learns_nothing():
  cells = {
    'cells': {
      'normal': {
        'inputs': 2,
        'edges': [['max_pool_3x3', 0, 2], ['avg_pool_3x3', 1, 2]],
        'output': [2],
      }
    }
  }
  line = epochs_of([0], edges=2)[-1]
  found = judge([{**line, 'genotype': cells}], S3)
  assert (found.level, found.rule) == ('collapsed', 'no parameters')
  assert 'none of the 2 edges of the normal cell has' in found.sentence
  # Nor one without edges, as a method with a threshold can leave it.
  empty = {'cells': {'normal': {'inputs': 2, 'edges': [], 'output': [2]}}}
  found = judge([{**line, 'genotype': empty}], S3)
  assert (found.level, found.rule) == ('collapsed', 'no parameters')
  assert 'the normal cell has no edges' in found.sentence
  # What the space says of an operation counts more than its name.
  own = {'name': 'max_pool_3x3', 'drawn': 'pooling', 'parametric': True}
  found = judge([{**line, 'genotype': cells}], {**S3, 'operations': [own]})
  assert found.level == 'healthy'
  assert 'have no parameters' not in found.sentence
