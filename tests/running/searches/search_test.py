"""A search from its beginning to its end, watched, and ended on the way."""

import dataclasses
import json

import jax.numpy as jnp
import pytest
from tiny_runs import SEARCH, KillError, contents

from opp_darts_jax import files
from opp_darts_jax.errors import DivergedError
from opp_darts_jax.methods.catalogue import configured_method
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.growth import all_enter
from opp_darts_jax.methods.stages import Change
from opp_darts_jax.recorded import METRICS
from opp_darts_jax.running.searches import live
from opp_darts_jax.running.searches.records import EpochRecord
from opp_darts_jax.running.searches.search import run_search
from opp_darts_jax.running.workdirs import checkpoint
from opp_darts_jax.runs import load_run

# No watcher asks what a supernet is made of.
pytestmark = pytest.mark.usefixtures('toys')
SEARCH_SAVING = dataclasses.replace(SEARCH, save_steps=1)
KINDS = ('normal', 'reduce')
MEASURED = ('train', 'val', 'eval')


class Watcher:
  """Notes what it is given, and does something at the end of an epoch."""

  def __init__(self, at=-1, do=lambda: None):
    self.at, self.do = at, do
    self.records = []

  def __call__(self, record):
    self.records.append(record)
    return self.do() if record.epoch == self.at else None

  @property
  def epochs(self):
    return [record.epoch for record in self.records]


def kill():
  raise KillError


def search(workdir, *watchers, **given):
  return run_search(
    SEARCH, workdir, on_epoch=watchers, signals=False, quiet=True, **given
  )


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('whole')
  watcher = Watcher()

  def look(record):
    """Files are written before a user's watcher is called."""
    lines = files.read_lines(workdir / 'metrics.jsonl')
    assert lines[-1]['epoch'] == record.epoch
    fields = json.loads((workdir / 'genotype.json').read_text())
    assert fields == record.genotype.to_dict()
    return 'no'  # True alone ends the search.

  return workdir, search(workdir, look, watcher), watcher.records


def test_a_watcher_is_told_of_every_epoch(whole):
  workdir, genotype, records = whole
  assert all(isinstance(record, EpochRecord) for record in records)
  assert [r[:3] for r in records] == [(n, 3, 3 * n + 3) for n in range(3)]
  lines = load_run(workdir)
  for record, line, alphas in zip(records, lines.epochs, lines.alphas):
    signs = ('skip_share', 'entropy')
    names = {f'{sign}_{kind}' for sign in signs for kind in KINDS}
    names |= {f'{m}_{of}' for m in MEASURED for of in ('loss', 'accuracy')}
    assert set(record.metrics) == names
    for name, value in files.plain(record.metrics).items():
      assert line[name] == value
    assert record.genotype.to_dict() == line['genotype']
    assert record.alphas == {kind: alphas[kind] for kind in KINDS}
  assert records[-1].genotype == genotype == lines.genotype
  assert [len(record.stages) for record in records] == [1, 2, 3]
  assert [stage.entered for stage in records[-1].stages] == [
    ('sep_conv_3x3',),
    ('none',),
    ('skip_connect',),
  ]
  assert records[0].workdir == workdir


def test_after_a_resume_every_epoch_is_told_once_more_at_most(whole, tmp_path):
  watcher = Watcher(1, kill)
  # The same as the config's own.
  method = configured_method(SEARCH)
  with pytest.raises(KillError):
    search(tmp_path, watcher, method=method)
  assert watcher.epochs == [0, 1]  # The second of which was not saved.
  again = Watcher()
  assert search(tmp_path, again, method=method) == whole[1]
  assert again.epochs == [1, 2]
  told = [r._replace(workdir=tmp_path) for r in whole[2][1:]]
  assert again.records == told
  assert contents(tmp_path) == contents(whole[0])
  finished = Watcher()
  assert search(tmp_path, finished, method=method) == whole[1]
  assert finished.epochs == []
  config = json.loads((tmp_path / 'config.json').read_text())
  assert config['method'] == 'progressive darts'


@pytest.mark.parametrize('epoch', [0, 1])
def test_true_ends_the_search_after_the_epoch(tmp_path, epoch):
  first, last = Watcher(epoch, lambda: True), Watcher()
  genotype = search(tmp_path, first, last)
  assert first.epochs == last.epochs == list(range(epoch + 1))
  run = load_run(tmp_path)
  assert run.genotype == genotype == last.records[-1].genotype
  (*_, stop) = files.read_lines(tmp_path / 'metrics.jsonl')
  assert stop == {'kind': 'stop', 'epoch': epoch, 'step': 3 * (epoch + 1)}
  # It is finished, with the numbers of its last epoch.
  assert run.results['ended_by'] == 'a watcher'
  assert run.results['epochs'] == epoch + 1
  for name in ('eval_accuracy', 'eval_loss', 'skip_normal', 'genotype'):
    assert run.results[name] == run.epochs[-1][name]
  before = contents(tmp_path)
  again = Watcher()
  assert search(tmp_path, again) == genotype
  assert again.epochs == []
  assert contents(tmp_path) == before


class Counting:
  """DARTS that counts its epochs in what it keeps beside the parameters."""

  def __init__(self):
    self.begin_again()

  def begin_again(self, stop_at=-1):
    """Of the same functions, so that programs are shared; the method."""
    self.events, self.found, self.stop_at = [], [], stop_at
    return darts()._replace(
      name='counting',
      init_own=self.init_own,
      begin_epoch=self.begin_epoch,
      derive=self.derive,
    )

  def init_own(self, space, weights):
    return {'epochs': jnp.int32(0), 'seed': jnp.int32(7)}

  def begin_epoch(self, search, state, epoch, stages):
    self.events.append(epoch)
    if epoch == self.stop_at:
      return Change(state, stop=True)
    change = all_enter(search, state, epoch, stages)
    own = change.state.own | {'epochs': change.state.own['epochs'] + 1}
    return change._replace(state=change.state.replace(own=own))

  def derive(self, method, search, state):
    self.found.append({name: int(v) for name, v in state.own.items()})
    return darts().derive(method, search, state)


COUNTING = Counting()


def test_a_resumed_epoch_is_not_begun_twice(tmp_path, monkeypatch):
  method = COUNTING.begin_again()
  events, found = COUNTING.events, COUNTING.found
  save = checkpoint.Checkpoints.save

  def save_and_die(self, step, state, progress):
    save(self, step, state, progress)
    if progress['epoch'] == 1 and progress['done']:
      raise KillError

  monkeypatch.setattr(checkpoint.Checkpoints, 'save', save_and_die)

  def go():
    return run_search(
      SEARCH_SAVING,
      tmp_path,
      method=method,
      signals=False,
      quiet=True,
    )

  with pytest.raises(KillError):
    go()
  assert events == [0, 1]
  monkeypatch.undo()
  go()
  assert events == [0, 1, 2]
  # What the method keeps came through the checkpoint.
  assert found[0] == {'epochs': 1, 'seed': 7}
  assert found[-1] == {'epochs': 3, 'seed': 7}
  assert [line['epoch'] for line in load_run(tmp_path).epochs] == [0, 1, 2]
  assert len(load_run(tmp_path).stages) == 1


def test_a_method_ends_the_search(tmp_path):
  watcher, method = Watcher(), COUNTING.begin_again(stop_at=2)
  events, found = COUNTING.events, COUNTING.found
  genotype = search(tmp_path, watcher, method=method)
  assert events == [0, 1, 2]
  assert watcher.epochs == [0, 1]
  assert found[-1]['epochs'] == 2
  run = load_run(tmp_path)
  assert run.genotype == genotype
  (*_, stop) = files.read_lines(tmp_path / 'metrics.jsonl')
  assert (stop['kind'], stop['epoch'], stop['step']) == ('stop', 2, 6)
  assert run.results['ended_by'] == 'the method'
  assert run.results['eval_loss'] == run.epochs[-1]['eval_loss']
  before = contents(tmp_path)
  again = Watcher()
  assert search(tmp_path, again, method=method) == genotype
  assert events == [0, 1, 2]
  assert again.epochs == []
  assert contents(tmp_path) == before


def test_a_loss_on_d_val_that_is_not_finite_ends_it(tmp_path, monkeypatch):
  make = live.programs_of

  def programs(*given, **named):
    made = make(*given, **named)

    def evaluate(*args):
      return made.evaluate(*args)._replace(loss=jnp.nan)

    return made._replace(evaluate=evaluate)

  monkeypatch.setattr(live, 'programs_of', programs)
  with pytest.raises(
    DivergedError, match='loss on D_val must be finite, but is nan'
  ) as error:
    search(tmp_path)
  assert error.value.exit_code == 3
  kinds = {line['kind'] for line in files.read_lines(tmp_path / METRICS)}
  assert kinds == {'stage', 'train'}


def test_a_method_may_end_it_before_anything(tmp_path):
  method = COUNTING.begin_again(stop_at=0)
  genotype = search(tmp_path, method=method)
  run = load_run(tmp_path)
  assert run.genotype == genotype
  assert (run.results['epochs'], run.results['eval_loss']) == (0, None)
  assert search(tmp_path, method=method) == genotype
