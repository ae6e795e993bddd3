"""Batches of a stream, decoded in threads or in processes."""

import dataclasses
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from absl import flags

from opp_darts_jax.data.catalogue import find_source
from opp_darts_jax.errors import UserError, first_line

Batch = tuple[np.ndarray, np.ndarray]

_DECODED = 64  # images that wait in each process
_SHARED = 16  # images of each worker that wait in shared memory


def batches(
  images: Any,
  batch_size: int,
  own: Sequence[int] | None,
  workers: int,
  source: str,
) -> Generator[Batch, None, None]:
  """Decodes a `grain.MapDataset` of whole batches and stacks its images.

  Single images pass from the workers, as whole batches take more shared
  memory than many containers have.

  Args:
    images: each is decoded when it is asked for.
    batch_size: images in a batch.
    own: which rows of each batch are read, ascending; None is all.
    workers: processes; 0 decodes in threads.
    source: that the images are of, as a config names it.

  Yields:
    Images uint8 (B, H, W, C) and labels int32 (B,), of these rows.

  Raises:
    DataError: if an image cannot be read.
    UserError: if a worker ended.
  """
  import grain  # a second to import

  if not flags.FLAGS.is_parsed():  # grain looks at flags of its own.
    flags.FLAGS.mark_as_parsed()
  if own is not None:
    images = grain.MapDataset.source(_Share(images, batch_size, own))
    batch_size = len(own)
  read = grain.ReadOptions(2 if workers else 16, _DECODED)
  decoded = images.to_iter_dataset(read).mp_prefetch(
    grain.MultiprocessingOptions(workers, _SHARED),
    functools.partial(_start_worker, source),
  )
  stacked = iter(decoded.batch(batch_size))
  try:
    yield from stacked
  except RuntimeError as error:
    if 'Worker process' not in str(error):
      raise
    raise UserError(
      f'A process that decodes images ended ({first_line(error)}); if memory '
      'ran out, take fewer by --config.data.workers.'
    ) from error
  finally:
    stacked.close()


@dataclasses.dataclass(frozen=True, eq=False)
class _Share:
  """What a process reads of batches that it shares with others.

  Attributes:
    images: of whole batches, one after the other.
    batch_size: images in a batch.
    own: rows of each batch.
  """

  images: Sequence[Any]
  batch_size: int
  own: Sequence[int]

  def __len__(self) -> int:
    return len(self.images) // self.batch_size * len(self.own)

  def __getitem__(self, index: int) -> Any:
    batch, row = divmod(index, len(self.own))
    return self.images[batch * self.batch_size + self.own[row]]


def _start_worker(source: str, index: int, count: int) -> None:
  """Has a worker leave signals to the main process, and end with it."""
  del index, count
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, signal.SIG_IGN)

  def follow() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

  threading.Thread(target=follow, daemon=True).start()
  # Images that are sent next may be of types that only the user's file has.
  find_source(source)
