"""What searches and trainings alike say before they begin, or have finished."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.running import processor
from opp_darts_jax.spaces import truth

CONTACT_SHEET = 'contact_sheet.png'


def title(what: str, workdir: str | pathlib.Path | None, step: int) -> str:
  """The first line: what is done, where, and from which step on."""
  where = f' in {workdir}' if workdir is not None else ''
  return f'{what}{where}{f", going on after step {step}" if step else ""}'


def seeds_line(seeds: Sequence[int], what: str) -> str:
  """The line of a run of several seeds."""
  named = ', '.join(map(str, seeds))
  return f'  seeds     {named}: {len(seeds)} {what}, each in its own folder'


def data_lines(images: ImageData | Streamed, parts: str) -> list[str]:
  """The lines of device and images, and of what was done to these."""
  height, width, channels = images.image_shape
  return [
    f'  device    {processor.device()}',
    f'  data      {images.name}: {parts}, {height}x{width}x{channels}, '
    f'{images.num_classes} classes',
    *(f'            {note}' for note in images.notes),
  ]


def lacking_lines(which: str, so: str) -> list[str]:
  """The line of kinds that have no cell, and what follows; none if all have."""
  return [f'            {which}: {so}'] if which else []


def contact_sheet(
  config: Any, images: ImageData | Streamed, folder: str | pathlib.Path
) -> str:
  """Writes images as the network will see them; a line that says where."""
  # Here, as no other run draws images.
  from opp_darts_jax.data.contact_sheet import write_contact_sheet

  path = pathlib.Path(folder) / CONTACT_SHEET
  write_contact_sheet(images, config.data, path, config.seed)
  return f'  sheet     {path}: images as the network will see them'


def say_finished(
  workdir: str | pathlib.Path, results: Mapping[str, Any], quiet: bool
) -> None:
  """Tells that nothing is left to do, and what came of it."""
  if quiet or jax.process_index() > 0:
    return
  names = ('test_accuracy', 'eval_accuracy')
  found = [f'{n} {results[n]:.4f}' for n in names if results.get(n) is not None]
  print(
    f'The run in {workdir} has finished: {", ".join(found) or "no epochs"}.'
  )
  if known := truth.sentence(results):
    print(known)
