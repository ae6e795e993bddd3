"""A trained network to take away: what calls it, and brings images to it."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import arrays, augment, decode
from opp_darts_jax.errors import UserError
from opp_darts_jax.networks.network import Network


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedNetwork:
  """A network, its weights, and what it was trained on.

  Attributes:
    model: the network.
    variables: {'params': ..., 'batch_stats': ...}.
    class_names: label k is class_names[k].
    image_shape: (H, W, C) of the images that it takes.
    mean: of the training images, per channel, in units of pixel / 255.
    std: likewise.
  """

  model: Network
  variables: Mapping[str, Any] = dataclasses.field(repr=False)
  class_names: tuple[str, ...]
  image_shape: tuple[int, ...]
  mean: tuple[float, ...]
  std: tuple[float, ...]

  def __call__(self, images: np.ndarray | jax.Array) -> jax.Array:
    """Images as those that trained it -> logits (n, classes).

    Args:
      images: (n, H, W, C), or (n, H, W) of one channel, integers 0..255 or
        floats 0..1, not normalised.

    Raises:
      UserError: if they are of another shape, size or range.
    """
    given = np.shape(images)
    # Those of the type that is computed with stay where they are.
    if getattr(images, 'dtype', None) != np.uint8 or len(given) != 4:
      images = arrays.as_images('images', images)
    if images.shape[1:] != self.image_shape or not len(images):
      raise UserError(
        f'The network takes images (n, {_sizes(self.image_shape)}), but got '
        f'({_sizes(given)}).'
      )
    return self._logits(self.variables, images)

  def read(
    self,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    centre: bool = False,
    background: str = DataConfig.background,
  ) -> np.ndarray:
    """Image files as the network takes them, uint8 (n, H, W, C).

    They are seen as those of a folder that trains: upright, in grey or colour,
    at the network's size.

    Args:
      paths: of the files, or of one.
      centre: whether to cut a square out of the middle, as a stream with
        `data.crop='resized'` is tested; else the image is squeezed into one.
      background: the colour that transparent images are laid on.

    Raises:
      UserError: if a file cannot be read, or the network takes other bands
        than grey or colour.
    """
    size, _, channels = self.image_shape
    if channels not in (1, 3):
      raise UserError(
        f'Files have 1 or 3 channels; the network takes {channels}.'
      )
    box = decode.centre_box if centre else None
    if isinstance(paths, str | os.PathLike):
      paths = [paths]
    found = [
      decode.decode(
        decode.Encoded(path, str(path), 0),
        size,
        background,
        channels,
        box,
      ).pixels
      for path in map(pathlib.Path, paths)
    ]
    return np.array(found, np.uint8).reshape(-1, *self.image_shape)

  @functools.cached_property
  def _logits(self) -> Any:
    def logits(variables, images):
      normalised = augment.normalise(images, self.mean, self.std)
      rngs = {'noise': jax.random.key(0)}
      with jax.default_matmul_precision('highest'):  # float32 is float32.
        found, _ = self.model.apply(variables, normalised, False, rngs=rngs)
      return found

    return jax.jit(logits)


def _sizes(shape: tuple[int, ...]) -> str:
  return ', '.join(map(str, shape))
