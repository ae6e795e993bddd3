"""The part of a run's config that its images are of."""

import dataclasses

from PIL import ImageColor

from opp_darts_jax.config.checks import at_least, require
from opp_darts_jax.config.fields import settle
from opp_darts_jax.errors import UserError, check_choice

CROPS = ('pad', 'resized')


def _is_colour(text: str) -> bool:
  try:
    return len(ImageColor.getrgb(text)) == 3
  except ValueError:
    return False


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Where images come from and how they are augmented.

  Attributes:
    source: 'digits', a folder of class folders (its layouts stand in
      docs/images.md), an .npz file, or the name of a tfds data set such as
      'cifar10'; 'folder:PATH', 'npz:PATH' and 'tfds:NAME' settle what a word
      means. Or your own, as 'MODULE:NAME' or 'FILE.py:NAME': a function from a
      place ('') and this config to a Source, or a DataSource.
    data_dir: where tfds keeps its data sets; '' is tfds's own default.
    image_size: resize images to this square size, in pixels; 0 keeps them.
    background: colour that transparent images are laid on: 'white', '#808080'
      or another name that CSS or Pillow has.
    test_fraction: share tested on where the source has no test split.
    held_out: share of the training images that is tested on in place of the
      test images, to choose by without a look at those; 0 is none.
    split_seed: decides every split of the images.
    max_train: use at most this many training images; 0 uses all. Of a folder or
      a tfds data set the others are not held in memory, nor decoded.
    max_test: use at most this many test images; 0 uses all.
    mean: per-channel mean, in units of pixel / 255; () measures it on the
      training images.
    std: per-channel standard deviation, likewise.
    stream: whether images are read while training, instead of all at first:
      for a folder or a tfds data set that memory does not hold. It takes an
      image_size. Without their own, test images are drawn regardless of class
      from tfds data sets; so are the images that max_train and max_test leave.
    workers: processes that decode the images of a stream; 0 decodes in threads.
      The numbers do not depend on it.
    crop: of training images: 'pad', moved by up to crop_padding; 'resized', a
      random part of 8 % of the area or more, at an aspect ratio of 3/4 to 4/3,
      resized to image_size. A stream takes that part from the image as stored,
      not squeezed into a square, and tests on the centre, 0.875 of the shorter
      side, as is usual on ImageNet.
    crop_padding: zero pixels put around an image before a random crop 'pad';
      fewer than the image has on a side.
    flip: whether images are mirrored left to right at random.
    jitter: strength of colour jitter: brightness, contrast and saturation are
      scaled by factors in [1 - jitter, 1 + jitter]; 0 switches it off.
    cutout: side in pixels of the square that is blanked; 0 blanks none.
  """

  source: str = 'digits'
  data_dir: str = ''
  image_size: int = 0
  background: str = 'white'
  test_fraction: float = 0.2
  held_out: float = 0.0
  split_seed: int = 0
  max_train: int = 0
  max_test: int = 0
  mean: tuple[float, ...] = ()
  std: tuple[float, ...] = ()
  stream: bool = False
  workers: int = 0
  crop: str = 'pad'
  crop_padding: int = 4
  flip: bool = True
  jitter: float = 0.0
  cutout: int = 0

  def __post_init__(self) -> None:
    settle(self, 'data.')
    require(self.source, 'data.source', bool, 'the name of a data set')
    sizes = 'image_size', 'max_train', 'max_test', 'crop_padding', 'cutout'
    for name in (*sizes, 'workers', 'split_seed'):
      at_least(self, name, 0, 'data.')
    check_choice('data.crop', self.crop, CROPS)
    require(
      self.background, 'data.background', _is_colour,
      "an opaque colour such as 'white', '#808080' or 'rgb(128, 128, 128)'",
    )  # fmt: skip
    require(self.jitter, 'data.jitter', lambda v: 0 <= v <= 1, 'in [0, 1]')
    if self.stream and not self.image_size:
      raise UserError(
        'data.stream needs data.image_size, the size in pixels that all its '
        'images get; got 0.'
      )
    require(
      self.test_fraction, 'data.test_fraction', lambda v: 0 < v < 1, 'in (0, 1)'
    )
    require(self.held_out, 'data.held_out', lambda v: 0 <= v < 1, 'in [0, 1)')
    require(
      self.std, 'data.std', lambda v: all(s > 0 for s in v), 'all above 0'
    )
