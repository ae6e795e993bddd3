"""The operations that are convolutions."""

import jax

from opp_darts_jax.operations.dense import conv, uniform
from opp_darts_jax.operations.norm import Normalised, measure
from opp_darts_jax.operations.operation import (
  Fused,
  Operation,
  Separable,
  halved,
)
from opp_darts_jax.operations.separable import separable_unit
from opp_darts_jax.operations.torch_names import (
  COLUMN,
  DEPTHWISE,
  POINTWISE,
  ROW,
  TorchNames,
  TorchWeight,
)


def separable_conv(size: int) -> Operation:
  """`sep_conv`: twice ReLU, depthwise, 1x1, BN; the first has the stride."""
  name = f'sep_conv_{size}x{size}'
  drawn = 'separable convolution'
  return _of_units(name, drawn, Separable(2, size, dilation=1))


def dilated_conv(size: int) -> Operation:
  """`dil_conv`: ReLU, depthwise of dilation 2, 1x1, BN."""
  name = f'dil_conv_{size}x{size}'
  return _of_units(name, 'dilated convolution', Separable(1, size, dilation=2))


def _of_units(name: str, drawn: str, unit: Separable) -> Operation:
  repeats, size, dilation = unit

  def init(key, copies, channels, stride):
    del stride
    depthwise_key, pointwise_key = jax.random.split(key)
    kernel = (*copies, repeats, size, size, channels)
    dense = (*copies, repeats, channels, channels)
    return {
      'depthwise': uniform(depthwise_key, kernel, size * size),
      'pointwise': uniform(pointwise_key, dense, channels),
    }

  def apply(params, x, norm, stride, key):
    del key
    normalised = Normalised.unchanged(x)
    for i in range(repeats):
      depthwise, pointwise = params['depthwise'][i], params['pointwise'][i]
      measured = separable_unit(
        normalised, depthwise, pointwise, stride if i == 0 else 1, dilation
      )
      normalised = norm(measured, i)
    return normalised.value

  def multiply_adds(channels, stride, x_size):
    height, width = halved(x_size, stride)
    weights = channels * (size * size + channels)
    return repeats * weights * height * width

  def torch(stride):
    del stride
    # Sequences of ReLU, depthwise, pointwise, norm.
    weights = []
    for i in range(repeats):
      depthwise, pointwise = (f'op.{4 * i + n}.weight' for n in (1, 2))
      weights += [
        TorchWeight(depthwise, 'depthwise', (i,), DEPTHWISE),
        TorchWeight(pointwise, 'pointwise', (i,), POINTWISE),
      ]
    norms = tuple(f'op.{4 * i + 3}' for i in range(repeats))
    return TorchNames(tuple(weights), norms)

  def onnx(graph, name, x, stride):
    border = dilation * (size - 1) // 2
    for i in range(repeats):
      x = graph.conv(
        graph.relu(x),
        f'{name}.op.{4 * i + 1}',
        strides=[1 if i else stride] * 2,
        pads=[border] * 4,
        dilations=[dilation] * 2,
        depthwise=True,
      )
      x = graph.conv(x, f'{name}.op.{4 * i + 2}')
      x = graph.norm(x, f'{name}.op.{4 * i + 3}')
    return x

  return Operation(
    name,
    init,
    apply,
    norms=lambda stride: repeats,
    parametric=True,
    drawn=drawn,
    multiply_adds=multiply_adds,
    torch=torch,
    onnx=onnx,
    fused=lambda stride: Fused('separable', repeats, unit),
  )


def conv_7x1_1x7() -> Operation:
  """ReLU, 1x7, 7x1, BN, of all channels; each has the stride of its axis."""

  def init(key, copies, channels, stride):
    del stride
    kernel = (*copies, 7, channels, channels)
    row_key, column_key = jax.random.split(key)
    return {
      'row': uniform(row_key, kernel, 7 * channels),
      'column': uniform(column_key, kernel, 7 * channels),
    }

  def apply(params, x, norm, stride, key):
    del key
    x = jax.nn.relu(x)
    x = conv(x, params['row'][None], (1, stride), (0, 3))
    x = conv(x, params['column'][:, None], (stride, 1), (3, 0))
    return norm(measure(x), 0).value

  def multiply_adds(channels, stride, x_size):
    height, width = halved(x_size, stride)
    return 7 * channels * channels * (x_size[0] + height) * width

  def torch(stride):
    del stride
    row = TorchWeight('1.weight', 'row', (), ROW)
    return TorchNames(
      (row, TorchWeight('2.weight', 'column', (), COLUMN)), ('3',)
    )

  def onnx(graph, name, x, stride):
    x = graph.relu(x)
    x = graph.conv(x, f'{name}.1', strides=[1, stride], pads=[0, 3, 0, 3])
    x = graph.conv(x, f'{name}.2', strides=[stride, 1], pads=[3, 0, 3, 0])
    return graph.norm(x, f'{name}.3')

  return Operation(
    'conv_7x1_1x7',
    init,
    apply,
    norms=lambda stride: 1,
    parametric=True,
    drawn='convolution',
    multiply_adds=multiply_adds,
    torch=torch,
    onnx=onnx,
  )
