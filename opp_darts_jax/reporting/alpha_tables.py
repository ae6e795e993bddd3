"""The tables of alphas in the lines of a search, and the weights they give.

Axes: T epochs, E edges of a cell, K operations of the space.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from opp_darts_jax.methods import signs

Record = Mapping[str, Any]

# Operation weights, of a run whose alphas do not tell them by a softmax.
_WEIGHTS = 'weights'
# Of earlier releases, whose lines have none: see methods/fair_darts.py.
_SIGMOIDS = 'fair_darts'


def cell_kinds(alphas: Sequence[Record]) -> list[str]:
  """The kinds of cells that have alphas.

  They are the keys of tables with a column for every operation; what else a
  line has, such as other parameters of the search, is no table or another one.
  """
  return list(
    dict.fromkeys(
      key for line in alphas for key in line if has_table(line, key)
    )
  )


def has_table(line: Record, key: str) -> bool:
  """Whether a line has a table of alphas under a key."""
  table, width = line.get(key), len(line['operations'])
  return (
    isinstance(table, list)
    and bool(table)
    and all(isinstance(row, list) and len(row) == width for row in table)
  )


def is_apart(alphas: Sequence[Record], method: str) -> bool:
  """Whether the operations of a search's edges do not share a whole."""
  own = any(line.get(_WEIGHTS) for line in alphas)
  return own or method.startswith(_SIGMOIDS)


def weights_of(line: Record, kind: str, method: str = '') -> np.ndarray:
  """The operation weights of each edge, (E, K); nan where not active.

  Args:
    line: of alphas, that has a table of the kind.
    kind: of cell.
    method: of the search, for lines of earlier releases.
  """
  own = (line.get(_WEIGHTS) or {}).get(kind) or ()
  if np.shape(own) == np.shape(line[kind]):
    return np.array(own, dtype=float)
  return edge_weights(line[kind], method)


def edge_weights(
  alphas: Sequence[Sequence[float | None]], method: str = ''
) -> np.ndarray:
  """The operation weights of each edge.

  Args:
    alphas: raw alphas, (E, K); None where inactive.
    method: of the search; that of `fair_darts` are sigmoids.

  Returns:
    (E, K), the softmax over the active operations of an edge; nan where an
    operation is not active.
  """
  alphas_EK = np.array(alphas, dtype=float)  # None becomes nan
  active_EK = ~np.isnan(alphas_EK)
  if method.startswith(_SIGMOIDS):
    return 1 / (1 + np.exp(-np.clip(alphas_EK, -500, 500)))
  logits_EK = np.where(active_EK, alphas_EK, -np.inf)
  top_E1 = np.max(logits_EK, axis=1, keepdims=True, initial=-1e30)
  exp_EK = np.exp(logits_EK - top_E1)
  sum_E1 = exp_EK.sum(axis=1, keepdims=True)
  weights_EK = exp_EK / np.where(sum_E1 > 0, sum_E1, 1.0)
  return np.where(active_EK, weights_EK, np.nan)


def entropy(weights_EK: np.ndarray) -> float | None:
  """How undecided the edges are, see `signs.entropy`.

  Args:
    weights_EK: as `edge_weights` gives them.

  Returns:
    It; None if no edge has a choice.
  """
  found = signs.entropy(weights_EK, ~np.isnan(weights_EK))
  return None if np.isnan(found) else found


def further(alphas: Sequence[Record]) -> dict[str, list[tuple[int, Any]]]:
  """What a method has beside its tables: numbers, or lists of them, by name.

  Returns:
    By name, such as `edges normal`, (index of the line, the numbers) of each
    line; numbers of other lengths than the first are left out.
  """
  found: dict[str, list[tuple[int, Any]]] = {}
  tables = {*cell_kinds(alphas), 'epoch', 'step', 'operations', _WEIGHTS}
  for index, line in enumerate(alphas):
    for key, value in line.items():
      if key in tables:
        continue
      named = value.items() if isinstance(value, dict) else [('', value)]
      for own, numbers in named:
        array = _numbers(numbers)
        if array is not None:
          lines = found.setdefault(f'{key} {own}'.strip(), [])
          if not lines or lines[0][1].shape == array.shape:
            lines.append((index, array))
  return found


def _numbers(value: Any) -> np.ndarray | None:
  """A number, or a list of a few, as an array (n,); None if it is neither."""
  try:
    array = np.atleast_1d(np.array(value, dtype=float))
  except (TypeError, ValueError):
    return None
  return array if array.ndim == 1 and 0 < len(array) <= 64 else None
