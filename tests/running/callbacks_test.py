"""What watches a search: the built-in watchers, and one of the test's own."""

import contextlib
import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from genotype_cells import TINY
from tiny_runs import (
  PER_EPOCH,
  SEARCH,
  KillError,
  contents,
)

from opp_darts_jax import errors, files
from opp_darts_jax.errors import DivergedError, UserError
from opp_darts_jax.launchers import launch
from opp_darts_jax.methods.catalogue import configured_method, get_method
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.growth import all_enter
from opp_darts_jax.methods.method import scores_of
from opp_darts_jax.methods.stages import Change, Stage
from opp_darts_jax.methods.state import Metrics, SearchState
from opp_darts_jax.methods.tables import init_alphas
from opp_darts_jax.recorded import METRICS
from opp_darts_jax.running import callbacks, checkpoint, live_search, runs
from opp_darts_jax.running.callbacks import EpochRecord
from opp_darts_jax.running.search import run_search
from opp_darts_jax.runs import load_run
from opp_darts_jax.spaces.robust import S3

# No watcher asks what a supernet is made of.
pytestmark = pytest.mark.usefixtures('toys')
SEARCH_SAVING = dataclasses.replace(SEARCH, save_steps=1)
SPACE = S3.with_nodes(1)
MEANS = {
  'train_loss': 2.0,
  'train_accuracy': 0.25,
  'val_loss': 2.5,
  'val_accuracy': 0.125,
  'eval_loss': 2.25,
  'eval_accuracy': 0.5,
}
STAGES = [
  Stage(0, ('sep_conv_3x3',), {}),
  Stage(1, ('none',), {'none': 2.5, 'skip_connect': 2.25}),
]


def small_state(step):
  """A state whose skip connections have not entered."""
  params = init_alphas(jax.random.key(0), SPACE)
  mask = SPACE.mask(['none', 'sep_conv_3x3'])
  return SearchState(
    jnp.int32(step),
    {},
    {},
    params | {'edges': {'normal': jnp.arange(2.0)}},
    jax.device_put(mask),
    optax.EmptyState(),
    optax.EmptyState(),
  )


def record_of(epoch, workdir):
  state = small_state(PER_EPOCH * (epoch + 1))
  return callbacks.record_of(3, epoch, state, MEANS, TINY, STAGES, workdir)


def test_a_record_says_where_the_search_is(tmp_path):
  record = record_of(1, tmp_path)
  assert record[:3] == (1, 3, 2 * PER_EPOCH)
  assert record.metrics == MEANS
  assert record.genotype == TINY
  assert record.stages == tuple(STAGES)
  assert record.workdir == tmp_path
  # JSON takes it as it is; None where an operation is not active.
  assert json.loads(json.dumps(record.alphas)) == record.alphas
  assert record.alphas['edges'] == {'normal': [0.0, 1.0]}
  alphas = small_state(0).alphas['normal']
  for row, want in zip(record.alphas['normal'], np.asarray(alphas).tolist()):
    assert row == [want[0], None, want[2]]
  assert len(record.alphas['reduce']) == SPACE.graph.num_edges


@pytest.mark.parametrize(
  ('method', 'apart'),
  [('darts', False), ('pc_darts', False), ('fair_darts', True)],
)
def test_weights_are_told_where_no_softmax_tells_them(method, apart, tmp_path):
  method = get_method(method)
  state = small_state(0)
  params = method.init(jax.random.key(0), SPACE)
  params = jax.tree.map(lambda x: x + jnp.arange(x.shape[-1]) / 2, params)
  state = state.replace(alphas=params)
  weights = callbacks.own_weights(SPACE, state, scores_of(method, SPACE, state))
  assert bool(weights) == apart
  record = callbacks.record_of(
    3, 0, state, MEANS, TINY, STAGES, tmp_path, weights
  )
  assert set(record.weights) == (set(SPACE.kinds) if apart else set())
  if apart:
    assert record.weights['normal'][0][1] is None
    assert record.weights['normal'][0][2] == pytest.approx(1 / (1 + np.exp(-1)))
    with opened(tmp_path) as run:
      for watcher in callbacks.built_in(run, SPACE)[:2]:
        watcher(record)
    (line,) = files.read_lines(tmp_path / 'alphas.jsonl')
    assert line['weights'] == record.weights


@contextlib.contextmanager
def opened(workdir):
  state, zeros = {'w': jnp.zeros(2)}, Metrics.zeros()
  with runs.open_run(
    workdir,
    SEARCH,
    PER_EPOCH,
    lambda known: state,
    zeros,
    runs.Options(signals=False),
  ) as run:
    yield run


def collecting(run):
  """A user's watcher, which keeps what it is given in a file of its own."""
  path = run.folder / 'own.jsonl'

  def collect(record):
    line = json.dumps({'epoch': record.epoch, **record.metrics})
    path.write_text((path.read_text() if path.exists() else '') + line + '\n')

  return collect


# The file that each of them writes, in order; the last one writes to the
# screen.
@pytest.mark.parametrize(
  ('which', 'name'),
  enumerate(
    ['metrics.jsonl', 'alphas.jsonl', 'genotype.json', '', 'own.jsonl']
  ),
)
def test_a_watcher_keeps_to_its_own(tmp_path, capsys, which, name):
  with opened(tmp_path) as run:
    watchers = [*callbacks.built_in(run, SPACE), collecting(run)]
    assert len(watchers) == 5

    def written():
      return {
        path.name: path.read_bytes()
        for path in tmp_path.glob('*.json*')
        if path.read_bytes()
      }

    before = written()
    for epoch in range(2):
      assert watchers[which](record_of(epoch, tmp_path)) in (None, False)
    changed = {n for n, text in written().items() if before.get(n) != text}
    assert changed == ({name} if name else set())
    if name.endswith('l'):
      lines = files.read_lines(tmp_path / name)
      assert [line['epoch'] for line in lines] == [0, 1]
  said = capsys.readouterr().out
  assert ('epoch 1: loss 2.0000, accuracy 0.2500; on D_val 2.2500' in said) == (
    not name
  )
  # A genotype that is still the same is shown once.
  assert said.count('normal sep_conv_3x3(0) skip_connect(1)') == (not name)


def test_lines_of_metrics_and_alphas(tmp_path):
  with opened(tmp_path) as run:
    record = record_of(1, tmp_path)
    for watcher in callbacks.built_in(run, SPACE):
      watcher(record)
    callbacks.record_stage(STAGES, 3, run)
  epoch, stage = files.read_lines(tmp_path / 'metrics.jsonl')
  assert epoch == {
    'kind': 'epoch',
    'epoch': 1,
    'step': 6,
    **MEANS,
    'skip_normal': 1,
    'skip_reduce': 0,
    'genotype': TINY.to_dict(),
  }
  assert stage == {
    'kind': 'stage',
    'epoch': 1,
    'step': 3,
    'stage': 1,
    'losses': {'none': 2.5, 'skip_connect': 2.25},
    'entered': ['none'],
    'active': ['sep_conv_3x3', 'none'],
  }
  (alphas,) = files.read_lines(tmp_path / 'alphas.jsonl')
  assert list(alphas) == [
    'epoch',
    'step',
    'operations',
    'edges',
    'normal',
    'reduce',
  ]
  assert alphas['operations'] == list(SPACE.names)
  assert json.loads((tmp_path / 'genotype.json').read_text()) == TINY.to_dict()


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


@pytest.mark.parametrize(
  ('watcher', 'sentence'),
  [
    (lambda: None, r"function of an epoch's record alone, got one of \(\)"),
    (lambda a, b: None, r'got one of \(a, b\)'),
    ('text', 'several, got str'),
  ],
)
def test_a_watcher_takes_a_record(watcher, sentence):
  with pytest.raises(UserError, match=sentence):
    callbacks.watchers_of(watcher)
  assert callbacks.watchers_of(print) == [print]


def test_what_a_watcher_raises_is_its_own():
  error = ConnectionError('the server is away')

  class Tells:
    def __call__(self, record):
      raise error

  with pytest.raises(ConnectionError) as caught:
    callbacks.tell(functools.partial(Tells()), None)
  assert caught.value is error  # As its callers know it.
  said = f'the callback partial of {__file__}'
  assert errors.of_callback(error) == said
  sentence, code = launch._about_system(error)
  assert code == UserError.exit_code
  assert f'{said} raised ConnectionError: the server is away; ' in sentence
  # Files of the package are none of a user's.
  own = OSError(28, 'No space left on device')
  sentence, code = launch._about_system(own)
  assert (errors.of_callback(own), code) == ('', errors.WriteError.exit_code)
  assert not errors.is_users(callbacks.ends)


def test_true_alone_ends_a_search():
  assert callbacks.ends(True)
  assert callbacks.ends(np.bool_(True))
  for answer in (None, False, 'no', 1, np.array([True, True])):
    assert not callbacks.ends(answer)


def test_a_watcher_is_told_of_every_epoch(whole):
  workdir, genotype, records = whole
  assert all(isinstance(record, EpochRecord) for record in records)
  assert [r[:3] for r in records] == [(n, 3, 3 * n + 3) for n in range(3)]
  lines = load_run(workdir)
  for record, line, alphas in zip(records, lines.epochs, lines.alphas):
    signs = ('skip_share', 'entropy')
    names = {f'{sign}_{kind}' for sign in signs for kind in SPACE.kinds}
    assert set(record.metrics) == set(MEANS) | names
    for name, value in files.plain(record.metrics).items():
      assert line[name] == value
    assert record.genotype.to_dict() == line['genotype']
    assert record.alphas == {kind: alphas[kind] for kind in SPACE.kinds}
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
  make = live_search.programs_of

  def programs(*given, **named):
    made = make(*given, **named)

    def evaluate(*args):
      return made.evaluate(*args)._replace(loss=jnp.nan)

    return made._replace(evaluate=evaluate)

  monkeypatch.setattr(live_search, 'programs_of', programs)
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
