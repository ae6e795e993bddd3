"""The report of a run: pictures and a page, from the files in its folder."""

import json
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib import figure

from opp_darts_jax import errors, files
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.reporting import (
  cell_picture,
  confusion,
  curves,
  stages,
  styles,
  truth_path,
)
from opp_darts_jax.reporting import page as page_lib
from opp_darts_jax.running import metrics

Record = Mapping[str, Any]

_CAPTIONS = {
  'curves': 'Curves',
  'stages': 'Operation losses by stage',
  'truth': 'What the cells of the epochs are worth, trained',
  'confusion': 'Test images by class and prediction',
}
_CELL_CAPTIONS = {
  'cell': 'Cell',
  'normal': 'Normal cell',
  'reduce': 'Reduction cell',
}


class Run(NamedTuple):
  """What the files of a run say; what is not there is empty.

  Attributes:
    records: the lines of its metrics.
    alphas: the lines of its alphas.
    genotype: that it ended with, else that of the last epoch.
    config: of the run.
    results: that it ended with.
    space: its name, and how its operations are drawn.
  """

  records: list[dict[str, Any]]
  alphas: list[dict[str, Any]]
  genotype: Genotype | None
  config: dict[str, Any]
  results: dict[str, Any]
  space: dict[str, Any]


def write_report(workdir: str | pathlib.Path) -> list[pathlib.Path]:
  """Draws what the files of a run allow into `workdir`/report.

  A run that is still going on or was interrupted gets a report of what it has
  so far.

  Args:
    workdir: the folder of a search or of a training run.

  Returns:
    The files written: pictures as SVG and PNG, and index.html.

  Raises:
    UserError: `workdir` is not the folder of a run, or its files make no sense.
  """
  workdir = pathlib.Path(workdir)
  try:
    return _write(workdir, read_run(workdir))
  except errors.UserError:
    raise
  except (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
  ) as error:
    # Files that others have written, or parts of two runs in one folder.
    raise errors.UserError(
      f'Expected the files of one run in {workdir}, but they do not fit '
      f'together: {type(error).__name__}: {errors.first_line(error)}.'
    ) from error


def _write(workdir: pathlib.Path, run: Run) -> list[pathlib.Path]:
  figures = figures_of(run)
  folder = workdir / 'report'
  folder.mkdir(exist_ok=True)
  written, captions = [], {}
  for name, (caption, fig) in figures.items():
    svg, png = _save(fig, folder / name)
    written += [svg, png]
    captions[svg.name] = caption
  times = files.read_lines(workdir / metrics.TIMES)
  facts = page_lib.run_facts(
    run.config, run.results, run.records, times, run.space
  )
  kind = 'Search' if is_search(run.records, run.alphas) else 'Training'
  title = f'{kind}: {workdir.resolve().name}'
  index = folder / 'index.html'
  page = page_lib.page(title, facts, captions)
  # Names of folders may have bytes that are no text.
  index.write_text(page, encoding='utf-8', errors='replace')
  return [*written, index]


def is_search(records: Sequence[Record], alphas: Sequence[Record]) -> bool:
  """Whether these are the lines of a search, not of a training run."""
  return bool(alphas) or any(
    r['kind'] == 'stage' or 'val_loss' in r or 'genotype' in r for r in records
  )


def read_run(workdir: pathlib.Path) -> Run:
  """What is in the files of a run."""
  path = workdir / metrics.METRICS
  results = _read_json(workdir / 'results.json')
  # A training with several seeds has its lines in a folder a seed.
  if not path.is_file() and 'seeds' not in results:
    but = 'has none' if workdir.is_dir() else 'is no folder'
    raise errors.UserError(
      f'Expected the folder of a run, with its metrics.jsonl; {workdir} '
      f'{but if workdir.exists() else "does not exist"}.'
    )
  lines = files.read_lines(path)
  records = _once(line for line in lines if _is_record(line))
  if lines and not records:
    raise errors.UserError(
      f'Expected the numbers of a run in {path}; none of its {len(lines)} '
      'lines has a kind, an epoch and a step.'
    )
  fields = _read_json(workdir / 'genotype.json')
  # Before the end of a search, that of the last epoch.
  derived = [r['genotype'] for r in records if r.get('genotype')]
  fields = fields or (derived[-1] if derived else {})
  return Run(
    records,
    alphas=_once(files.read_lines(workdir / 'alphas.jsonl')),
    genotype=Genotype.from_dict(fields) if fields else None,
    config=_read_json(workdir / 'config.json'),
    results=results,
    space=_read_json(workdir / 'space.json'),
  )


def _is_record(line: Record) -> bool:
  """Whether it is a line of a run, not of something else."""
  numbers = (line.get('epoch'), line.get('step'))
  return isinstance(line.get('kind'), str) and all(
    isinstance(number, int) for number in numbers
  )


def _once(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
  """In the order of steps; of lines that a resumed run repeats, the last."""
  names = ('kind', 'stage', 'epoch', 'step')
  lines = {tuple(r.get(name) for name in names): r for r in records}
  return sorted(lines.values(), key=lambda r: r.get('step') or 0)


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  """The object in a file; empty if there is no file."""
  if not path.is_file():
    return {}
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise errors.UserError(f'{path} is not JSON: {error}.') from error
  if not isinstance(found, dict):
    raise errors.UserError(f'Expected an object in {path}, got {found!r}.')
  return found


def figures_of(run: Run) -> dict[str, tuple[str, figure.Figure]]:
  """The pictures that the files allow, with their captions, by name."""
  drawn = styles.drawn_kinds(run.space)
  figures = {}
  for cell in run.genotype.cells if run.genotype else ():
    # A kind is any text: here it names files, of which some are taken.
    name = re.sub(r'\W', '_', cell.kind)
    name = f'cell_{name}' if name in {*_CAPTIONS, 'index'} else name
    caption = _CELL_CAPTIONS.get(cell.kind, f'Cell {cell.kind}')
    figures[name] = caption, cell_picture.plot_cell(cell, drawn)

  def add(name: str, fig: figure.Figure) -> None:
    figures[name] = _CAPTIONS[name], fig

  if is_search(run.records, run.alphas):
    add('curves', curves.plot_search(run.records, run.alphas, drawn))
  elif run.records:
    add('curves', curves.plot_training(run.records))
  if stages.scored_stages(run.records):
    add('stages', stages.plot_stages(run.records, drawn))
  if truth_path.known_epochs(run.records):
    add('truth', truth_path.plot_truth(run.records))
  if 'confusion' in run.results:
    names = list(run.results['class_accuracy'])
    add('confusion', confusion.plot_confusion(run.results['confusion'], names))
  return figures


def _save(fig: figure.Figure, stem: pathlib.Path) -> list[pathlib.Path]:
  """Writes a picture as SVG, its text as text, and as PNG."""
  svg, png = stem.with_suffix('.svg'), stem.with_suffix('.png')
  # The salt and no date: the same run gives the same bytes.
  with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'cell'}):
    fig.savefig(svg, metadata={'Date': None})
  fig.savefig(png, dpi=160)
  return [svg, png]
