"""Search spaces: the operations, and the cells that they are on the edges of.

Tables are {kind of cell: (E, K)}: a row an edge, in the order of the graph, a
column an operation, in the order of the space.

Axes: E edges of a cell, K operations of the space.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from opp_darts_jax import errors
from opp_darts_jax.genotypes import darts_form
from opp_darts_jax.genotypes.cell import Cell
from opp_darts_jax.genotypes.derive import every_edge, strongest_edges
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.operations.catalogue import OPERATIONS
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.spaces import darts_skeleton, space_checks
from opp_darts_jax.spaces.skeleton import Skeleton, SkeletonExport

Rows = tuple[tuple[str, ...], ...]
Candidates = Mapping[str, Rows] | tuple[tuple[str, Rows], ...]
# Numbers of layers that are looked through for all kinds of cells.
_LARGER = 20


def derive_two_edges(
  space: 'Space', weights: Mapping[str, np.ndarray]
) -> Genotype:
  """For every node the two strongest edges (DARTS, section 2.4)."""
  return _of_cells(strongest_edges, space, weights)


def derive_every_edge(
  space: 'Space', weights: Mapping[str, np.ndarray]
) -> Genotype:
  """On every edge the strongest operation, `none` included."""
  return _of_cells(every_edge, space, weights)


def _of_cells(
  cell_of: Callable[..., Cell],
  space: 'Space',
  weights: Mapping[str, np.ndarray],
) -> Genotype:
  cells = (
    cell_of(kind, weights[kind], space.names, space.graph)
    for kind in space.kinds
  )
  return Genotype(tuple(cells))


@dataclasses.dataclass(frozen=True)
class Space:
  """What a search chooses from, and how what it finds is put together.

  Attributes:
    name: what the space is called.
    operations: the candidates, in the column order of the tables.
    graph: of every cell.
    kinds: of cells that are searched, each with a table of its own.
    candidates: {kind: the names of the operations that each edge may have, in
      the order of the edges}; a kind that is left out has all on every edge.
    skeleton: what puts the cells together.
    derive: (space, {kind: operation weights (E, K)}) -> the genotype that they
      stand for; by `derive_two_edges`, `derive_every_edge` or another rule, of
      which no more is known than that an edge has one operation at most.
    to_text: the text of a genotype in the form that the field has for it.
    from_text: the inverse; None for a text of another form.
    further: operations that a network of the space may have though no search of
      it chooses them: those of cells published for it.
    truth: what is known of a genotype's trained networks, from a table say, as
      numbers by name; it raises `UserError` for one that it does not know.
      Reports draw `test_DATA` and `rank`, and what `regret_DATA` says is lost
      to the best.

  Raises:
    UserError: on fields of another type (lists become tuples); on an operation
      that is unknown, without a name, given twice, or listed for an edge but
      not a candidate; on no parametric operation; on a node without edges into
      it, or without operations on them; on lists that are not as long as a cell
      has edges.
  """

  name: str
  operations: tuple[Operation, ...]
  graph: CellGraph = CellGraph()
  kinds: tuple[str, ...] = ('normal', 'reduce')
  candidates: Candidates = ()
  skeleton: Skeleton = darts_skeleton.DARTS
  derive: Callable[['Space', Mapping[str, np.ndarray]], Genotype] = (
    derive_two_edges
  )
  to_text: Callable[[Genotype], str] = darts_form.to_text
  from_text: Callable[[str], Genotype | None] | None = None
  further: tuple[Operation, ...] = ()
  truth: Callable[[Genotype], Mapping[str, float]] | None = None

  def __post_init__(self) -> None:
    # Lists become tuples, so that a space can be hashed.
    for name, given in space_checks.tuples(self).items():
      object.__setattr__(self, name, given)
    space_checks.check(self)

  @property
  def names(self) -> tuple[str, ...]:
    """Of the operations, in column order."""
    return tuple(operation.name for operation in self.operations)

  @property
  def table_shape(self) -> tuple[int, int]:
    """(E, K) of every table."""
    return self.graph.num_edges, len(self.operations)

  @property
  def _own_form(self) -> bool:
    """Whether the graph is not just that of so many inputs and nodes."""
    return self.graph != CellGraph(self.graph.inputs, self.graph.nodes)

  def operation(self, name: str) -> Operation:
    """The operation of that name, of the space or else of the catalogue.

    Raises:
      UserError: if neither has one.
    """
    own = {o.name: o for o in (*self.further, *self.operations)}
    known = {**OPERATIONS, **own}
    errors.check_choice(f'operation of space {self.name!r}', name, known)
    return known[name]

  def export(self, what: str = 'PyTorch') -> SkeletonExport:
    """What its skeleton is elsewhere.

    Raises:
      UserError: if nobody has said it.
    """
    if self.skeleton.export is None:
      raise errors.UserError(
        f'Networks of space {self.name!r} cannot be exported to {what}: its '
        'skeleton does not say what is around the cells there (export).'
      )
    return self.skeleton.export

  def check_inputs(self, given: int, skeleton: str = 'skeleton') -> None:
    """Raises `UserError` unless a cell is given as many inputs as it has."""
    if given != self.graph.inputs:
      raise errors.UserError(
        f'Expected a {skeleton} of space {self.name!r} that gives its cells '
        f'{self.graph.inputs} inputs, got {given}.'
      )

  def check(self, genotype: Genotype) -> None:
    """Raises `UserError` unless networks can be made of a genotype's cells.

    They have its kinds and inputs, and known operations. Their nodes may be
    more or fewer, unless the graph has a form of its own: then every edge is
    one of the graph's, and the output is the graph's.
    """
    if set(genotype.kinds) != set(self.kinds):
      raise errors.UserError(
        f'Expected a genotype of space {self.name!r}, with the cells '
        f'{", ".join(self.kinds)}, got one with {", ".join(genotype.kinds)}.'
      )
    for cell in genotype.cells:
      if cell.inputs != self.graph.inputs:
        raise errors.UserError(
          f'Expected cells of {self.graph.inputs} inputs, as space '
          f'{self.name!r} has, got a {cell.kind} cell of {cell.inputs}.'
        )
      if not self._own_form:
        continue
      for edge in cell.edges:
        self.graph.edge_index(edge.source, edge.node)
      if cell.output != self.graph.output:
        raise errors.UserError(
          f'Expected the output of the {cell.kind} cell to be of the nodes '
          f'{list(self.graph.output)}, as in space {self.name!r}, got '
          f'{list(cell.output)}.'
        )
    for name in genotype.operations:
      self.operation(name)

  def cells(
    self, layers: int, channels: int, imagenet: bool = False
  ) -> dict[str, int]:
    """How many cells of each kind there are in a network of this size."""
    parts = self.skeleton.plan(layers, channels, imagenet)
    return {kind: sum(p.kind == kind for p in parts) for kind in self.kinds}

  def lacking(
    self,
    layers: int,
    channels: int,
    imagenet: bool = False,
    kinds: Sequence[str] | None = None,
  ) -> str:
    """Says which kinds a network has no cell of, and which size has them all.

    Args:
      layers: of the network.
      channels: of its first cell.
      imagenet: whether it is the one for large images.
      kinds: that count; None means all.

    Returns:
      'layers=2 holds no normal cell, layers=3 does'; '' if none is lacking.
    """
    asked = self.kinds if kinds is None else kinds

    def lacks(layers: int) -> list[str]:
      cells = self.cells(layers, channels, imagenet)
      return [kind for kind in asked if not cells[kind]]

    if not (lacked := lacks(layers)):
      return ''
    said = ' and '.join(f'no {kind} cell' for kind in lacked)
    said = f'layers={layers} holds {said}'
    # A plan of one's own may refuse other sizes.
    with contextlib.suppress(Exception):
      larger = range(layers + 1, layers + _LARGER)
      enough = next(n for n in larger if not lacks(n))
      said += f', layers={enough} does'
    return said

  def with_nodes(self, nodes: int) -> 'Space':
    """The space with cells of as many intermediate nodes; 0 keeps its own.

    Raises:
      UserError: if it lists the operations of every edge, or its cells are of
        a form of their own.
    """
    own = self.graph
    if nodes in (0, own.nodes):
      return self
    if self.candidates or self._own_form:
      raise errors.UserError(
        f'Expected nodes={own.nodes}, which the cells of space {self.name!r} '
        f'are made for, got nodes={nodes}.'
      )
    return dataclasses.replace(self, graph=CellGraph(own.inputs, nodes))

  def mask(
    self, operations: Iterable[str] | None = None
  ) -> dict[str, np.ndarray]:
    """Which operation each edge may have.

    Args:
      operations: the names of the active ones; None means all.

    Returns:
      {kind: bool (E, K)}: columns of inactive operations are False.

    Raises:
      UserError: on operations that the space does not have.
    """
    active = self.names if operations is None else tuple(operations)
    for name in active:
      errors.check_choice(f'operation of space {self.name!r}', name, self.names)
    listed = dict(self.candidates)
    every = (self.names,) * self.graph.num_edges

    def table(kind: str) -> np.ndarray:
      rows = listed.get(kind, every)
      return np.array(
        [[n in row and n in active for n in self.names] for row in rows]
      )

    return {kind: table(kind) for kind in self.kinds}

  def reachable(self, mask_EK: np.ndarray) -> bool:
    """Whether signal from the inputs gets to every intermediate node.

    Every operation but those that do not carry it, such as `none`, passes it
    on; an edge counts only if its source has signal itself.

    Args:
      mask_EK: bool (E, K), the operations each edge has; one table of `mask`.
    """
    carries_K = np.array([operation.carries for operation in self.operations])
    return self.graph.reachable((mask_EK & carries_K).any(axis=1))

  def describe(self) -> dict[str, Any]:
    """What files of a run say of it, as JSON has it."""
    return {
      'name': self.name,
      'kinds': list(self.kinds),
      'operations': [
        {'name': o.name, 'drawn': o.drawn, 'parametric': o.parametric}
        for o in self.operations
      ],
      'graph': dataclasses.asdict(self.graph),
    }
