"""What a picture of a cell is made of: items in layers, from left to right."""

from typing import NamedTuple

from opp_darts_jax.genotypes.genotype import Cell

NODE_SIZE = 0.46
LABEL_HEIGHT = 0.26
_CHARACTER = 0.084  # width of usual letters, in the widest usual font


class Item(NamedTuple):
  """A node, the label of an edge, or a bend where an edge crosses a layer.

  `number` is the node's index in the cell (inputs first, output last); labels
  and bends have that of the node that their edge feeds.
  """

  kind: str
  layer: int
  number: int
  text: str = ''

  @property
  def size(self) -> tuple[float, float]:
    """Width and height."""
    if self.kind == 'node':
      return NODE_SIZE, NODE_SIZE
    if self.kind == 'label':
      return _CHARACTER * len(self.text) + 0.14, LABEL_HEIGHT
    return 0.0, 0.0


def node_depths(cell: Cell) -> list[int]:
  """Longest path from the inputs to each node: inputs (0), then the others.

  A node without edges stands with the first that have some.
  """
  depths = [0] * cell.inputs
  for node in range(cell.inputs, cell.inputs + cell.nodes):
    sources = [edge.source for edge in cell.into(node)]
    depths.append(1 + max((depths[source] for source in sources), default=0))
  return depths


def items_and_chains(
  cell: Cell,
) -> tuple[list[Item], list[tuple[int, ...]]]:
  """The items, nodes first, and the items that each edge runs through."""
  depths = node_depths(cell)
  output = len(depths)
  items = [Item('node', 2 * depth, n) for n, depth in enumerate(depths)]
  items.append(Item('node', 2 * max(depths) + 1, output))
  edges = [(edge.source, edge.node, edge.operation) for edge in cell.edges]
  edges += [(node, output, '') for node in cell.output]
  chains = []
  for source, target, text in edges:
    chain = [source]
    for layer in range(items[source].layer + 1, items[target].layer):
      is_label = bool(text) and layer == items[target].layer - 1
      kind = 'label' if is_label else 'bend'
      chain.append(len(items))
      items.append(Item(kind, layer, target, text if is_label else ''))
    chains.append((*chain, target))
  return items, chains
