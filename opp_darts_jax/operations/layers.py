"""What surrounds the cells of supernets and evaluation networks."""

import flax.linen as nn
import jax

from opp_darts_jax.errors import UserError
from opp_darts_jax.operations.dense import conv, factorized_reduce, uniform
from opp_darts_jax.operations.norm import BatchNorm, wide_type
from opp_darts_jax.operations.separable import pointwise_unit
from opp_darts_jax.operations.weights import param

# PyTorch's default for kernels: uniform, bound 1 / sqrt(fan in).
kernel_init = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


class ConvNorm(nn.Module):
  """A convolution without bias, and batch normalisation.

  Attributes:
    channels: of the output.
    size: of the kernel, in pixels.
    stride: of both axes.
    padding: pixels of zeros on each side.
    affine: whether the normalisation has a scale and a bias.
    norm: whether there is one.
  """

  channels: int
  size: int = 1
  stride: int = 1
  padding: int = 0
  affine: bool = True
  norm: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """(B, H, W, C) -> (B, H', W', channels)."""
    kernel = (self.size, self.size, x.shape[-1], self.channels)
    strides, paddings = (self.stride,) * 2, (self.padding,) * 2
    weights = param(self, 'kernel', kernel_init, kernel).astype(x.dtype)
    x = conv(x, weights, strides, paddings)
    if not self.norm:
      return x
    return BatchNorm(self.affine, name='norm')(x, train)


class ReluConvNorm(nn.Module):
  """ReLU, a 1x1 convolution without bias, and batch normalisation.

  Attributes:
    channels: of the output.
    affine: whether the normalisation has a scale and a bias.
  """

  channels: int
  affine: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """(B, H, W, C) -> (B, H, W, channels)."""
    kernel = (1, 1, x.shape[-1], self.channels)
    weights = param(self, 'kernel', kernel_init, kernel).astype(x.dtype)
    measured = pointwise_unit(x, weights[0, 0])
    return BatchNorm(self.affine, name='norm')(measured, train)


class FactorizedReduce(nn.Module):
  """Halves the resolution by two 1x1 convolutions of stride 2.

  Attributes:
    channels: of the output.
    affine: whether the normalisation has a scale and a bias.
  """

  channels: int
  affine: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """(B, H, W, C) -> (B, ceil(H / 2), ceil(W / 2), channels)."""
    inputs = x.shape[-1]
    shape = (2, inputs, self.channels // 2)
    kernels = param(self, 'pointwise', uniform, shape, inputs)
    x = factorized_reduce(nn.relu(x), kernels.astype(x.dtype))
    return BatchNorm(self.affine, name='norm')(x, train)


class Preprocess(nn.Module):
  """Brings a cell's two inputs to its channels and to one resolution.

  Attributes:
    channels: of the cell.
    after_reduction: whether the previous cell was a reduction cell, so that
      input 0 has twice the resolution of input 1.
    affine: whether the normalisations have scales and biases.
  """

  channels: int
  after_reduction: bool
  affine: bool = True

  @nn.compact
  def __call__(
    self, s0: jax.Array, s1: jax.Array, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """The outputs of the two cells before -> the cell's input nodes."""
    if self.after_reduction:
      s0 = FactorizedReduce(self.channels, self.affine, name='input0')(
        s0, train
      )
    else:
      s0 = ReluConvNorm(self.channels, self.affine, name='input0')(s0, train)
    s1 = ReluConvNorm(self.channels, self.affine, name='input1')(s1, train)
    return s0, s1


class Classifier(nn.Module):
  """Global average pool and a linear layer, in float32 at least.

  Attributes:
    classes: number of logits.
  """

  classes: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """(B, H, W, C) -> logits (B, classes)."""
    inputs = x.shape[-1]
    return nn.Dense(
      self.classes,
      param_dtype=wide_type(x),
      kernel_init=kernel_init,
      bias_init=lambda key, shape, dtype: uniform(key, shape, inputs),
      name='linear',
    )(x.mean((1, 2), wide_type(x)))


class AuxiliaryHead(nn.Module):
  """A second classifier, two thirds through the network, that helps training.

  Attributes:
    classes: number of logits.
    imagenet: whether it is that of the ImageNet network, whose pool has a
      smaller stride, and which lacks the second normalisation.
  """

  classes: int
  imagenet: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """(B, H, W, C), rectified, H and W at least 8 -> logits (B, classes).

    What remains of 8 x 8 pixels, as images of 32 x 32 give, is one; of larger
    maps it is several, which are averaged. ImageNet's takes 7 x 7.

    Raises:
      UserError: if the map is too small.
    """
    stride = 2 if self.imagenet else 3
    least = 5 + stride
    if min(x.shape[1:3]) < least:
      raise UserError(
        f'The auxiliary head needs a feature map of at least {least} x {least} '
        f'pixels, but got {x.shape[1]} x {x.shape[2]}; set auxiliary=False or '
        'use larger images.'
      )
    x = nn.avg_pool(x, (5, 5), (stride, stride))
    x = nn.relu(ConvNorm(128, name='conv0')(x, train))
    last = ConvNorm(768, size=2, norm=not self.imagenet, name='conv1')
    x = nn.relu(last(x, train))
    return Classifier(self.classes, name='classifier')(x)
