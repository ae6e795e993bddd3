"""How images lie where the kernels for TPU read them: a row is in the lanes.

A TPU computes on 8 x 128 numbers at once, and few channels would leave most of
the 128 lanes empty. So a row of an image, pixel by pixel, is the last axis, and
the images of a tile are the last but one: from a pixel to a neighbour is a
rotation of the lanes, or another row. Where every second pixel is read, even
and odd rows and columns are apart, as phases, in which neighbours are so again.

Axes: n list, B batch, H W C, T tiles of the batch on all devices, R rows of all
phases, I images of a tile, L lanes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.operations.depthwise import out_size

LANES = 128
_SUBLANES = 8
# Bytes of a tile of images, of which the kernels keep several: a TPU v5e has
# 128 MB for them.
_TILE_BYTES = 1 << 21


class Form(NamedTuple):
  """The images that a list reads.

  Attributes:
    batch: how many there are, on all devices.
    size: (H, W) of an image.
    channels: of a pixel.
    stride: of what reads them, 1 or 2.
    devices: that share the batch.
  """

  batch: int
  size: tuple[int, int]
  channels: int
  stride: int = 1
  devices: int = 1

  @property
  def depth(self) -> int:
    """As `depth_of`."""
    return depth_of(self.channels)

  @property
  def block(self) -> int:
    """As `block_of`."""
    return block_of(self.channels)

  @property
  def out(self) -> tuple[int, int]:
    """(H', W') of what the list gives."""
    height, width = (out_size(n, self.stride) for n in self.size)
    return height, width

  @property
  def columns(self) -> int:
    """Pixels in the lanes, those of W' filled up to whole blocks."""
    pixels = self.block // self.depth
    return -(-self.out[1] // pixels) * pixels

  @property
  def lanes(self) -> int:
    """All lanes of a row."""
    return self.columns * self.depth

  @property
  def rows(self) -> int:
    """Of all phases: even rows of even columns come first, then of odd ones."""
    return self.stride**2 * self.out[0]

  @property
  def share(self) -> int:
    """Images of a device."""
    return self.batch // self.devices

  @property
  def tile(self) -> int:
    """Images of a tile; those beyond the share are not looked at."""
    two = 2 * _SUBLANES
    large = self.rows * two * self.lanes * 4 > _TILE_BYTES
    return _SUBLANES if large or self.share <= _SUBLANES else two

  @property
  def pixels(self) -> int:
    """Of all images of what the list gives."""
    return self.batch * self.out[0] * self.out[1]

  @property
  def behind(self) -> 'Form':
    """Of what the list gives, for another of stride 1."""
    return self._replace(size=self.out, stride=1)

  def shape(self, count: int) -> tuple[int, int, int, int, int]:
    """Of a list of so many, (n, T, R, I, L)."""
    tiles = self.devices * -(-self.share // self.tile)
    return count, tiles, self.rows, self.tile, self.lanes

  def enter(self, x: jax.Array) -> jax.Array:
    """(n, B, H, W, C) -> (n, T, R, I, L)."""
    count, tiles, _, images, _ = self.shape(len(x))
    stride, (height, _), width = self.stride, self.out, self.columns
    sizes = tiles // self.devices * images, height * stride, width * stride
    x = x.reshape(count, self.devices, self.share, *x.shape[2:])
    ends = [(0, n - o) for n, o in zip((*sizes, self.depth), x.shape[2:])]
    x = jnp.pad(x, ((0, 0), (0, 0), *ends))
    each = height, stride, width, stride, self.depth
    x = x.reshape(count, tiles, images, *each)
    return x.transpose(0, 1, 4, 6, 3, 2, 5, 7).reshape(self.shape(count))

  def leave(self, x: jax.Array) -> jax.Array:
    """(n, T, R, I, L) -> (n, B, H, W, C)."""
    count, tiles, _, images, _ = x.shape
    stride, (height, _), width = self.stride, self.out, self.columns
    each = stride, stride, height, images, width, self.depth
    x = x.reshape(count, tiles, *each).transpose(0, 1, 5, 4, 2, 6, 3, 7)
    sizes = height * stride, width * stride, self.depth
    x = x.reshape(count, self.devices, -1, *sizes)
    own = self.share, *self.size, self.channels
    x = x[(..., *(slice(n) for n in own))]
    return x.reshape(count, self.batch, *self.size, self.channels)

  def join(self, nodes: Sequence[jax.Array]) -> jax.Array:
    """The channels of several (T, R, I, L) of stride 1, (B, H, W, n * C)."""
    # By itself each is turned with less reading and writing than all at once.
    return jnp.concatenate([self.leave(node[None])[0] for node in nodes], -1)


def depth_of(channels: int) -> int:
  """Lanes of a pixel: its channels, filled up to a power of two."""
  return 1 << (channels - 1).bit_length()


def block_of(channels: int) -> int:
  """Lanes that a matrix multiplies at once: whole pixels."""
  return max(LANES, depth_of(channels))


def vectors(x: jax.Array) -> jax.Array:
  """Numbers of channels (..., C) for every pixel of a block."""
  ones = jnp.asarray(_of_pixels(x.shape[-1]), x.dtype)
  return jnp.matmul(x, ones, precision='highest')


def of_vectors(x: jax.Array, channels: int) -> jax.Array:
  """The gradient (..., C) of what `vectors` is given."""
  ones = jnp.asarray(_of_pixels(channels).T, x.dtype)
  return jnp.matmul(x, ones, precision='highest')


def matrices(w: jax.Array) -> jax.Array:
  """Matrices (n, C, C) of every pixel of a block, (n, block, block)."""
  channels = w.shape[-1]
  depth, block = depth_of(channels), block_of(channels)
  w = jnp.pad(vectors(w), ((0, 0), (0, depth - channels), (0, 0)))
  w = jnp.tile(w, (1, block // depth, 1))
  return jnp.where(_diagonal(channels), w, 0)


def of_matrices(w: jax.Array, channels: int) -> jax.Array:
  """The gradient (n, C, C) of what `matrices` is given."""
  w = jnp.where(_diagonal(channels), w, 0)
  w = w.reshape(len(w), -1, depth_of(channels), w.shape[-1]).sum(1)
  return of_vectors(w[:, :channels], channels)


def _of_pixels(channels: int) -> np.ndarray:
  """Which lanes of a block each channel has, (C, block)."""
  lane = np.arange(block_of(channels)) % depth_of(channels)
  return np.arange(channels)[:, None] == lane


def _diagonal(channels: int) -> np.ndarray:
  pixel = np.arange(block_of(channels)) // depth_of(channels)
  return pixel[:, None] == pixel
