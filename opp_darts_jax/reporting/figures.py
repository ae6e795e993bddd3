"""The figures of a run's page, one by one."""

import base64
import html
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from opp_darts_jax.errors import check_choice
from opp_darts_jax.reporting import report


class Figure(NamedTuple):
  """A picture, which a notebook shows.

  Attributes:
    name: of the figure.
    svg: the picture.
  """

  name: str
  svg: str

  def _repr_html_(self) -> str:
    # As an image: its style sheet shall not be that of the whole notebook.
    data = base64.b64encode(self.svg.encode()).decode()
    said = html.escape(self.name, quote=True)
    return f'<img alt="{said}" src="data:image/svg+xml;base64,{data}">'

  def save(self, path: str | pathlib.Path) -> None:
    """Writes it as an SVG file."""
    pathlib.Path(path).write_text(self.svg, encoding='utf-8')


def names(workdir: str | pathlib.Path) -> tuple[str, ...]:
  """The figures that the files of a run allow."""
  return tuple(report.pictures(workdir))


def draw(workdir: str | pathlib.Path, name: str) -> Figure:
  """One of them.

  Raises:
    UserError: if the run has no such figure.
  """
  found = report.pictures(workdir)
  check_choice('figure', name, found)
  return Figure(name, found[name]())


def cells(workdir: str | pathlib.Path, kinds: Sequence[str]) -> str:
  """The derived cells of a run side by side, as HTML."""
  found = report.pictures(workdir)
  return ''.join(
    '<figure style="display: inline-block">'
    f'{Figure(kind, found[kind]())._repr_html_()}'
    f'<figcaption>{html.escape(kind)}</figcaption></figure>'
    for kind in kinds
    if kind in found
  )
