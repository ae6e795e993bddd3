"""Augmentation and batch order on the device: pure functions for a jitted step.

The images stay on the device as uint8. A step picks its batch by index and
augments it with a key of its own; to go on after a restart, the number of the
step is all that has to be kept.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import decode
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.errors import UserError

_GREY = (0.299, 0.587, 0.114)  # what red, green and blue weigh in brightness


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """What is done to a training image; hashable, so static under `jax.jit`.

  Attributes:
    mean: per channel, in units of pixel / 255.
    std: per channel, in units of pixel / 255.
    crop_padding: black pixels added on every side before the random crop back
      to the image size; 0 switches this crop off.
    flip: whether each image is mirrored left to right with probability 1/2.
    cutout: side in pixels of the square that is blanked; 0 switches it off.
    resized_crop: whether a random part of each image is resized to its size.
    jitter: strength of the colour jitter; 0 switches it off.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
  crop_padding: int = 4
  flip: bool = True
  cutout: int = 0
  resized_crop: bool = False
  jitter: float = 0.0

  @classmethod
  def of(cls, images: ImageData | Streamed, config: DataConfig) -> Self:
    """The augmentation that the config asks for, on these images.

    Raises:
      UserError: if its cutout or its crop may blank whole images.
    """
    side = min(images.image_shape[:2])
    if config.cutout >= side:
      raise UserError(
        f'data.cutout must be less than the {side} pixels of the images, which '
        f'it would blank, or 0; got {config.cutout}.'
      )
    resized = config.crop == 'resized'  # A stream has done it while decoding.
    if not resized and config.crop_padding >= side:
      raise UserError(
        f'data.crop_padding must be less than the {side} pixels of the images, '
        f'which it would move out of sight; got {config.crop_padding}.'
      )
    return cls(
      images.mean,
      images.std,
      0 if resized else config.crop_padding,
      config.flip,
      config.cutout,
      resized and not config.stream,
      config.jitter,
    )


def normalise(
  images: jax.Array, mean: Sequence[float], std: Sequence[float]
) -> jax.Array:
  """Returns (images / 255 - mean) / std.

  Args:
    images: uint8 or float (B, H, W, C), in 0..255.
    mean: C numbers, in units of pixel / 255.
    std: C numbers, in units of pixel / 255.

  Returns:
    float32 (B, H, W, C).
  """
  mean_C = jnp.asarray(mean, jnp.float32)
  std_C = jnp.asarray(std, jnp.float32)
  return (images.astype(jnp.float32) / 255 - mean_C) / std_C


def random_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
  """Returns each image moved by up to `padding` pixels each way, black beyond.

  Args:
    key: a key for this batch alone.
    images: uint8 (B, H, W, C).
    padding: pixels; offsets are drawn from 0..2 * padding, both included.

  Returns:
    uint8 (B, H, W, C).
  """
  count, *shape = images.shape
  spread = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  corners = jax.random.randint(key, (count, 2), 0, 2 * padding + 1)

  def crop(image: jax.Array, corner: jax.Array) -> jax.Array:
    return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), shape)

  return jax.vmap(crop)(jnp.pad(images, spread), corners)


def random_resized_crop(key: jax.Array, images: jax.Array) -> jax.Array:
  """Returns a random part of each image, resized to its size.

  Args:
    key: a key for this batch alone.
    images: uint8 (B, H, W, C).

  Returns:
    float32 (B, H, W, C), in 0..255.
  """
  height, width, _ = shape = images.shape[1:]
  uniforms = jax.random.uniform(key, (len(images), 4))

  def crop(image: jax.Array, uniform: jax.Array) -> jax.Array:
    top, left, own_height, own_width = decode.random_box(uniform, height, width)
    scale = jnp.stack([height / own_height, width / own_width])
    shift = -scale * jnp.stack([top, left])
    return jax.image.scale_and_translate(
      image.astype(jnp.float32), shape, (0, 1), scale, shift, 'linear'
    )

  return jax.vmap(crop)(images, uniforms)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
  """Returns images (B, H, W, C), each mirrored left to right or not."""
  flipped = jax.random.bernoulli(key, 0.5, (images.shape[0], 1, 1, 1))
  return jnp.where(flipped, images[:, :, ::-1], images)


def colour_jitter(
  key: jax.Array, images: jax.Array, strength: float
) -> jax.Array:
  """Returns each image with brightness, contrast and saturation changed.

  In this order, each by a factor of the image's own, uniform in [1 - strength,
  1 + strength]; values are clipped after each.

  Args:
    key: a key for this batch alone.
    images: uint8 or float (B, H, W, C), in 0..255.
    strength: in [0, 1].

  Returns:
    float32 (B, H, W, C), in 0..255.
  """
  count, *_, channels = images.shape
  shares = _GREY if channels == 3 else (1 / channels,) * channels
  brightness, contrast, saturation = jax.random.uniform(
    key, (3, count, 1, 1, 1), minval=1 - strength, maxval=1 + strength
  )

  def grey(images: jax.Array) -> jax.Array:
    return (images * jnp.asarray(shares)).sum(-1, keepdims=True)

  def away(base: jax.Array, images: jax.Array, factor: jax.Array) -> jax.Array:
    return jnp.clip(base + factor * (images - base), 0, 255)

  images = jnp.clip(brightness * images, 0, 255)
  mean = grey(images).mean((1, 2), keepdims=True)
  images = away(mean, images, contrast)
  return away(grey(images), images, saturation)


def random_cutout(key: jax.Array, images: jax.Array, side: int) -> jax.Array:
  """Returns each image with one square set to 0 (DeVries and Taylor, 2017).

  The square is centred at a uniformly drawn pixel and clipped at the borders,
  so it may show less than its whole area. An even square reaches one pixel
  further up and left of its centre than down and right.

  Args:
    key: a key for this batch alone.
    images: float (B, H, W, C), normalised: 0 is the mean colour.
    side: of the square, in pixels.

  Returns:
    The same shape and type.
  """
  count, height, width, _ = images.shape
  centres = jax.random.randint(key, (count, 2), 0, jnp.asarray([height, width]))
  first = centres - side // 2

  def inside(start: jax.Array, length: int) -> jax.Array:
    pixel = jnp.arange(length) - start[:, None]
    return (pixel >= 0) & (pixel < side)

  rows, columns = inside(first[:, 0], height), inside(first[:, 1], width)
  square = rows[:, :, None, None] & columns[:, None, :, None]
  return jnp.where(square, 0, images)


def augment(
  key: jax.Array, images: jax.Array, augmentation: Augmentation
) -> jax.Array:
  """Returns a batch cropped, flipped, jittered, normalised and cut out.

  Args:
    key: a key for this batch alone, such as one folded with the step number.
    images: uint8 (B, H, W, C).
    augmentation: static.

  Returns:
    float32 (B, H, W, C).
  """
  crop_key, flip_key, cutout_key = jax.random.split(key, 3)
  if augmentation.crop_padding:
    images = random_crop(crop_key, images, augmentation.crop_padding)
  if augmentation.resized_crop:
    images = random_resized_crop(crop_key, images)
  if augmentation.flip:
    images = random_flip(flip_key, images)
  if augmentation.jitter:
    # 0 to 2 would give the three keys above.
    jitter_key = jax.random.fold_in(key, 3)
    images = colour_jitter(jitter_key, images, augmentation.jitter)
  normalised = normalise(images, augmentation.mean, augmentation.std)
  if augmentation.cutout:
    normalised = random_cutout(cutout_key, normalised, augmentation.cutout)
  return normalised


def epoch_order(
  key: jax.Array, epoch: int | jax.Array, count: int
) -> jax.Array:
  """Returns the order of `count` images in an epoch: int32 (count,).

  Args:
    key: the key of the whole run.
    epoch: may be traced.
    count: number of images, static.
  """
  return jax.random.permutation(jax.random.fold_in(key, epoch), count)


def batch(
  order: jax.Array, position: int | jax.Array, batch_size: int
) -> jax.Array:
  """Returns the indices of one batch: int32 (batch_size,).

  Args:
    order: int32 (count,), from `epoch_order`.
    position: number of the batch within the epoch, may be traced. A batch that
      would pass the end is moved back to end there, as `dynamic_slice` does, so
      keep position below count // batch_size.
    batch_size: images, static.
  """
  return jax.lax.dynamic_slice(order, (position * batch_size,), (batch_size,))
