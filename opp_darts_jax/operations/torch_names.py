"""What the weights of an operation are called in PyTorch, and how they lie.

PyTorch keeps images as NCHW, kernels as OIHW and a copy of everything on every
edge.
"""

from typing import NamedTuple

import numpy as np


class Layout(NamedTuple):
  """Axes of a PyTorch tensor: ours transposed, then some of size 1 inserted."""

  order: tuple[int, ...]
  inserted: tuple[int, ...] = ()

  def to_torch(self, array: np.ndarray) -> np.ndarray:
    """Ours -> PyTorch's."""
    return np.expand_dims(array.transpose(self.order), self.inserted)

  def from_torch(self, array: np.ndarray) -> np.ndarray:
    """PyTorch's -> ours."""
    return np.squeeze(array, self.inserted).transpose(np.argsort(self.order))


VECTOR = Layout((0,))
LINEAR = Layout((1, 0))
CONV = Layout((3, 2, 0, 1))  # (h, w, C, D) -> (D, C, h, w)
DEPTHWISE = Layout((2, 0, 1), (1,))  # (k, k, C) -> (C, 1, k, k)
POINTWISE = Layout((1, 0), (2, 3))  # (C, D) -> (D, C, 1, 1)
ROW = Layout((2, 1, 0), (2,))  # (7, C, D) -> (D, C, 1, 7)
COLUMN = Layout((2, 1, 0), (3,))  # (7, C, D) -> (D, C, 7, 1)


class TorchWeight(NamedTuple):
  """One weight of an operation.

  Attributes:
    name: PyTorch's, below the operation.
    leaf: ours.
    index: of its part in the leading axes of our leaf.
    layout: of its axes.
  """

  name: str
  leaf: str
  index: tuple[int, ...] = ()  # type: ignore[assignment]
  layout: Layout = VECTOR


class TorchNames(NamedTuple):
  """The weights of an operation, and PyTorch's names of its norms, in order."""

  weights: tuple[TorchWeight, ...] = ()
  norms: tuple[str, ...] = ()


FACTORIZED_REDUCE = tuple(
  TorchWeight(f'conv_{i + 1}.weight', 'pointwise', (i,), POINTWISE)
  for i in range(2)
)
