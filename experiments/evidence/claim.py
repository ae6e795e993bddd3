"""A claim: what is expected, written down before it is run."""

import csv
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

RESULTS = pathlib.Path(__file__).parent / 'results'
Row = dict[str, Any]
_TEXTS = ('variant', 'machine')  # Columns that are no numbers.


class Prediction(NamedTuple):
  """That one variant is better than another, or worse.

  Attributes:
    variant: the one of which something is said.
    than: the other.
    more: the measure of which it has more, with every seed the same for both.
    says: the prediction in words.
    family: of the predictions whose p values are corrected together.
  """

  variant: str
  than: str
  more: str
  says: str
  family: str = ''


class Correlation(NamedTuple):
  """That two numbers go together, over the searches of some variants.

  Attributes:
    variants: whose searches are taken together.
    x: a measure.
    y: another, that is expected to grow with it.
    sign: -1 if it is expected to fall instead.
    says: the prediction in words.
    family: of the predictions whose p values are corrected together.
  """

  variants: tuple[str, ...]
  x: str
  y: str
  sign: int
  says: str
  family: str = ''


class Claim(NamedTuple):
  """What is asked, expected and run.

  Attributes:
    name: of the claim, its file and its results.
    question: in a sentence.
    predictions: what is expected; committed before any result.
    settings: in words: what was chosen, and why.
    configs: of the searches; with several, each runs all variants, which then
      are called 'CONFIG VARIANT'.
    flags: further flags of all, as a shell has them.
    variants: what is compared: further flags by name.
    seeds: of every variant.
    measures: columns of `runs.csv` that the page shows, and their names there.
    curves: numbers of `epochs.csv` that it draws.
    hours: that it takes two cores, about.
    train: flags of the training of what is found; None: it is not trained.
    conclusion: in words, written once the results were there.
  """

  name: str
  question: str
  predictions: tuple[Prediction | Correlation, ...]
  settings: str
  configs: tuple[str, ...]
  flags: str
  variants: Mapping[str, str]
  seeds: tuple[int, ...]
  measures: Mapping[str, str]
  curves: tuple[str, ...]
  hours: float
  train: str | None = None
  conclusion: str = ''

  @property
  def names(self) -> tuple[str, ...]:
    """Of what is compared, as results have them."""
    if len(self.configs) == 1:
      return tuple(self.variants)
    return tuple(f'{c} {v}' for c in self.configs for v in self.variants)


def read_csv(path: pathlib.Path) -> list[Row]:
  """The lines of a file, numbers as numbers, nothing as None."""
  with open(path, encoding='utf-8', newline='') as file:
    return [
      {name: _value(name, text) for name, text in row.items()}
      for row in csv.DictReader(file)
    ]


def _value(name: str, text: str) -> Any:
  return text if name in _TEXTS else json.loads(text or 'null')
