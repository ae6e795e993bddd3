"""What a data set is, by content: to know again, in a few words and a digest.

Two runs are of the same images if the identities of their data sets are equal,
wherever the images lie.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from opp_darts_jax.data.decode import Encodings
from opp_darts_jax.data.split import Split

_DIGITS = 16  # of the 64 that SHA-256 has


class Identified(Protocol):
  """A data set, in memory or streamed."""

  @property
  def class_names(self) -> tuple[str, ...]:
    """Label k is class_names[k]."""

  @property
  def num_train(self) -> int:
    """How many images there are to train on."""

  @property
  def num_test(self) -> int:
    """How many images there are to test on."""

  @property
  def image_shape(self) -> tuple[int, ...]:
    """(H, W, C)."""

  @property
  def fingerprint(self) -> str:
    """A digest of the content."""


def identity(images: Identified) -> dict[str, Any]:
  """Returns classes, counts, shape and fingerprint as JSON has them."""
  return {
    'classes': list(images.class_names),
    'num_train': images.num_train,
    'num_test': images.num_test,
    'image_shape': list(images.image_shape),
    'fingerprint': images.fingerprint,
  }


def of_splits(class_names: Iterable[str], *splits: Split) -> str:
  """The fingerprint of decoded images, with their labels and class names."""
  digest = _digest(class_names)
  for images, labels in splits:
    _add(digest, repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    _add(digest, np.asarray(labels, '<i4').tobytes())
  return digest.hexdigest()[:_DIGITS]


def of_listings(class_names: Iterable[str], *splits: Encodings) -> str:
  """The fingerprint of stored images, by their marks: none is read."""
  digest = _digest(class_names)
  for images in splits:
    _add(digest, str(len(images)).encode())
    marks = getattr(images, 'marks', None)
    for mark in marks() if marks else [images.labels.astype('<i4').tobytes()]:
      _add(digest, mark)
  return digest.hexdigest()[:_DIGITS]


def _digest(class_names: Iterable[str]) -> 'hashlib._Hash':
  digest = hashlib.sha256()
  for name in class_names:
    _add(digest, name.encode())
  return digest


def _add(digest: 'hashlib._Hash', part: bytes) -> None:
  """Adds a part with its length, so that no two lists of parts are alike."""
  digest.update(len(part).to_bytes(8, 'little'))
  digest.update(part)
