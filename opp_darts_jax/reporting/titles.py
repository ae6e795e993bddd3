"""What cells and edges are called on a page."""

from opp_darts_jax.genotypes.genotype import Cell
from opp_darts_jax.reporting.run_files import RunFiles
from opp_darts_jax.reporting.styles import shown

_NAMES = {'normal': 'Normal cell', 'reduce': 'Reduction cell', 'cell': 'Cell'}


def kind_name(kind: str) -> str:
  """What a kind of cell is called."""
  return _NAMES.get(kind, f'Cell {shown(kind)}')


def edge_names(run: RunFiles, kind: str, count: int) -> list[str]:
  """Of the rows of a table, in the space's graph if the files have it."""
  graph = run.space.get('graph') or {}
  edges = graph.get('edges') or []
  if len(edges) != count:
    return [f'edge {e}' for e in range(count)]
  return [edge_name(graph['inputs'], tuple(edge)) for edge in edges]


def operations_of(run: RunFiles, kind: str, count: int) -> list[str]:
  """What the cell has on the edges of these rows; '' where it has nothing."""
  edges = (run.space.get('graph') or {}).get('edges') or []
  if len(edges) != count or not run.genotype or kind not in run.genotype.kinds:
    return [''] * count
  on = on_edges(run.genotype[kind])
  return [shown(' + '.join(on.get(tuple(edge), ()))) for edge in edges]


def on_edges(cell: Cell) -> dict[tuple[int, ...], list[str]]:
  """By (source, node): the operations that a cell has between these nodes."""
  found: dict[tuple[int, ...], list[str]] = {}
  for edge in cell.edges:
    found.setdefault((edge.source, edge.node), []).append(edge.operation)
  return found


def edge_name(inputs: int, edge: tuple[int, ...]) -> str:
  """By its nodes; those of the cell's inputs are earlier cells."""

  def name(node: int) -> str:
    return f'c[k−{inputs - node}]' if node < inputs else str(node - inputs)

  return f'{name(edge[0])} → {name(edge[1])}'
