"""Genotypes: the discrete cells that a search finds and a network is built of.

A genotype travels as JSON: in the published form of DARTS if it has that shape,
else edge by edge. Both go in and out here without loss.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from opp_darts_jax import errors
from opp_darts_jax.genotypes import pairs as pairs_lib
from opp_darts_jax.genotypes.cell import SKIP, Cell, Edge

__all__ = ['Cell', 'Edge', 'Genotype']


@dataclasses.dataclass(frozen=True)
class Genotype:
  """A cell of every kind that a network is made of.

  Attributes:
    cells: at least one, of different kinds.

  Raises:
    UserError: on anything else.
  """

  cells: tuple[Cell, ...]

  def __post_init__(self) -> None:
    cells = self.cells
    right = isinstance(cells, tuple) and all(isinstance(c, Cell) for c in cells)
    if not right or not cells:
      raise errors.UserError(
        f'Expected a tuple of one or more cells as a genotype, got {cells!r}.'
      )
    if len(set(self.kinds)) != len(cells):
      raise errors.UserError(
        f'Expected a genotype of different kinds of cells, got {self.kinds}.'
      )

  def __getitem__(self, kind: str) -> Cell:
    """The cell of a kind; `UserError` on a kind that there is not."""
    errors.check_choice('kind of cell', kind, self.kinds)
    return self.cells[self.kinds.index(kind)]

  @property
  def kinds(self) -> tuple[str, ...]:
    """Of its cells."""
    return tuple(cell.kind for cell in self.cells)

  @property
  def operations(self) -> tuple[str, ...]:
    """The operations used, each once, in order of first use."""
    names = (edge.operation for cell in self.cells for edge in cell.edges)
    return tuple(dict.fromkeys(names))

  def count(self, operation: str, kind: str = '') -> int:
    """How many edges have the operation, of one kind of cell or of all."""
    cells = (self[kind],) if kind else self.cells
    names = [edge.operation for cell in cells for edge in cell.edges]
    return names.count(operation)

  def num_skips(self, kind: str = '') -> int:
    """How many edges are skip connections: the usual sign of collapse.

    By the name, `skip_connect`, whatever other operations do.
    """
    return self.count(SKIP, kind)

  def to_dict(self) -> dict[str, Any]:
    """What `to_json` writes, of plain lists as JSON has them.

    The four fields of DARTS (normal, normal_concat, reduce, reduce_concat) if
    the genotype has that form, else {'cells': {kind: {'inputs': ..., 'edges':
    [[operation, source, node], ...], 'output': [...]}}}.
    """
    if not pairs_lib.are_pairs(self.cells):
      return {
        'cells': {
          cell.kind: {
            'inputs': cell.inputs,
            'edges': [list(edge) for edge in cell.edges],
            'output': list(cell.output),
          }
          for cell in self.cells
        }
      }
    fields: dict[str, Any] = {}
    for cell in self.cells:
      fields[cell.kind] = [list(pair) for pair in pairs_lib.pairs(cell)]
      fields[f'{cell.kind}_concat'] = list(cell.output)
    return fields

  @classmethod
  def from_dict(cls, fields: Mapping[str, Any]) -> 'Genotype':
    """The inverse of `to_dict`; takes lists, tuples and ranges.

    Raises:
      UserError: on missing or unknown fields, or fields of the wrong form.
    """
    names = set(fields) if isinstance(fields, Mapping) else None
    if names == set(pairs_lib.FIELDS):
      return cls(pairs_lib.cells_of_pairs(**fields))
    if names == {'cells'} and isinstance(fields['cells'], Mapping):
      return cls(tuple(_cell(k, v) for k, v in fields['cells'].items()))
    got = repr(fields) if names is None else list(fields)
    raise errors.UserError(
      f'Expected a genotype with the fields {", ".join(pairs_lib.FIELDS)}, or '
      f'with cells by their kind, got {got}.'
    )

  def to_json(self) -> str:
    """One line of JSON."""
    return json.dumps(self.to_dict())

  @classmethod
  def from_json(cls, text: str) -> 'Genotype':
    """The inverse of `to_json`; `UserError` on any other text."""
    errors.check_type('a genotype', text, str)
    try:
      fields = json.loads(text)
    except (ValueError, RecursionError) as error:
      raise errors.UserError(
        f'Expected a genotype as JSON, but it does not parse: {error}.'
      ) from error
    return cls.from_dict(fields)


def _cell(kind: str, fields: Any) -> Cell:
  """A cell of its fields; raises `UserError` if these are not they."""
  names = ('inputs', 'edges', 'output')
  if not isinstance(fields, Mapping) or set(fields) != set(names):
    got = list(fields) if isinstance(fields, Mapping) else repr(fields)
    raise errors.UserError(
      f'Expected the {kind} cell of a genotype with the fields '
      f'{", ".join(names)}, got {got}.'
    )
  for name in ('edges', 'output'):
    if not isinstance(fields[name], (list, tuple, range)):
      raise errors.UserError(
        f'Expected a list as {name} of the {kind} cell, got {fields[name]!r}.'
      )
  # Entries that are no sequences are left for the cell to refuse.
  edges: tuple[Any, ...] = tuple(
    tuple(edge) if isinstance(edge, list) else edge for edge in fields['edges']
  )
  return Cell(kind, fields['inputs'], edges, tuple(fields['output']))
