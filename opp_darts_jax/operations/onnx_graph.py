"""The graph of an ONNX model while it is built.

Operations and skeletons add their nodes by the functions of it.
"""

from typing import Any

import numpy as np

from opp_darts_jax.operations.norm import EPSILON


class Graph:
  """Nodes on images (n, C, H, W), in order, each named as what it gives.

  Attributes:
    arrays: name -> array; what nodes may read.
    nodes: name -> onnx.NodeProto.
  """

  def __init__(self, helper: Any, arrays: dict[str, np.ndarray]) -> None:
    self._helper = helper
    self.arrays = arrays
    self.nodes: dict[str, Any] = {}

  def add(
    self, name: str, operator: str, *inputs: str, **attributes: Any
  ) -> str:
    """Adds a node of an ONNX operator and returns its name."""
    self.nodes[name] = self._helper.make_node(
      operator, inputs, [name], name, **attributes
    )
    return name

  def relu(self, x: str) -> str:
    """Rectifies; once, however many layers want it of x."""
    name = f'{x}.relu'
    return name if name in self.nodes else self.add(name, 'Relu', x)

  def conv(
    self, x: str, name: str, depthwise: bool = False, **attributes: Any
  ) -> str:
    """A convolution with the kernel `name`.weight and ONNX's attributes.

    Args:
      x: what it is of.
      name: of the node.
      depthwise: whether every channel has a kernel of its own.
      **attributes: strides, pads and dilations, where they are not 1 or 0.
    """
    weight = f'{name}.weight'
    outputs, _, *size = self.arrays[weight].shape
    if depthwise:
      attributes['group'] = outputs
    return self.add(name, 'Conv', x, weight, kernel_shape=size, **attributes)

  def norm(self, x: str, name: str) -> str:
    """Batch normalisation by running averages."""
    leaves = ('weight', 'bias', 'running_mean', 'running_var')
    inputs = [x, *(f'{name}.{leaf}' for leaf in leaves)]
    return self.add(name, 'BatchNormalization', *inputs, epsilon=EPSILON)

  def factorized_reduce(self, x: str, name: str) -> str:
    """ReLU, two 1x1 convolutions of stride 2 a pixel apart, and BN.

    The two are corners of one 2x2 convolution, which is as fast, as it needs
    no shifted copy of the images.
    """
    names = (f'{name}.conv_{i}.weight' for i in (1, 2))
    first, second = map(self.arrays.pop, names)  # In one, below.
    last, leading = [(0, 0)] * 2 + [(0, 1)] * 2, [(0, 0)] * 2 + [(1, 0)] * 2
    kernel = np.concatenate([np.pad(first, last), np.pad(second, leading)])
    self.arrays[f'{name}.conv.weight'] = kernel
    x = self.relu(x)
    x = self.conv(x, f'{name}.conv', strides=[2, 2], pads=[0, 0, 1, 1])
    return self.norm(x, f'{name}.bn')
