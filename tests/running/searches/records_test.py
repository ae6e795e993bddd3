"""What a search records of an epoch, and what writes it down."""

import contextlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from genotype_cells import TINY
from tiny_runs import PER_EPOCH, SEARCH

from opp_darts_jax import files
from opp_darts_jax.methods.catalogue import get_method
from opp_darts_jax.methods.method import scores_of
from opp_darts_jax.methods.stages import Stage
from opp_darts_jax.methods.state import Metrics, SearchState
from opp_darts_jax.methods.tables import init_alphas
from opp_darts_jax.running.runs.run import Options, open_run
from opp_darts_jax.running.searches import records
from opp_darts_jax.spaces.robust import S3

# No watcher asks what a supernet is made of.
pytestmark = pytest.mark.usefixtures('toys')
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
  return records.record_of(3, epoch, state, MEANS, TINY, STAGES, workdir)


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
  weights = records.own_weights(SPACE, state, scores_of(method, SPACE, state))
  assert bool(weights) == apart
  record = records.record_of(
    3, 0, state, MEANS, TINY, STAGES, tmp_path, weights
  )
  assert set(record.weights) == (set(SPACE.kinds) if apart else set())
  if apart:
    assert record.weights['normal'][0][1] is None
    assert record.weights['normal'][0][2] == pytest.approx(1 / (1 + np.exp(-1)))
    with opened(tmp_path) as run:
      for watcher in records.built_in(run, SPACE)[:2]:
        watcher(record)
    (line,) = files.read_lines(tmp_path / 'alphas.jsonl')
    assert line['weights'] == record.weights


@contextlib.contextmanager
def opened(workdir):
  state, zeros = {'w': jnp.zeros(2)}, Metrics.zeros()
  with open_run(
    workdir,
    SEARCH,
    PER_EPOCH,
    lambda known: state,
    zeros,
    Options(signals=False),
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
    watchers = [*records.built_in(run, SPACE), collecting(run)]
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
    for watcher in records.built_in(run, SPACE):
      watcher(record)
    records.record_stage(STAGES, 3, run)
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
