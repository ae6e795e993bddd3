"""Tests of the page of a run while it goes on."""

import json
import os
import socket
import types

import jinja2
import pytest
from run_files import write_search

from opp_darts_jax import errors
from opp_darts_jax.reporting import live, report
from opp_darts_jax.running.workdirs import sessions


class Clock:
  """Seconds that pass as told, some of them while a page is written."""

  def __init__(self):
    self.now = 0.0

  def __call__(self):
    return self.now


@pytest.fixture
def written(monkeypatch):
  """When pages were written, each of which takes a second."""
  clock, times = Clock(), []
  monkeypatch.setattr(live.report, 'write_report', times.append)

  def write(folder):
    times.append(clock.now)
    clock.now += 1.0
    (folder / report.PAGE).touch()

  monkeypatch.setattr(live.report, 'write_report', write)
  return clock, times


def test_pages_take_a_small_share_of_the_time(tmp_path, written):
  clock, times = written
  record = types.SimpleNamespace(workdir=tmp_path)
  with live.kept(tmp_path, clock=clock) as (watch,):
    for epoch in range(20):
      clock.now = max(clock.now, 40.0 * (epoch + 1))
      watch(record)
  # The first when the 0.15 s that it may take are 1 in 200; the next one when
  # two seconds are.
  assert times == [40.0, 400.0, 600.0, 800.0]
  assert len(times) <= live.SHARE * clock.now


def test_a_page_at_the_end_however_the_run_ends(tmp_path):
  write_search(tmp_path)

  def stop():
    with live.kept(tmp_path), sessions.recorded(tmp_path, 'a device'):
      raise errors.NotFinished

  with pytest.raises(errors.NotFinished):
    stop()
  page = tmp_path / report.PAGE
  before = page.stat().st_mtime_ns
  assert 'supernet classifies 35.0 %' in page.read_text()
  # A run that has done nothing more writes nothing.
  with live.kept(tmp_path):
    pass
  assert page.stat().st_mtime_ns == before
  with live.kept(tmp_path), (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"kind": "stop", "epoch": 1, "step": 20}\n')
  assert page.stat().st_mtime_ns > before


@pytest.mark.parametrize(
  'error',
  [
    errors.OtherRunError,
    errors.WorkdirInUseError,
    errors.WorkdirError,
    errors.DataError,
    KeyboardInterrupt,
  ],
)
@pytest.mark.parametrize('others', [0, 1], ids=['own', "another's"])
def test_the_folder_of_another_run_is_left_alone(tmp_path, error, others):
  write_search(tmp_path)
  number = os.getpid() + others
  session = {'started': 1.0, 'host': socket.gethostname(), 'pid': number}
  path = tmp_path / sessions.RUN
  path.write_text(json.dumps({'sessions': [session]}))
  before = sorted(tmp_path.iterdir())

  def stop(*folders):
    with live.kept(tmp_path) as (watch,):
      for folder in folders:
        watch(types.SimpleNamespace(workdir=folder))
      raise error

  with pytest.raises(error):
    stop()
  assert sorted(tmp_path.iterdir()) == before
  # Of several runs in a folder those that went on have their pages.
  folder = tmp_path / 'seed0'
  folder.mkdir()
  write_search(folder)
  with pytest.raises(error):
    stop(folder)
  assert (folder / report.PAGE).exists()
  assert not (tmp_path / report.PAGE).exists()


def test_a_page_that_cannot_be_written_ends_no_run(tmp_path, caplog):
  write_search(tmp_path)
  (tmp_path / 'space.json').write_text('[]')
  with live.kept(tmp_path) as (watch,):
    watch(types.SimpleNamespace(workdir=tmp_path))
  assert not (tmp_path / report.PAGE).exists()
  assert 'Expected an object in' in caplog.text


def test_a_template_that_fails_ends_no_run(tmp_path, caplog, monkeypatch):
  write_search(tmp_path)

  def render(name, **values):
    raise jinja2.UndefinedError('no such field')

  monkeypatch.setattr(report.page, 'render', render)
  with live.kept(tmp_path):
    pass
  assert 'no such field' in caplog.text


def test_no_pages_where_another_process_writes_them(tmp_path):
  write_search(tmp_path)
  with live.kept(tmp_path, writes=False) as watchers:
    assert watchers == []
  with live.kept(tmp_path / 'not_begun'):
    pass
  assert not (tmp_path / report.PAGE).exists()
  assert not (tmp_path / 'not_begun').exists()
