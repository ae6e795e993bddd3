"""Several runs on one page: what differs, what they came to, tests, cells."""

import pathlib
import time
from collections.abc import Sequence

from opp_darts_jax import errors, files
from opp_darts_jax.reporting import (
  compare_parts,
  compared,
  page,
  run_files,
  styles,
)
from opp_darts_jax.reporting.run_files import RunFiles


def write(
  workdirs: Sequence[str | pathlib.Path], out: str | pathlib.Path
) -> pathlib.Path:
  """Writes a page that compares runs.

  Args:
    workdirs: folders of searches or trainings, or of sweeps of them.
    out: path of the page.

  Returns:
    It.

  Raises:
    UserError: if there are not at least two runs, or a folder holds none, or
      files make no sense, or the path is that of a file that is no page.
  """
  runs = compared.read(workdirs)
  if len(runs) < 2:
    raise errors.UserError(
      f'Expected at least two runs to compare, got {len(runs)}.'
    )
  path = pathlib.Path(out)
  if path.is_file() and path.suffix not in ('.html', '.htm'):
    raise errors.UserError(
      f'Expected a page, .html, to write to; {path} is a file of another kind, '
      'and would be lost.'
    )
  with run_files.fitting(*(run.workdir for run in runs)):
    try:
      text = _page(runs)
    except run_files.MISFIT:
      for run in runs:  # Whose files do not fit shows on a page of their own.
        with run_files.fitting(run.workdir):
          _page([run])
      raise
  path.parent.mkdir(parents=True, exist_ok=True)
  files.write_text(path, text)
  return path


def _page(runs: Sequence[RunFiles]) -> str:
  found, differing = compared.compared(runs)
  groups = list(dict.fromkeys(c.group for c in found))
  firsts = [next(c for c in found if c.group == group) for group in groups]
  index = [found.index(first) for first in firsts]
  rows = [compare_parts.row(c) for c in found]
  summed = compare_parts.summary(found, groups)
  cells = [compare_parts.cells(c) for c in found if c.run.genotype]
  return page.render(
    'compare.html.j2',
    sentence=compare_parts.sentence(found, summed),
    groups=groups,
    colors=[styles.line(i) for i in range(len(groups))],
    differing={
      name: [styles.shown(values[i]) for i in index]
      for name, values in differing.items()
    },
    rows=rows,
    summed=summed,
    charts=compare_parts.charts_of(found, groups),
    cells=cells,
    legend=styles.legend(
      box.style
      for own in cells
      for _, picture in own.pictures
      for box in picture.boxes
    ),
    written=time.strftime('%Y-%m-%d %H:%M:%S'),
  )
