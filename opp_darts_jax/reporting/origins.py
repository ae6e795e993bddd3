"""Where the cells of trainings are from: a search, or what they are called."""

import hashlib
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.reporting import styles
from opp_darts_jax.reporting.run_files import RunFiles

_FILE = '/genotype.json'
_DIGITS = 8


class Origin(NamedTuple):
  """Where a training has its cell from.

  Attributes:
    name: the group of the search; its folder, without the seed, if it is not on
      the page; what the cell is called if it is of no search; '' of a search.
    seed: of the search, if it is known.
  """

  name: str
  seed: int | None


def origins(runs: Sequence[RunFiles], groups: Sequence[str]) -> list[Origin]:
  """The origin of each run's cell.

  Args:
    runs: of the page.
    groups: those of its searches.
  """
  searches = [
    (run, Origin(group, run.seed))
    for run, group in zip(runs, groups)
    if run.is_search
  ]
  known = {(_given(run), run.genotype) for run in runs if run.genotype}
  texts = [text for text, _ in known]
  found = []
  for run in runs:
    if run.is_search:
      found.append(Origin('', None))
    # A file that was written anew does not say where any of its cells is from.
    elif _given(run).endswith(_FILE) and texts.count(_given(run)) < 2:
      found.append(_of_file(run, searches))
    else:
      found.append(_of_cell(run, searches))
  return found


def _given(run: RunFiles) -> str:
  """What the config of a training says of its cell; '' of a search."""
  return str(run.config.get('genotype') or '').strip()


def _of_file(
  run: RunFiles, searches: Sequence[tuple[RunFiles, Origin]]
) -> Origin:
  """The search that wrote the file of a cell, or what its folder says of it."""
  folder = pathlib.Path(_given(run)).parent
  places: Mapping[pathlib.Path, Origin] = {
    search.workdir.resolve(): origin for search, origin in searches
  }
  # A sweep may have been run, or moved, elsewhere: its parts lie side by side.
  for place in (folder, run.workdir.resolve().parent / folder.name):
    if place.resolve() in places:
      return places[place.resolve()]
  seeds = re.findall(r'seed(\d+)', str(folder))
  name = styles.shown(re.sub(r'seed\d+', 'seed', str(folder)))
  return Origin(name, int(seeds[-1]) if seeds else None)


def _of_cell(
  run: RunFiles, searches: Sequence[tuple[RunFiles, Origin]]
) -> Origin:
  """The only setting whose searches gave the cell, or what it is called."""
  gave = [
    origin
    for search, origin in searches
    if search.genotype and search.genotype == run.genotype
  ]
  if _given(run) in GENOTYPES or len({origin.name for origin in gave}) != 1:
    return Origin(_called(run), None)
  seeds = [origin.seed for origin in gave]
  return gave[seeds.index(run.seed) if run.seed in seeds else 0]


def _called(run: RunFiles) -> str:
  """The published name of a cell, else digits of what it is; '' of none."""
  given = _given(run)
  for name, cell in GENOTYPES.items():
    if given == name or (given not in GENOTYPES and run.genotype == cell):
      return name
  text = run.genotype.to_json() if run.genotype else given
  digest = hashlib.sha256(text.encode()).hexdigest()
  return f'cell {digest[:_DIGITS]}' if text else ''
