"""The tables of alphas in the lines of a search.

Axes: E edges of a cell, K operations of the space.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Record = Mapping[str, Any]


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


def operation_weights(
  alphas: Sequence[Sequence[float | None]],
) -> list[float]:
  """The mean weight of each operation over the edges that have it.

  Args:
    alphas: raw alphas, (edges, operations); None where inactive.

  Returns:
    (operations,) means of each edge's softmax over its active operations; nan
    for an operation that is active nowhere.
  """
  alphas_EK = np.array(alphas, dtype=float)  # None becomes nan
  active_EK = ~np.isnan(alphas_EK)
  logits_EK = np.where(active_EK, alphas_EK, -np.inf)
  top_E1 = np.max(logits_EK, axis=1, keepdims=True, initial=-1e30)
  exp_EK = np.exp(logits_EK - top_E1)
  sum_E1 = exp_EK.sum(axis=1, keepdims=True)
  weights_EK = exp_EK / np.where(sum_E1 > 0, sum_E1, 1.0)
  edges_K = active_EK.sum(axis=0)
  means_K = weights_EK.sum(axis=0) / np.maximum(edges_K, 1)
  return np.where(edges_K > 0, means_K, np.nan).tolist()
