"""The runs that a page compares: what tells them apart, and their settings."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.config import first_house
from opp_darts_jax.recorded import METRICS
from opp_darts_jax.reporting import (
  contents,
  head_parts,
  monitor_parts,
  origins,
  run_files,
  styles,
)
from opp_darts_jax.reporting.derived import FOUND, with_cells
from opp_darts_jax.reporting.run_files import RunFiles

# Folders and what follows from other fields tell no two runs apart.
_BESIDE = ('seed', 'search_seeds', 'seeds', 'genotype', 'data.data_dir')
_OF_FIRST = ('skip_share', 'entropy')
_FIRST = ('method', 'schedule.name', 'space', 'data.source')
# What a config does not say tells apart what nothing else does.
_LAST = ('data.fingerprint', 'cost.digest')


class ComparedRun(NamedTuple):
  """A run on the page.

  Attributes:
    run: its files; the config has the names and the fields of today.
    name: of its folder, as short as tells it from the others.
    group: runs that differ in their seed alone have the same.
    seed: its seed.
    search_seed: that of the search whose cell a training has, if it is known.
    images: that it is of.
    lines: of its metrics, shares and entropies among them.
  """

  run: RunFiles
  name: str
  group: str
  seed: int
  search_seed: int | None
  images: contents.Input
  lines: Sequence[Mapping[str, Any]]

  @property
  def kind(self) -> str:
    """The first kind of cell that its network has; '' if none is known."""
    genotype = self.run.genotype
    kinds = with_cells(genotype.kinds, self.run.space) if genotype else ()
    return next(iter(kinds), '')

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
    kind = self.kind
    return {**line, **{key: line.get(f'{key}_{kind}') for key in _OF_FIRST}}


def read(workdirs: Sequence[str | pathlib.Path]) -> list[RunFiles]:
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
  runs: Sequence[RunFiles],
) -> tuple[list[ComparedRun], dict[str, list[str]]]:
  """The runs with their groups, and what differs between the runs.

  Returns:
    The runs; by field whose values differ, those of each run.
  """
  # A run without a config stays so.
  runs = [
    run._replace(config=run.config and first_house.of_now(run.config))
    for run in runs
  ]
  images = contents.images(runs)
  fields = _fields(runs, images)
  differing = _differing(fields)
  telling = _telling(differing)
  groups = [_group(own, telling) for own in fields]
  cells = origins.origins(runs, groups)
  if len({cell.name for cell in cells if cell.name}) > 1:
    differing['genotype'] = [cell.name or 'none' for cell in cells]
    groups = [
      f'{group} of {cell.name}' if cell.name else group
      for group, cell in zip(groups, cells)
    ]
  found = [
    ComparedRun(
      run,
      name,
      group,
      run.seed,
      cell.seed,
      pictures,
      monitor_parts.measured(run),
    )
    for run, name, group, cell, pictures in zip(
      runs, _short_names(runs), groups, cells, images
    )
  ]
  return found, differing


def _fields(
  runs: Sequence[RunFiles], images: Sequence[contents.Input]
) -> list[dict[str, str]]:
  """The fields of the configs, those of inputs by what these are."""
  found = [head_parts.leaves(run.config) for run in runs]
  for own, pictures, table in zip(found, images, contents.tables(runs)):
    for name, given in (('data.source', pictures), ('cost.table', table)):
      if name in own:
        own[name] = given.label
    for name, given in zip(_LAST, (pictures, table)):
      if given.digits:
        own[name] = given.digits
  return found


def _differing(fields: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
  """The values of all runs, of each field whose values differ."""
  names = list(dict.fromkeys(name for own in fields for name in own))
  names.sort(key=lambda n: _FIRST.index(n) if n in _FIRST else len(_FIRST))
  names.sort(key=_LAST.__contains__)
  return {
    name: [own.get(name, 'none') for own in fields]
    for name in names
    if name not in _BESIDE
    and len({own.get(name, 'none') for own in fields}) > 1
  }


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


def _short_names(runs: Sequence[RunFiles]) -> list[str]:
  """Their folders, without what all of them have in common."""
  parts = [run.workdir.resolve().parts for run in runs]
  shared = 0
  while all(len(p) > shared + 1 for p in parts) and (
    len({p[shared] for p in parts}) == 1
  ):
    shared += 1
  return [styles.shown('/'.join(p[shared:])) for p in parts]
