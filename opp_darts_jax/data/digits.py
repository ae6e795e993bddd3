"""The digits of scikit-learn: 1,797 images of 8x8 pixels, always at hand."""

import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data.source import DataSource, Source
from opp_darts_jax.data.split import Split


def read(place: str, config: DataConfig) -> Source:
  """Reads the digits."""
  del place, config  # nothing to choose
  from sklearn import datasets  # a second to import

  digits = datasets.load_digits()
  images = np.round(digits.images * (255 / 16)).astype(np.uint8)
  names = tuple(str(name) for name in digits.target_names)
  return Source('digits', Split(images[..., None], digits.target), None, names)


SOURCE = DataSource('digits', read)
