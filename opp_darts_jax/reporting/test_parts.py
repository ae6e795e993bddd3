"""What the page of a training shows of its test."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.reporting import amounts
from opp_darts_jax.reporting.run_files import RunFiles
from opp_darts_jax.reporting.styles import shown

Record = Mapping[str, Any]

_NAMED = 30  # classes whose confusion is a table
_SIDE = 112  # pixels of a mistake's picture, at most


class Confusion(NamedTuple):
  """Which classes are taken for which.

  Attributes:
    names: of the classes.
    rows: for each class counts, with their share of the row; [] of many.
    pairs: (class, taken for, count) of the most frequent mistakes.
  """

  names: Sequence[str]
  rows: Sequence[Sequence[tuple[int, float]]]
  pairs: Sequence[tuple[str, str, int]]


class Mistake(NamedTuple):
  """A test image that was taken for something else."""

  picture: str
  own: str
  predicted: str
  probability: str
  own_probability: str


def tested(run: RunFiles) -> list[tuple[str, str]]:
  """The table of a test."""
  results = run.results
  rows = []
  for name, said in (
    ('test_accuracy', 'accuracy'),
    ('test_top5_accuracy', 'top-5 accuracy'),
  ):
    if results.get(name) is not None:
      rows.append((said, amounts.percent(results[name])))
  if results.get('test_loss') is not None:
    rows.append(('loss', f'{results["test_loss"]:.4f}'))
  if 'confusion' in results:
    rows.append(('images', f'{sum(map(sum, results["confusion"])):,}'))
  return rows


def confusion(run: RunFiles) -> Confusion | None:
  """Of the test; None without one."""
  if 'confusion' not in run.results:
    return None
  counts = run.results['confusion']
  names = [shown(name) for name in run.results['class_accuracy']]
  pairs = [
    (names[i], names[j], count)
    for i, row in enumerate(counts)
    for j, count in enumerate(row)
    if i != j and count
  ]
  pairs.sort(key=lambda pair: -pair[2])
  rows = [[(count, count / (sum(row) or 1)) for count in row] for row in counts]
  return Confusion(names, rows if len(names) <= _NAMED else [], pairs[:12])


def class_accuracies(run: RunFiles) -> list[tuple[str, float | None]]:
  """Of every class, the least accurate first; those without images last."""
  found = (run.results.get('class_accuracy') or {}).items()
  return sorted(
    ((shown(name), value) for name, value in found),
    key=lambda pair: 2.0 if pair[1] is None else pair[1],
  )


def mistakes(run: RunFiles) -> list[Mistake]:
  """The worst mistakes of a test, as pictures."""
  lines = run.results.get('mistakes') or []
  if run.mistakes is None or not lines:
    return []
  return [
    Mistake(
      _picture(image),
      shown(line['class']),
      shown(line['predicted']),
      amounts.percent(line['probability']),
      amounts.percent(line['class_probability']),
    )
    for image, line in zip(run.mistakes, lines)
  ]


def _picture(image: Any) -> str:
  """A uint8 image (H, W, C) as the address that holds it."""
  from PIL import Image

  channels = image.shape[-1]
  pixels = image[..., 0] if channels in (1, 2) else image[..., :3]
  shot = Image.fromarray(pixels)
  shot.thumbnail((_SIDE, _SIDE))
  buffer = io.BytesIO()
  shot.save(buffer, 'PNG', optimize=True)
  code = base64.b64encode(buffer.getvalue()).decode('ascii')
  return f'data:image/png;base64,{code}'
