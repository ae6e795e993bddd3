"""Genotypes: the discrete cells that a search finds and a network is built of.

A genotype travels as JSON and as the `Genotype(...)` text that the PyTorch code
of DARTS prints and reads; both go in and out here without loss. The published
ones are in published.py.
"""

import ast
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from opp_darts_jax import errors
from opp_darts_jax.genotypes import space as space_lib

Edge = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Genotype:
  """A normal and a reduction cell, as (operation, source node) edges.

  Sources 0 and 1 are the cell's inputs, 2 + i is its intermediate node i.

  Attributes:
    normal: the edges of the normal cell, two for each intermediate node.
    normal_concat: the nodes whose concatenation is the normal cell's output.
    reduce: the edges of the reduction cell, as many.
    reduce_concat: the nodes of the reduction cell's output.

  Raises:
    UserError: on anything that is no such pair of cells.
  """

  normal: tuple[Edge, ...]
  normal_concat: tuple[int, ...]
  reduce: tuple[Edge, ...]
  reduce_concat: tuple[int, ...]

  def __post_init__(self) -> None:
    _check_cell('normal', self.normal, self.normal_concat)
    _check_cell('reduce', self.reduce, self.reduce_concat)
    if len(self.normal) != len(self.reduce):
      raise errors.UserError(
        'Expected two cells of one size, got a normal cell of '
        f'{len(self.normal)} edges and a reduce cell of {len(self.reduce)}.'
      )

  @property
  def nodes(self) -> int:
    """Intermediate nodes of a cell."""
    return len(self.normal) // 2

  def count(self, operation: str, cell: str = 'normal') -> int:
    """How many edges of a cell ('normal' or 'reduce') have the operation."""
    errors.check_choice('operation', operation, space_lib.OPERATIONS)
    errors.check_choice('cell', cell, ('normal', 'reduce'))
    return [name for name, _ in getattr(self, cell)].count(operation)

  def num_skips(self, cell: str = 'normal') -> int:
    """How many edges are skip connections: the usual sign of collapse."""
    return self.count(space_lib.SKIP, cell)

  def to_dict(self) -> dict[str, Any]:
    """The four fields by name, of plain lists as JSON has them."""
    return {
      'normal': [list(edge) for edge in self.normal],
      'normal_concat': list(self.normal_concat),
      'reduce': [list(edge) for edge in self.reduce],
      'reduce_concat': list(self.reduce_concat),
    }

  @classmethod
  def from_dict(cls, fields: Mapping[str, Any]) -> 'Genotype':
    """The inverse of `to_dict`; takes lists, tuples and ranges.

    Raises:
      UserError: on missing or unknown fields, or fields of the wrong form.
    """
    names = [field.name for field in dataclasses.fields(cls)]
    if not isinstance(fields, Mapping) or set(fields) != set(names):
      got = list(fields) if isinstance(fields, Mapping) else repr(fields)
      raise errors.UserError(
        f'Expected a genotype with the fields {", ".join(names)}, got {got}.'
      )
    for name in names:
      if not isinstance(fields[name], (list, tuple, range)):
        raise errors.UserError(
          f'Expected a list as {name} of a genotype, got {fields[name]!r}.'
        )

    def cell(name: str) -> tuple[Any, ...]:
      # Entries that are no sequences are left for the constructor to refuse.
      return tuple(tuple(e) if isinstance(e, list) else e for e in fields[name])

    return cls(
      normal=cell('normal'),
      normal_concat=tuple(fields['normal_concat']),
      reduce=cell('reduce'),
      reduce_concat=tuple(fields['reduce_concat']),
    )

  def to_json(self) -> str:
    """One line of JSON."""
    return json.dumps(self.to_dict())

  @classmethod
  def from_json(cls, text: str) -> 'Genotype':
    """The inverse of `to_json`; `UserError` on any other text."""
    try:
      fields = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
      raise errors.UserError(
        f'Expected a genotype as JSON, but it does not parse: {error}.'
      ) from error
    return cls.from_dict(fields)

  def to_text(self) -> str:
    """The text that the PyTorch code of DARTS prints and evaluates."""
    return (
      f'Genotype(normal={list(self.normal)}, '
      f'normal_concat={_concat_text(self.normal_concat)}, '
      f'reduce={list(self.reduce)}, '
      f'reduce_concat={_concat_text(self.reduce_concat)})'
    )

  @classmethod
  def from_text(cls, text: str) -> 'Genotype':
    """Reads the PyTorch text, bare or assigned as in `DARTS = Genotype(...)`.

    The text is parsed, never evaluated.

    Raises:
      UserError: if the text is anything but such a genotype of literals.
    """
    try:
      fields = _text_fields(text)
    except (SyntaxError, TypeError, ValueError, RecursionError) as error:
      raise errors.UserError(
        'Expected the text Genotype(normal=[(operation, source), ...], '
        'normal_concat=[...], reduce=[...], reduce_concat=[...]), '
        f'got {text[:100]!r}.'
      ) from error
    return cls.from_dict(fields)


def _check_cell(
  cell: str, edges: tuple[Edge, ...], concat: tuple[int, ...]
) -> None:
  """Raises `UserError` unless edges and concat make a cell."""
  if not isinstance(edges, tuple) or not isinstance(concat, tuple):
    raise errors.UserError(
      f'Expected tuples as {cell} and {cell}_concat of a genotype, got '
      f'{type(edges).__name__} and {type(concat).__name__}; '
      'Genotype.from_dict takes lists.'
    )
  if not edges or len(edges) % 2:
    raise errors.UserError(
      f'Expected two edges for each node of the {cell} cell, got '
      f'{len(edges)} edges.'
    )
  for index, edge in enumerate(edges):
    node = 2 + index // 2
    match edge:
      case (str(operation), int(source)) if isinstance(edge, tuple):
        what = f'operation at node {node} of the {cell} cell'
        errors.check_choice(what, operation, space_lib.OPERATIONS)
      case _:
        raise errors.UserError(
          f'Expected an (operation, source) pair at node {node} of the {cell} '
          f'cell, got {edge!r}.'
        )
    if not 0 <= source < node:
      raise errors.UserError(
        f'Expected a source from 0 to {node - 1} at node {node} of the {cell} '
        f'cell, got {source}.'
      )
  last = 1 + len(edges) // 2
  in_range = all(isinstance(n, int) and 2 <= n <= last for n in concat)
  if not concat or not in_range or len(set(concat)) != len(concat):
    raise errors.UserError(
      f'Expected {cell}_concat to name different nodes from 2 to {last}, got '
      f'{list(concat)}.'
    )


def _concat_text(concat: tuple[int, ...]) -> str:
  span = range(concat[0], concat[-1] + 1)
  return str(span if tuple(span) == concat else list(concat))


def _text_fields(text: str) -> dict[str, Any]:
  """The keyword arguments in `[name =] Genotype(...)`; TypeError otherwise."""
  match ast.parse(text.strip()).body:
    case [
      ast.Expr(value=ast.Call(ast.Name('Genotype'), [], keywords))
      | ast.Assign(value=ast.Call(ast.Name('Genotype'), [], keywords))
    ]:
      return {str(k.arg): _literal(k.value) for k in keywords}
    case _:
      raise TypeError('not a genotype')


def _literal(value: ast.expr) -> Any:
  """A literal or a call of `range` with literals."""
  match value:
    case ast.Call(func=ast.Name(id='range'), args=args, keywords=[]):
      # A mistyped range of billions shall not fill the memory.
      return range(*map(ast.literal_eval, args))[:100]
    case _:
      return ast.literal_eval(value)


def check_space(genotype: Genotype, space: space_lib.SearchSpace) -> None:
  """Raises `UserError` if the genotype has an operation the space has not."""
  for operation, _ in genotype.normal + genotype.reduce:
    errors.check_choice(
      f'operation of space {space.name!r}', operation, space.operations
    )


def derive(
  weights_normal_EK: np.ndarray,
  weights_reduce_EK: np.ndarray,
  operations: Sequence[str],
  nodes: int,
) -> Genotype:
  """The genotype of the strongest edges (DARTS, section 2.4).

  On every edge the strongest operation other than `none`; for every node the
  two edges whose strongest operation is largest, in descending order. Ties go
  to the first operation and the lower source. The output is all nodes.

  Only positive weights count, so an operation that an edge does not have is
  never chosen. Midway through a search on a space with edge lists, edges may
  still be without any operation: a node with one usable edge takes it twice,
  and a node with none gets ('none', 0), ('none', 1), the nothing that it
  computes in the supernet.

  Args:
    weights_normal_EK: (E, K) softmax weights of the normal cell, zero or less
      where an edge does not have the operation.
    weights_reduce_EK: (E, K) the same of the reduction cell.
    operations: the K operations, in column order.
    nodes: intermediate nodes of a cell.

  Raises:
    UserError: if the weights are not (E, K) or hold NaN.
  """
  concat = tuple(range(2, nodes + 2))
  return Genotype(
    normal=_derive_cell(weights_normal_EK, operations, nodes),
    normal_concat=concat,
    reduce=_derive_cell(weights_reduce_EK, operations, nodes),
    reduce_concat=concat,
  )


def _derive_cell(
  weights_EK: np.ndarray, operations: Sequence[str], nodes: int
) -> tuple[Edge, ...]:
  """The two strongest edges of every node, node by node."""
  edges = space_lib.edges(nodes)
  expected = (len(edges), len(operations))
  if np.shape(weights_EK) != expected:
    raise errors.UserError(
      f'Expected weights of shape (edges, operations) = {expected} for '
      f'nodes={nodes}, got {np.shape(weights_EK)}.'
    )
  if np.isnan(weights_EK).any():
    raise errors.UserError(
      'Expected weights that are numbers, got NaN: the search has diverged.'
    )
  allowed_K = np.array([o != space_lib.NONE for o in operations])
  strength_EK = np.where(allowed_K, weights_EK, -np.inf)
  strength_E = strength_EK.max(axis=1)
  best_E = strength_EK.argmax(axis=1)

  cell: list[Edge] = []
  for node in range(2, nodes + 2):
    first = space_lib.edge_index(0, node)
    strengths = strength_E[first : first + node]
    ranked = sorted((-w, s) for s, w in enumerate(strengths) if w > 0)
    if not ranked:
      cell += [(space_lib.NONE, 0), (space_lib.NONE, 1)]
    # Twice over, so that a lone usable edge fills both places.
    for _, source in (ranked * 2)[:2]:
      cell.append((operations[best_E[first + source]], source))
  return tuple(cell)
