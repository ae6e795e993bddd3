"""The runs that a page compares: what tells them apart, and their settings."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.reporting import head_parts, monitor_parts, run_files, styles
from opp_darts_jax.reporting.derived import FOUND
from opp_darts_jax.reporting.run_files import Run
from opp_darts_jax.running.metrics import METRICS

_SEED = 'seed'
# Folders and what follows from other fields tell no two runs apart.
_BESIDE = (_SEED, 'search_seeds', 'seeds', 'genotype', 'data.data_dir')
_OF_FIRST = ('skip_share', 'entropy')
_FIRST = ('method', 'schedule.name', 'space', 'data.source')


class Compared(NamedTuple):
  """A run on the page.

  Attributes:
    run: its files.
    name: of its folder, as short as tells it from the others.
    group: runs that differ in their seed alone have the same.
    seed: its seed.
    search_seed: that of the search whose cell a training has, if it is known.
    lines: of its metrics, shares and entropies among them.
  """

  run: Run
  name: str
  group: str
  seed: int
  search_seed: int | None
  lines: Sequence[Mapping[str, Any]]

  @property
  def epochs(self) -> list[Mapping[str, Any]]:
    """The lines of the epochs that have ended.

    `skip_share` and `entropy` are those of the first kind of cell.
    """
    return [self._of_first(r) for r in self.lines if r['kind'] == 'epoch']

  @property
  def ended(self) -> Mapping[str, Any]:
    """The line of what a search gave, else of the last epoch; {} of neither.

    With `skip_share` and `entropy` as those of the epochs.
    """
    ends = [r for r in self.lines if r['kind'] in ('epoch', FOUND)]
    return self._of_first(ends[-1]) if ends else {}

  def _of_first(self, line: Mapping[str, Any]) -> Mapping[str, Any]:
    genotype = self.run.genotype
    kind = genotype.cells[0].kind if genotype else ''
    return {**line, **{key: line.get(f'{key}_{kind}') for key in _OF_FIRST}}


class _Search(NamedTuple):
  """What a training has its cell from.

  Attributes:
    group: of the search; its folder, without the seed, if it is not on the
      page; '' if there is none.
    seed: of the search, if it is known.
  """

  group: str
  seed: int | None


def read(workdirs: Sequence[str | pathlib.Path]) -> list[Run]:
  """The runs in folders, each once.

  Raises:
    UserError: if a folder holds none, or files make no sense.
  """
  return [run_files.read_run(folder) for folder in _folders(workdirs)]


def _folders(workdirs: Sequence[str | pathlib.Path]) -> list[pathlib.Path]:
  """The runs in folders: those that are runs, and those inside of others."""
  found: dict[pathlib.Path, pathlib.Path] = {}
  for given in workdirs:
    if not given:
      continue
    folder = pathlib.Path(given)
    inside = [folder]
    if folder.is_dir() and not (folder / METRICS).is_file():
      inside = sorted(path.parent for path in folder.rglob(METRICS))
    for path in inside or [folder]:
      found.setdefault(path.resolve(), path)
  return [*found.values()]


def compared(
  runs: Sequence[Run],
) -> tuple[list[Compared], dict[str, list[str]]]:
  """The runs with their groups, and what differs between the runs.

  Returns:
    The runs; by field whose values differ, those of each run.
  """
  fields = [head_parts.leaves(run.config) for run in runs]
  names = list(dict.fromkeys(name for own in fields for name in own))
  names.sort(key=lambda n: _FIRST.index(n) if n in _FIRST else len(_FIRST))
  differing = {
    name: [own.get(name, 'none') for own in fields]
    for name in names
    if name not in _BESIDE
    and len({own.get(name, 'none') for own in fields}) > 1
  }
  telling = _telling(differing)
  groups = [_group(own, telling) for own in fields]
  searched = _searched(runs, groups)
  groups = _by_search(runs, groups, [own.group for own in searched])
  found = [
    Compared(
      run,
      name,
      group,
      _seed(run),
      own.seed,
      monitor_parts.measured(run),
    )
    for run, name, group, own in zip(runs, _short_names(runs), groups, searched)
  ]
  return found, differing


def _telling(differing: Mapping[str, Sequence[str]]) -> list[str]:
  """The fields that tell groups apart, without what follows from them."""
  found: list[str] = []
  known = 1
  for name in differing:
    rows = {*zip(*(differing[own] for own in (*found, name)))}
    if len(rows) > known:
      found.append(name)
      known = len(rows)
  return found


def _group(fields: Mapping[str, str], telling: Sequence[str]) -> str:
  """What a group is called: its method, and what else tells it apart."""
  method, schedule = fields.get('method'), fields.get('schedule.name')
  named = ('method', 'schedule.name')
  parts = []
  if method is None:
    parts.append('training')
  elif not telling or any(name in telling for name in named):
    parts.append(
      method if schedule in (None, 'plain') else f'{schedule}+{method}'
    )
  parts += [
    f'{name.rpartition(".")[2]}={fields.get(name, "none")}'
    for name in telling
    if name not in named and name in fields
  ]
  return styles.shown(' '.join(parts))


def _seed(run: Run) -> int:
  return int(run.config.get(_SEED) or 0)


def _by_search(
  runs: Sequence[Run], groups: Sequence[str], by: Sequence[str]
) -> list[str]:
  """The groups, of trainings by what searched their cells, if that differs."""
  trained = [not run.is_search for run in runs]
  if len({own for own, is_one in zip(by, trained) if is_one}) < 2:
    return list(groups)
  return [
    f'{group} of {own}' if own else group for group, own in zip(groups, by)
  ]


def _searched(runs: Sequence[Run], groups: Sequence[str]) -> list[_Search]:
  """What searched the cell of each run."""
  places = {
    run.workdir.resolve(): _Search(group, _seed(run))
    for run, group in zip(runs, groups)
    if run.is_search
  }
  return [_search_of(run, places) for run in runs]


def _search_of(run: Run, places: Mapping[pathlib.Path, _Search]) -> _Search:
  """The search whose cell a training has, or what its folder says of it.

  Of nothing for a cell that is of no folder, and for a search.
  """
  given = run.config.get('genotype')
  if not isinstance(given, str) or not given.endswith('/genotype.json'):
    return _Search('', None)
  folder = pathlib.Path(given).parent
  # A sweep may have been run, or moved, elsewhere: its parts lie side by side.
  for place in (folder, run.workdir.resolve().parent / folder.name):
    if place.resolve() in places:
      return places[place.resolve()]
  seeds = re.findall(r'seed(\d+)', str(folder))
  group = styles.shown(re.sub(r'seed\d+', 'seed', str(folder)))
  return _Search(group, int(seeds[-1]) if seeds else None)


def _short_names(runs: Sequence[Run]) -> list[str]:
  """Their folders, without what all of them have in common."""
  parts = [run.workdir.resolve().parts for run in runs]
  shared = 0
  while all(len(p) > shared + 1 for p in parts) and (
    len({p[shared] for p in parts}) == 1
  ):
    shared += 1
  return [styles.shown('/'.join(p[shared:])) for p in parts]
