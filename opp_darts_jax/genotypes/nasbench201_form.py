"""Cells of NAS-Bench-201 and the benchmark's text of them."""

import re

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype
from opp_darts_jax.genotypes.graph import CellGraph

KIND = 'cell'
GRAPH = CellGraph(inputs=1, nodes=3, output=(3,))
NAMES = (
  'none',
  'skip_connect',
  'nor_conv_1x1',
  'nor_conv_3x3',
  'avg_pool_3x3',
)


def to_text(genotype: Genotype) -> str:
  """The benchmark's text: `|OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2|`.

  Raises:
    UserError: if the genotype is no such cell.
  """
  if genotype.kinds != (KIND,):
    raise UserError(
      'Expected a genotype of NAS-Bench-201, with one kind of cell, got one '
      f'with {", ".join(genotype.kinds)}.'
    )
  cell = genotype[KIND]
  edges = [(edge.source, edge.node) for edge in cell.edges]
  if edges != list(GRAPH.edges):
    raise UserError(
      f'Expected a cell with the edges {list(GRAPH.edges)}, got {edges}.'
    )
  nodes = range(1, GRAPH.nodes + 1)
  return '+'.join(
    f'|{"|".join(f"{e.operation}~{e.source}" for e in cell.into(node))}|'
    for node in nodes
  )


def from_text(text: str) -> Genotype | None:
  """The inverse of `to_text`; None for what does not look like such a text.

  Raises:
    UserError: if it does, and has other edges or operations; it says where
      reading stopped.
  """
  text = rest = ''.join(text.split()).strip('\'"')
  if not text.startswith('|') or '~' not in text:
    return None
  edges: list[Edge] = []
  for source, node in GRAPH.edges:
    between = r'\|\+\|' if edges and source == 0 else r'\|'
    found = re.match(rf'{between}([^|~]+)~{source}(?=\|)', rest)
    if not found or found[1] not in NAMES:
      break
    edges.append(Edge(found[1], source, node))
    rest = rest[found.end() :]
  if rest != '|' or len(edges) < GRAPH.num_edges:
    raise UserError(
      'Expected |OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2| with operations of '
      f'{", ".join(NAMES)}; reading stopped after '
      f'{len(edges)} edges, at {rest[:60]!r}.'
    )
  return Genotype((Cell(KIND, GRAPH.inputs, tuple(edges), GRAPH.output),))
