"""The picture of what the cells of a search are worth."""

import pytest

from opp_darts_jax.reporting import truth_path

FOUND = [
  {
    'kind': 'epoch',
    'epoch': epoch,
    'step': 10 * (epoch + 1),
    'truth_test_a': accuracy,
    'truth_regret_a': 0.9 - accuracy,
    'truth_test_b': accuracy / 2,
    'truth_rank': rank,
  }
  for epoch, (accuracy, rank) in enumerate([(0.5, 900), (0.75, 20)])
]
UNKNOWN = {'kind': 'epoch', 'epoch': 2, 'step': 30, 'eval_accuracy': 0.5}
TRAIN = {'kind': 'train', 'epoch': 0, 'step': 5, 'train_loss': 1.0}


def test_numbers_drawn():
  fig = truth_path.plot_truth([TRAIN, *FOUND, UNKNOWN])
  accuracy, rank = fig.axes
  a, best, b = accuracy.lines
  assert list(a.get_xdata()) == [1, 2]
  assert list(a.get_ydata()) == [0.5, 0.75]
  assert list(b.get_ydata()) == [0.25, 0.375]
  # The best of b is not known.
  assert best.get_ydata()[0] == pytest.approx(0.9)
  assert [line.get_label() for line in (a, b)] == ['a', 'b']
  assert list(rank.lines[0].get_ydata()) == [900, 20]
  low, high = rank.get_ylim()
  assert high < 1 < 900 < low  # The best is at the top.


def test_a_truth_without_ranks_or_a_single_epoch_is_drawn():
  lines = [{k: v for k, v in FOUND[0].items() if k != 'truth_rank'}]
  accuracy, rank = truth_path.plot_truth(lines).axes
  assert list(accuracy.lines[0].get_ydata()) == [0.5]
  assert list(rank.lines[0].get_ydata()) == []


def test_epochs_of_known_cells():
  assert truth_path.known_epochs([TRAIN, *FOUND, UNKNOWN]) == FOUND
