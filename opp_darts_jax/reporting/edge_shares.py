"""What share of a node each edge into it has, where a method weighs edges.

PC-DARTS does (Xu et al., ICLR 2020, equation 4): its lines of alphas have
`edges`, {kind: (E,)}, of which the softmax over the edges into a node counts.

Axes: T epochs, E edges of a cell.
"""

import numpy as np

from opp_darts_jax.reporting import alpha_tables
from opp_darts_jax.reporting.run_files import RunFiles

EDGES = 'edges'


def into(run: RunFiles) -> dict[int, list[int]]:
  """By node, counted without the inputs: the rows of the edges into it."""
  graph = run.space.get('graph') or {}
  found: dict[int, list[int]] = {}
  for row, (_, node) in enumerate(graph.get('edges') or ()):
    found.setdefault(node - graph['inputs'], []).append(row)
  return found


def of_run(run: RunFiles) -> dict[str, np.ndarray]:
  """By kind of cell: (T, E), the share of each edge; nan of inactive ones.

  Empty if the method weighs no edges, or the files have no graph.
  """
  nodes, found = into(run), {}
  for kind in alpha_tables.cell_kinds(run.alphas):
    tables = [
      _shares(line[EDGES][kind], line[kind], nodes)
      for line in run.alphas
      if _weighs(line, kind, sum(map(len, nodes.values())))
    ]
    if tables and len(tables) == len(run.alphas):
      found[kind] = np.array(tables)
  return found


def _weighs(line: alpha_tables.Record, kind: str, count: int) -> bool:
  """Whether a line has weights of so many edges, and their alphas."""
  edges = line.get(EDGES)
  if not isinstance(edges, dict) or not alpha_tables.has_table(line, kind):
    return False
  own = edges.get(kind)
  return isinstance(own, list) and len(own) == count == len(line[kind])


def _shares(
  edges: list[float], alphas: list[list[float | None]], nodes: dict[int, list]
) -> np.ndarray:
  """(E,), the softmax over the edges into each node that are active."""
  active_E = (~np.isnan(np.array(alphas, float))).any(1)
  logits_E = np.where(active_E, np.array(edges, float), -np.inf)
  shares_E = np.full(len(edges), np.nan)
  for rows in nodes.values():
    own = logits_E[rows]
    if np.isfinite(own).any():
      exp = np.exp(own - own.max())
      shares_E[rows] = np.where(active_E[rows], exp / exp.sum(), np.nan)
  return shares_E
