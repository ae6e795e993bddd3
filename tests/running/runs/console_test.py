"""Tests of what a run prints."""

import io
import re
import sys

import pytest
from genotype_cells import BENCH, TINY

from opp_darts_jax.running.runs import console, standing

VALUES = {'train_loss': 1.23456, 'train_accuracy': 0.5, 'val_loss': 7.0}


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_log_has_lines_alone(capsys):
  with console.Console(total=100, done=40) as screen:
    screen.say('two\nlines')
    screen.advance(10, VALUES)
    screen.advance(20, VALUES)
    screen.progress('epoch 3')
  out, err = capsys.readouterr()
  assert err == ''
  said, rest = out.split('epoch 3; ')
  assert said == 'two\nlines\n'
  assert re.fullmatch(r'\d+\.\d\d step/s, 00:00 left\n', rest)


def test_rate_and_time_left_are_those_of_this_process_once_it_has_compiled(
  capsys, monkeypatch
):
  now = [1000.0]
  monkeypatch.setattr('time.monotonic', lambda: now[0])
  with console.Console(total=1000, done=400) as screen:
    for epoch, seconds in ((4, (900, 50, 800)), (5, (50, 50)), (6, (50, 25))):
      for steps, taken in zip((100, 100, 0), seconds):
        now[0] += taken
        screen.advance(steps, VALUES)
      screen.progress(f'epoch {epoch}')
  assert capsys.readouterr().out.splitlines() == [
    'epoch 4; 0.12 step/s, 56:40 left',
    'epoch 5; 2.00 step/s, 01:40 left',
    'epoch 6; 2.29 step/s, 00:00 left',
  ]


@pytest.mark.parametrize(
  ('seconds', 'text'), [(0.9, '00:00'), (150, '02:30'), (3605, '1:00:05')]
)
def test_clock(seconds, text):
  assert standing.clock(seconds) == text


def test_before_the_first_step_there_is_no_rate(capsys):
  with console.Console(total=100, done=40) as screen:
    screen.progress('epoch 3')
  assert capsys.readouterr().out == 'epoch 3\n'


@pytest.mark.parametrize('width', [40, 160])
def test_a_terminal_has_a_bar_below_the_lines(capsys, monkeypatch, width):
  terminal = Terminal()
  monkeypatch.setattr(sys, 'stderr', terminal)
  monkeypatch.setenv('COLUMNS', str(width))
  monkeypatch.setenv('TERM', 'xterm')
  asked = []

  def view(at):
    asked.append(at)
    return 'the view'

  with console.Console(total=100, view=view) as screen:
    screen.advance(25, VALUES)
    screen.say('a line')
    screen.progress('epoch 3')
  # Into a file lines go as they are.
  assert capsys.readouterr().out == 'a line\nepoch 3\n'
  plain = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', terminal.getvalue())
  rows = plain.replace('\r', '').splitlines()
  assert max(map(len, rows)) <= width
  last = ' '.join(' '.join(rows[rows.index('the view') :]).split())
  assert '25/100 25%' in last
  assert 'loss 1.235, accuracy 0.500' in last
  assert 'val' not in last
  assert (asked[-1].done, asked[-1].total) == (25, 100)


def test_what_is_quiet_shows_nothing(capsys, monkeypatch):
  terminal = Terminal()
  monkeypatch.setattr(sys, 'stderr', terminal)
  with console.Console(total=100, quiet=True) as screen:
    screen.advance(25, VALUES)
    screen.progress('epoch 3')
  assert (capsys.readouterr().out, terminal.getvalue()) == ('', '')


@pytest.mark.parametrize('entered', [('none',), ('none', 'sep_conv_3x3')])
def test_loss_table_is_sorted_and_marks_what_enters(entered):
  losses = {'sep_conv_3x3': 1.0, 'none': 2.34567, 'max_pool_3x3': 1.5}
  rows = console.loss_table(losses, entered).splitlines()
  assert [row.split()[:2] for row in rows] == [
    ['none', '2.3457'],
    ['max_pool_3x3', '1.5000'],
    ['sep_conv_3x3', '1.0000'],
  ]
  marked = {row.split()[0] for row in rows if '<- enters' in row}
  assert marked == set(entered)


def test_genotype_lines():
  assert console.genotype_lines(TINY).splitlines() == [
    '    normal sep_conv_3x3(0) skip_connect(1)',
    '    reduce max_pool_3x3(1) sep_conv_3x3(0)',
  ]
  assert console.genotype_lines(BENCH) == (
    '    cell nor_conv_3x3(0) skip_connect(0) none(1) skip_connect(0) '
    'avg_pool_3x3(1) nor_conv_3x3(2)'
  )
