"""Images side by side in the channels of one, as the C++ kernels take them.

The kernels compute on vectors of neighbouring channels, of which a node with
few would fill a part. So several images share a vector: as many as fill it.

Axes: B batch, H W, C channels, G images side by side.
"""

import jax

_BYTES = 64  # Of the widest vectors.


def fitting(batch: int, channels: int, itemsize: int) -> int:
  """How many images to put side by side: a power of 2 that divides a batch."""
  images = 1
  while (
    2 * images * channels * itemsize <= _BYTES and batch % (2 * images) == 0
  ):
    images *= 2
  return images


def put(x: jax.Array, images: int) -> jax.Array:
  """(..., B, H, W, C) -> (..., B/G, H, W, G C)."""
  if images == 1:
    return x
  *outer, batch, height, width, channels = x.shape
  x = x.reshape(*outer, batch // images, images, height, width, channels)
  last = x.ndim
  axes = (*range(last - 4), last - 3, last - 2, last - 4, last - 1)
  return x.transpose(axes).reshape(
    *outer, batch // images, height, width, images * channels
  )


def take(x: jax.Array, images: int) -> jax.Array:
  """(..., B/G, H, W, G C) -> (..., B, H, W, C)."""
  if images == 1:
    return x
  *outer, batch, height, width, channels = x.shape
  x = x.reshape(*outer, batch, height, width, images, channels // images)
  last = x.ndim
  axes = (*range(last - 4), last - 2, last - 4, last - 3, last - 1)
  return x.transpose(axes).reshape(
    *outer, batch * images, height, width, channels // images
  )
