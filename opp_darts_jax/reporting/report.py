"""The report of a run: one page, from the files in its folder."""

import functools
import pathlib
import re
import time
from collections.abc import Callable

from opp_darts_jax import files
from opp_darts_jax.reporting import (
  alpha_parts,
  axes,
  head_parts,
  method_parts,
  monitor_parts,
  page,
  run_files,
  run_parts,
  search_parts,
  sheets,
  styles,
  test_parts,
)
from opp_darts_jax.reporting.run_files import RunFiles

PAGE = 'report.html'
PICTURES = 'pictures'


def write_report(workdir: str | pathlib.Path) -> pathlib.Path:
  """Writes what the files of a run allow into `workdir`/report.html.

  A run that is still going on or was interrupted gets a page of what it has so
  far. The page is at all times old or new, never half.

  Args:
    workdir: the folder of a search or of a training run.

  Returns:
    The path of the page.

  Raises:
    UserError: `workdir` is not the folder of a run, or its files make no sense.
  """
  run = run_files.read_run(workdir)
  with run_files.fitting(run.workdir):
    text = of_run(run)
  path = run.workdir / PAGE
  # Names of folders may have bytes that are no text.
  files.write_text(path, text)
  return path


def of_run(run: RunFiles) -> str:
  """The page of a run, as HTML."""
  drawn = styles.Styles(run.space, _operations(run))
  axis = axes.time_axis(run.records)
  time_charts, time_facts = run_parts.times(run, axis)
  truth_charts, truth_facts = run_parts.truth(run, axis)
  monitor = monitor_parts.monitor(run, axis)
  shown_cells = search_parts.cells(run, drawn)
  last_epoch = max([f.frames[-1].last for f in shown_cells], default=0)
  return page.render(
    'report.html.j2',
    head=head_parts.head(run, monitor.judged.level if monitor else ''),
    genotype=run.genotype.to_json() if run.genotype else '',
    cells=shown_cells,
    legend=styles.legend(
      box.style
      for frames in shown_cells
      for frame in frames.frames
      for box in frame.picture.boxes
    ),
    found_apart=bool(run.epochs) and last_epoch > run.epochs[-1]['epoch'],
    last_epoch=last_epoch,
    chosen=search_parts.chosen(run, drawn),
    stages=search_parts.stages(run, drawn),
    alphas=alpha_parts.alphas(run, drawn, axis),
    further=method_parts.further(run, axis),
    monitor=monitor,
    curves=run_parts.curves(run, axis),
    times=time_charts,
    time_facts=time_facts,
    costs=run_parts.costs(run),
    truth=truth_charts,
    truth_facts=truth_facts,
    tested=test_parts.tested(run),
    confusion=test_parts.confusion(run),
    class_accuracies=test_parts.class_accuracies(run),
    mistakes=test_parts.mistakes(run),
    written=time.strftime('%Y-%m-%d %H:%M:%S'),
  )


def write_pictures(workdir: str | pathlib.Path) -> list[pathlib.Path]:
  """Writes every figure of the page as a file of its own, for a paper.

  Args:
    workdir: of the run.

  Returns:
    The SVG files, in `workdir`/pictures.

  Raises:
    UserError: as `write_report` does.
  """
  folder = pathlib.Path(workdir) / PICTURES
  written = []
  for name, draw in pictures(workdir).items():
    folder.mkdir(exist_ok=True)
    path = folder / f'{name}.svg'
    files.write_text(path, draw())
    written.append(path)
  return written


def pictures(workdir: str | pathlib.Path) -> dict[str, Callable[[], str]]:
  """Every figure of the page by name: each a function that draws it, as SVG.

  Raises:
    UserError: as `write_report` does; so do the functions.
  """
  run = run_files.read_run(workdir)
  with run_files.fitting(run.workdir):
    return _pictures(run)


def _pictures(run: RunFiles) -> dict[str, Callable[[], str]]:
  """What draws the figures of a run, by name; cells by their kind."""
  drawn = styles.Styles(run.space, _operations(run))
  axis = axes.time_axis(run.records)
  found: dict[str, Callable[[], str]] = {}

  def add(name: str, template: str, figure: object) -> None:
    # A kind of cell is any text: here it names files.
    name = re.sub(r'\W+', '_', name).strip('_').lower() or 'figure'
    while name in found:
      name += '_'
    found[name] = functools.partial(_draw, run, name, template, figure)

  for frames in search_parts.cells(run, drawn):
    add(frames.kind, 'cell', frames.frames[-1].picture)
  monitor = monitor_parts.monitor(run, axis)
  for chart in [
    *run_parts.curves(run, axis),
    *run_parts.times(run, axis)[0],
    *run_parts.truth(run, axis)[0],
    *(monitor.charts if monitor else ()),
    *method_parts.further(run, axis),
  ]:
    add(chart.title, 'chart', chart)
  alphas = alpha_parts.alphas(run, drawn, axis).parts
  if alphas:
    add('alphas', 'sheet', sheets.sheet(alphas))
  return found


def _draw(run: RunFiles, name: str, template: str, figure: object) -> str:
  with run_files.fitting(run.workdir):
    return page.render(
      'picture.svg.j2', kind=template, figure=figure, title=name
    )


def _operations(run: RunFiles) -> list[str]:
  """The names of operations in the files, in the order of their columns."""
  names = [n for line in run.alphas for n in line['operations']]
  names += run.genotype.operations if run.genotype else ()
  return list(dict.fromkeys(names))
