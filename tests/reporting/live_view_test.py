"""Tests of what a terminal shows of a run while it goes on."""

import io
import json

import pytest
from genotype_cells import TINY
from rich.console import Console

from opp_darts_jax.reporting import live_view
from opp_darts_jax.running.runs.standing import Standing

NAMES = ('none', 'skip_connect', 'sep_conv_3x3')


def stage(number, epoch, losses=None):
  names = NAMES[::-1][: number + 1]
  return {
    'kind': 'stage',
    'epoch': epoch,
    'step': 10 * epoch,
    'stage': number,
    'losses': losses or {},
    'entered': [names[-1]],
    'active': list(names),
  }


def epoch(number, **numbers):
  return {
    'kind': 'epoch',
    'epoch': number,
    'step': 10 * (number + 1),
    'train_loss': 1.5,
    'eval_accuracy': 0.25,
    'skip_normal': 1,
    'skip_share_normal': 0.5,
    'skip_share_reduce': 0.0,
    'genotype': TINY.to_dict(),
    **numbers,
  }


LINES = [
  stage(0, 0),
  epoch(0),
  {'kind': 'train', 'epoch': 1, 'step': 15},
  epoch(1),
  stage(1, 2, {'none': 1.25, 'skip_connect': 2.5}),
]


@pytest.fixture
def workdir(tmp_path):
  space = {'name': 's3', 'operations': [{'name': name} for name in NAMES]}
  schedule = {'name': 'progressive', 'stage_epochs': 2}
  config = {'epochs': 8, 'schedule': schedule}
  (tmp_path / 'space.json').write_text(json.dumps(space))
  (tmp_path / 'config.json').write_text(json.dumps(config))
  write(tmp_path, LINES)
  return tmp_path


def write(folder, lines, mode='w'):
  folder.mkdir(exist_ok=True)
  with open(folder / 'metrics.jsonl', mode) as file:
    file.writelines(json.dumps(line) + '\n' for line in lines)


def drawn(view, done=25, width=80):
  """The lines that a terminal of so many columns has."""
  console = Console(file=io.StringIO(), width=width)
  console.print(view(Standing(done, 80)))
  return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize('width', [40, 80, 160])
def test_a_search(workdir, width):
  lines = drawn(live_view.of_search(workdir), width=width)
  assert max(map(len, lines)) <= width
  assert lines[0] == 'stage 1: skip_connect'
  # It began at step 20, and takes two epochs of ten.
  assert lines[1].startswith('stage ')
  assert lines[1].endswith('5/20  25%')
  text = ' '.join(' '.join(lines).split())
  for said in ('skip_connect 2.5000 enters', 'none 1.2500', '0.2500', '50% 0%'):
    assert said in text
  assert 'sep_conv_3x3(0) skip_connect(1)' in text
  assert 'Collapsed by the rule of DARTS+: at epoch 1, 1 of 2 edges' in text


def test_a_stage_ends_within_another_schedule_too(workdir):
  config = json.loads((workdir / 'config.json').read_text())
  config['schedule']['name'] = 'early_stopping(rule="skips")+progressive'
  (workdir / 'config.json').write_text(json.dumps(config))
  assert drawn(live_view.of_search(workdir))[1].endswith('5/20  25%')


def test_the_last_stage_lasts_to_the_end(workdir):
  write(workdir, [stage(2, 4, {'none': 1.0})], mode='a')
  lines = drawn(live_view.of_search(workdir), done=60)
  assert lines[1].endswith('20/40  50%')


def test_new_lines_are_read_and_half_ones_are_left(workdir):
  view = live_view.of_search(workdir)
  drawn(view)
  with open(workdir / 'metrics.jsonl', 'a') as file:
    text = json.dumps(epoch(2, eval_accuracy=0.75)) + '\n'
    file.write(text[:30])
    file.flush()
    assert '0.2500' in ' '.join(drawn(view))
    file.write(text[30:])
  assert '0.7500' in ' '.join(drawn(view))
  # A run that goes on from an earlier point cuts its file.
  write(workdir, LINES[:2])
  assert drawn(view)[0] == 'stage 0: sep_conv_3x3'


def test_before_there_are_files(tmp_path):
  assert drawn(live_view.of_search(tmp_path / 'none')) == []
  assert drawn(live_view.of_training(tmp_path / 'none')) == []


@pytest.mark.parametrize('width', [40, 80])
def test_searches(tmp_path, width):
  write(tmp_path / 'seed4', [stage(0, 0), epoch(0), epoch(1)])
  lines = drawn(live_view.of_searches(tmp_path, (4, 12)), width=width)
  assert [line.split()[:4] for line in lines[1:]] == [
    ['4', '1', '0', '0.2500'],
    ['12', '-', '-', '-'],
  ]
  assert lines[1].endswith('50% 0% collapsed')


def test_a_training(tmp_path):
  lines = [
    {
      'kind': 'epoch',
      'epoch': number,
      'train_loss': 1.0,
      'train_accuracy': 0.5,
      **({'test_loss': 2.0, 'test_accuracy': 0.125} if number % 2 else {}),
    }
    for number in range(6)
  ]
  write(tmp_path, lines)
  rows = [line.split() for line in drawn(live_view.of_training(tmp_path))]
  assert rows[1:] == [
    ['3', '1.0000', '0.5000', '2.0000', '0.1250'],
    ['4', '1.0000', '0.5000', '-', '-'],
    ['5', '1.0000', '0.5000', '2.0000', '0.1250'],
  ]
