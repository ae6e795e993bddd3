"""The figures of a run's report, one by one."""

import functools
import html
import io
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib import figure

from opp_darts_jax import errors
from opp_darts_jax.reporting import report

# The figure that has the alphas, among others.
_ALSO = {'alphas': 'curves'}


class Figure(NamedTuple):
  """A picture, which a notebook shows.

  Attributes:
    name: of the figure.
    svg: the picture.
  """

  name: str
  svg: str

  def _repr_html_(self) -> str:
    return f'<figure>{self.svg}</figure>'

  def save(self, path: str | pathlib.Path) -> None:
    """Writes it as an SVG file."""
    pathlib.Path(path).write_text(self.svg, encoding='utf-8')


def names(workdir: str | pathlib.Path) -> tuple[str, ...]:
  """The figures that the files of a run allow."""
  return tuple(_pictures(workdir))


def draw(workdir: str | pathlib.Path, name: str) -> Figure:
  """One of them.

  Raises:
    UserError: if the run has no such figure.
  """
  found = _pictures(workdir)
  own = name if name in found else _ALSO.get(name, name)
  errors.check_choice('figure', own, found)
  return Figure(name, found[own]())


def cells(workdir: str | pathlib.Path, kinds: Sequence[str]) -> str:
  """The derived cells of a run side by side, as HTML."""
  found = _pictures(workdir)
  return ''.join(
    f'<figure style="display: inline-block">{found[kind]()}'
    f'<figcaption>{html.escape(kind)}</figcaption></figure>'
    for kind in kinds
    if kind in found
  )


def _pictures(workdir: str | pathlib.Path) -> dict[str, Callable[[], str]]:
  """What gives each figure as SVG, by name."""
  found = report.figures_of(report.read_run(pathlib.Path(workdir)))
  return {
    name: functools.partial(_svg, fig) for name, (_, fig) in found.items()
  }


def _svg(fig: figure.Figure) -> str:
  """The picture alone, without what stands before it in a file."""
  buffer = io.StringIO()
  with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'cell'}):
    fig.savefig(buffer, format='svg', metadata={'Date': None})
  text = buffer.getvalue()
  return text[text.index('<svg') :]
