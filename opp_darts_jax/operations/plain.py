"""The operations that are no convolutions: skips, pools, nothing and noise."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from opp_darts_jax.genotypes.cell import NONE, SKIP
from opp_darts_jax.operations.dense import factorized_reduce, uniform
from opp_darts_jax.operations.norm import measure
from opp_darts_jax.operations.operation import (
  Fused,
  Operation,
  halved,
  no_weights,
)
from opp_darts_jax.operations.pooling import avg_pool, max_pool
from opp_darts_jax.operations.torch_names import FACTORIZED_REDUCE, TorchNames


def none() -> Operation:
  """Zeros."""

  def onnx(graph, name, x, stride):
    window = {'kernel_shape': [1, 1], 'strides': [stride, stride]}
    x = graph.add(f'{name}.pixels', 'MaxPool', x, **window)
    return graph.add(name, 'Sub', x, x)

  return Operation(
    NONE,
    no_weights,
    lambda params, x, norm, stride, key: jnp.zeros_like(
      x[:, ::stride, ::stride]
    ),
    shared=lambda stride: True,
    carries=False,
    drawn='none',
    torch=lambda stride: TorchNames(),
    onnx=onnx,
  )


def skip_connect() -> Operation:
  """The identity; at stride 2 a factorized reduction, which has weights."""

  def init(key, copies, channels, stride):
    if stride == 1:
      return {}
    shape = (*copies, 2, channels, channels // 2)
    return {'pointwise': uniform(key, shape, channels)}

  def apply(params, x, norm, stride, key):
    del key
    if stride == 1:
      return x
    x = factorized_reduce(jax.nn.relu(x), params['pointwise'])
    return norm(measure(x), 0).value

  def multiply_adds(channels, stride, size):
    height, width = halved(size, stride)
    return 0 if stride == 1 else channels * channels * height * width

  def torch(stride):
    if stride == 1:
      return TorchNames()
    return TorchNames(FACTORIZED_REDUCE, ('bn',))

  def onnx(graph, name, x, stride):
    return x if stride == 1 else graph.factorized_reduce(x, name)

  return Operation(
    SKIP,
    init,
    apply,
    norms=lambda stride: stride - 1,
    shared=lambda stride: stride == 1,
    identity=lambda stride: stride == 1,
    drawn='skip connection',
    multiply_adds=multiply_adds,
    torch=torch,
    onnx=onnx,
    fused=lambda stride: (
      Fused('identity') if stride == 1 else Fused('factorized_reduce', 1)
    ),
  )


def _pool(
  name: str, pool: Callable[[jax.Array, int], jax.Array], operator: str
) -> Operation:
  """A 3x3 pool; in a supernet of DARTS a norm follows it."""

  def onnx(graph, name, x, stride):
    window = {'kernel_shape': [3, 3], 'pads': [1] * 4, 'strides': [stride] * 2}
    return graph.add(name, operator, x, **window)

  bare = Operation(
    name,
    no_weights,
    lambda params, x, norm, stride, key: pool(x, stride),
    shared=lambda stride: True,
    drawn='pooling',
    torch=lambda stride: TorchNames(),
    onnx=onnx,
  )

  def apply(params, x, norm, stride, key):
    del params, key
    return norm(measure(pool(x, stride)), 0).value

  return bare._replace(
    apply=apply,
    norms=lambda stride: 1,
    derived=bare,
    torch=lambda stride: TorchNames(norms=('1',)),
    fused=lambda stride: Fused(name.removesuffix('_3x3'), 1),
  )


def max_pool_3x3() -> Operation:
  """The largest of the 3x3 pixels around."""
  return _pool('max_pool_3x3', max_pool, 'MaxPool')


def avg_pool_3x3() -> Operation:
  """The mean of the 3x3 pixels around, padding not counted."""
  return _pool('avg_pool_3x3', avg_pool, 'AveragePool')


def noise() -> Operation:
  """Standard normal numbers in place of the input (space S4)."""

  def apply(params, x, norm, stride, key):
    del params, norm
    if key is None:
      raise ValueError('noise needs a random key.')
    return jax.random.normal(key, x[:, ::stride, ::stride].shape, x.dtype)

  return Operation(
    'noise',
    no_weights,
    apply,
    random=True,
    torch=lambda stride: TorchNames(),
  )
