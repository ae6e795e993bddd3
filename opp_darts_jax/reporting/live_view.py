"""What a terminal shows of a run while it goes on, from the run's files.

A view is a function of how far the run is to what rich draws: it reads what has
been added to the files since it was last called, so that a run never waits for
it.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rich import table
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.text import Text

from opp_darts_jax.config import ScheduleConfig
from opp_darts_jax.recorded import CONFIG, METRICS, SPACE
from opp_darts_jax.reporting import judgement
from opp_darts_jax.reporting.derived import genotype_of
from opp_darts_jax.running.runs.standing import Standing, View, bar

Record = Mapping[str, Any]

_COLORS = {
  'unknown': '',
  'healthy': 'green',
  'at risk': 'yellow',
  'collapsed': 'red',
}
_SHOWN = 8  # operations of the table, so that it fits a low terminal


def of_search(workdir: str | pathlib.Path) -> View:
  """The view of a search in a folder: stage, losses, cell and signs."""
  lines, facts = _Lines(workdir), _Facts(workdir)
  seen, body = -1, Group()

  def view(standing: Standing) -> RenderableType:
    nonlocal seen, body
    records = lines.read()
    if len(records) != seen:  # Else bars alone have moved.
      seen, body = len(records), _body(records, facts)
    return Group(*_stage_bars(records, facts, standing), body)

  return view


def _body(records: Sequence[Record], facts: '_Facts') -> Group:
  """What is known since the last epoch: losses, cells, numbers, sentence."""
  epochs = [r for r in records if r['kind'] == 'epoch']
  scored = [r for r in records if r['kind'] == 'stage' and r.get('losses')]
  parts: list[RenderableType] = []
  if scored:
    parts.append(_losses(scored[-1]))
  if epochs:
    parts += [*_cells(epochs[-1]), _numbers(epochs[-1])]
  shown: list[RenderableType] = [Columns(parts, padding=(0, 3))]
  if epochs:
    shown.append(_sentence(judgement.judge(records, facts.space)))
  return Group(*(shown if parts else ()))


def of_searches(workdir: str | pathlib.Path, seeds: Sequence[int]) -> View:
  """The view of several searches: a line for each seed."""
  folders = {seed: pathlib.Path(workdir) / f'seed{seed}' for seed in seeds}
  read = {seed: _Lines(folder) for seed, folder in folders.items()}
  facts = {seed: _Facts(folder) for seed, folder in folders.items()}

  def view(standing: Standing) -> RenderableType:
    del standing
    rows = table.Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ('seed', 'epoch', 'stage', 'D_val', 'skips', 'judged'):
      rows.add_column(name, no_wrap=True, justify='left')
    for seed, lines in read.items():
      records = lines.read()
      epochs = [r for r in records if r['kind'] == 'epoch']
      stages = sum(r['kind'] == 'stage' for r in records)
      last = epochs[-1] if epochs else {}
      level = judgement.judge(records, facts[seed].space).level
      rows.add_row(
        str(seed),
        str(last.get('epoch', '-')),
        str(stages - 1 if stages else '-'),
        _number(last.get('eval_accuracy')),
        _share(last),
        Text(level, _COLORS[level]) if epochs else '-',
      )
    return rows

  return view


def of_training(workdir: str | pathlib.Path) -> View:
  """The view of a training in a folder: its last epochs."""
  lines = _Lines(workdir)

  def view(standing: Standing) -> RenderableType:
    del standing
    epochs = [r for r in lines.read() if r['kind'] == 'epoch']
    rows = table.Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ('epoch', 'loss', 'accuracy', 'test loss', 'test'):
      rows.add_column(name, no_wrap=True, justify='right')
    for last in epochs[-3:]:
      names = ('train_loss', 'train_accuracy', 'test_loss', 'test_accuracy')
      rows.add_row(str(last['epoch']), *(_number(last.get(n)) for n in names))
    return rows if epochs else Group()

  return view


class _Lines:
  """The lines of a run's metrics, of which only new ones are read."""

  def __init__(self, workdir: str | pathlib.Path) -> None:
    self._path = pathlib.Path(workdir) / METRICS
    self._at = 0
    self._records: list[Record] = []

  def read(self) -> list[Record]:
    """All whole lines of stages and epochs so far."""
    if not self._path.is_file():
      return []
    with open(self._path, 'rb') as file:
      if file.seek(0, 2) < self._at:  # A run goes on from an earlier point.
        self._at, self._records = 0, []
      file.seek(self._at)
      new = file.read()
    whole = new[: new.rfind(b'\n') + 1]
    self._at += len(whole)
    for line in whole.splitlines():
      try:
        record = json.loads(line)
      except ValueError:
        continue
      if isinstance(record, dict) and record.get('kind') in ('stage', 'epoch'):
        self._records.append(record)
    return self._records


class _Facts:
  """What a run writes at its beginning, read once it is there."""

  def __init__(self, workdir: str | pathlib.Path) -> None:
    self._folder = pathlib.Path(workdir)
    self._read: dict[str, Mapping[str, Any]] = {}

  @property
  def space(self) -> Mapping[str, Any]:
    """Of the run; empty before it is known."""
    return self._json(SPACE)

  @property
  def config(self) -> Mapping[str, Any]:
    """Likewise."""
    return self._json(CONFIG)

  def _json(self, name: str) -> Mapping[str, Any]:
    path = self._folder / name
    if name not in self._read and path.is_file():
      self._read[name] = json.loads(path.read_text(encoding='utf-8'))
    return self._read.get(name, {})


def _stage_bars(
  records: Sequence[Record], facts: _Facts, standing: Standing
) -> list[RenderableType]:
  """The bar of the stage, as far as it is known how long that is."""
  stages = [r for r in records if r['kind'] == 'stage']
  epochs = facts.config.get('epochs')
  if not stages or not epochs:
    return []
  stage, operations = stages[-1], facts.space.get('operations', [])
  schedule = facts.config.get('schedule', {})
  left = len(operations) - len(stage.get('active', []))
  end = epochs
  names = ScheduleConfig(schedule.get('name') or 'plain').names
  if left > 0 and 'progressive' in names:
    end = min(epochs, stage['epoch'] + schedule['stage_epochs'])
  per_epoch = standing.total / epochs
  first, total = stage['epoch'] * per_epoch, (end - stage['epoch']) * per_epoch
  # Of a run that goes on, lines may be ahead of it for a moment.
  done = min(max(standing.done - first, 0), total)
  entered = ', '.join(stage.get('entered') or [])
  return [
    Text(f'stage {stage.get("stage", 0)}: {entered}', no_wrap=True),
    bar(Standing(int(done), int(total)), 'stage'),
  ]


def _losses(stage: Record) -> RenderableType:
  """The operation losses of a stage, largest first; what entered is marked."""
  rows = table.Table(box=None, padding=(0, 1), pad_edge=False)
  rows.add_column(f'stage {stage.get("stage", 0)}', no_wrap=True)
  rows.add_column('loss', no_wrap=True, justify='right')
  rows.add_column('')
  losses = sorted(stage['losses'].items(), key=lambda row: -row[1])
  for name, loss in losses[:_SHOWN]:
    enters = name in stage['entered']
    style = 'bold' if enters else ''
    mark = 'enters' if enters else ''
    rows.add_row(Text(name, style), _number(loss), mark)
  return rows


def _cells(epoch: Record) -> list[RenderableType]:
  """The derived cells: a line a node, an edge as operation(source)."""
  genotype = genotype_of(epoch)
  shown: list[RenderableType] = []
  for cell in genotype.cells:
    said = Text(f'{cell.kind}\n', 'bold')
    for node in sorted({edge.node for edge in cell.edges}):
      edges = ' '.join(f'{e.operation}({e.source})' for e in cell.into(node))
      said.append(f' {node}: {edges}\n', '')
    said.rstrip()
    shown.append(said)
  return shown


def _numbers(epoch: Record) -> RenderableType:
  """The last epoch's numbers, a line each; those that there are."""
  rows = table.Table.grid(padding=(0, 1))
  for label, name in (
    ('epoch', 'epoch'),
    ('loss', 'train_loss'),
    ('on D_val', 'eval_accuracy'),
    ('derived', 'derived_accuracy'),
    ('eigenvalue', 'eigenvalue'),
  ):
    if epoch.get(name) is not None:
      rows.add_row(label, _number(epoch[name]))
  rows.add_row('skips', _share(epoch))
  return rows


def _share(epoch: Record) -> str:
  """The shares of skip connections, a kind of cell after the other."""
  shares = [v for n, v in epoch.items() if n.startswith('skip_share_')]
  return ' '.join(f'{share:.0%}' for share in shares) or '-'


def _sentence(found: judgement.Judgement) -> RenderableType:
  return Text(found.sentence, _COLORS[found.level])


def _number(value: float | None) -> str:
  if value is None:
    return '-'
  return str(value) if isinstance(value, int) else f'{value:.4f}'
