"""What an operation is: one record of pure functions, and nothing elsewhere.

A space holds records, not names: the supernet, the network, genotypes, counts,
pictures and exports ask the record.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.operations.norm import Measured, Normalised
from opp_darts_jax.operations.onnx_graph import Graph
from opp_darts_jax.operations.torch_names import TorchNames

Params = dict[str, jax.Array]
# (x, i) -> the i-th batch normalisation of the operation, applied to x.
Norm = Callable[[Measured, int], Normalised]
Size = tuple[int, int]


class Separable(NamedTuple):
  """How often the unit is repeated, and its kernel's size and dilation."""

  repeats: int = 0
  size: int = 0
  dilation: int = 0


class Fused(NamedTuple):
  """What kernels that run all edges of a node at once know of an operation.

  Attributes:
    kind: 'separable', 'max_pool', 'avg_pool', 'identity' or, of stride 2,
      'factorized_reduce', which the kernels for CPU do not know.
    norms: how many.
    unit: of a separable one.
  """

  kind: str
  norms: int = 0
  unit: Separable = Separable()

  @property
  def shared(self) -> bool:
    """Whether all edges that leave a node get the same from it."""
    return self.kind not in ('separable', 'factorized_reduce')


class Operation(NamedTuple):
  """An operation as pure functions; all but the first three have defaults.

  Attributes:
    name: what genotypes and files call it. By `skip_connect` a skip connection
      is known, and by `none` an edge that is not there, to all that counts them
      or asks for them: metrics, judgements, schedules and methods.
    init: (key, copies, channels, stride) -> weights of that many copies,
      stacked on leading axes; those of its norms are not among them.
    apply: (weights, x (B, H, W, C), norm, stride, key) -> (B, H/s, W/s, C), by
      the weights of one copy, sizes rounded up.
    norms: stride -> how many batch normalisations it applies, numbered from 0.
    shared: stride -> whether it has neither weights nor randomness, so that
      all edges that leave a node get the same from it.
    identity: stride -> whether it gives x itself.
    parametric: whether it counts as one with parameters: such enter first in a
      progressive search.
    carries: whether signal passes it; `none` gives zeros.
    random: whether it draws from the key.
    drawn: what kind it is in pictures.
    derived: what it is in a derived network, if something else: pools, for
      instance, are followed by a norm in a supernet alone.
    multiply_adds: (channels, stride, (H, W) of x) -> how many one image takes.
    torch: stride -> PyTorch's names of its weights and norms; None if PyTorch
      DARTS has no such operation.
    onnx: (graph, name, x, stride) -> its output in the graph of an
      ONNX model, weights named below `name`; None if it has none.
    fused: stride -> its form in fused kernels; None if none know it.
  """

  name: str
  init: Callable[[jax.Array, tuple[int, ...], int, int], Params]
  apply: Callable[[Params, jax.Array, Norm, int, jax.Array | None], jax.Array]
  norms: Callable[[int], int] = lambda stride: 0
  shared: Callable[[int], bool] = lambda stride: False
  identity: Callable[[int], bool] = lambda stride: False
  parametric: bool = False
  carries: bool = True
  random: bool = False
  drawn: str = 'other'
  derived: Any = None  # An Operation; the type cannot name itself here.
  multiply_adds: Callable[[int, int, Size], int] = (
    lambda channels, stride, size: 0
  )
  torch: Callable[[int], TorchNames] | None = None
  onnx: Callable[[Graph, str, str, int], str] | None = None
  fused: Callable[[int], Fused | None] = lambda stride: None

  def __repr__(self) -> str:
    return f'Operation({self.name!r})'  # Its functions would say nothing.

  @property
  def in_network(self) -> 'Operation':
    """What it is in a derived network."""
    return self.derived or self

  @property
  def says_multiply_adds(self) -> bool:
    """Whether it says how many it takes, be it none."""
    return self.multiply_adds is not self._field_defaults['multiply_adds']


def no_weights(
  key: jax.Array, copies: tuple[int, ...], channels: int, stride: int
) -> Params:
  """`Operation.init` of an operation without weights."""
  del key, copies, channels, stride
  return {}


def halved(size: Size, stride: int) -> Size:
  """The (H, W) that a stride leaves, rounded up."""
  return out_size(size[0], stride), out_size(size[1], stride)
