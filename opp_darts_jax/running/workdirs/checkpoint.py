"""Checkpoints of a run through orbax: saved in the background, whole or not.

A checkpoint has three parts: the state, what the run knows beside it, and a
manifest of the state's leaves, by which a restore knows what it is about to
read, and afterwards that it is what was written.
"""

import copy
import dataclasses
import pathlib
import shutil
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from opp_darts_jax.errors import CheckpointError, WriteError, first_line
from opp_darts_jax.recorded import METRICS
from opp_darts_jax.running.workdirs.metrics import read_epochs

KEPT = 2
FOLDER = 'checkpoints'


class Restored(NamedTuple):
  """A checkpoint: the state, and what a run knows beside it."""

  state: Any
  progress: dict[str, Any]


class Checkpoints:
  """The checkpoints under a run's workdir; a context manager.

  The newest `KEPT` are kept.

  Args:
    workdir: of the run; they lie in its folder `checkpoints`.
    say: prints a line.
  """

  def __init__(
    self, workdir: pathlib.Path, say: Callable[[str], None] = print
  ) -> None:
    self._folder = (workdir / FOLDER).absolute()
    self._say = say
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=KEPT, cleanup_tmp_directories=True
      ),
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
    try:
      self._manager.close()  # Waits for a save that is still being written.
    except Exception as failure:
      if error is None:
        raise self._write_error(failure) from failure

  def save(self, step: int, state: Any, progress: Mapping[str, Any]) -> None:
    """Saves the state after `step` steps, in the background.

    Args:
      step: of the run; nothing is written if this step is there already.
      state: pytrees of arrays by name.
      progress: what JSON can hold; as it is now, whatever it becomes while it
        is being written.

    Raises:
      WriteError: if it, or the one before, could not be written.
    """
    if self._manager.latest_step() == step:
      return
    self._check_room(state)
    manifest = {
      'leaves': _leaves(state),
      'checksum': _checksum(state),
    }
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(_without_nothing(state)),
          progress=ocp.args.JsonSave(copy.deepcopy(dict(progress))),
          manifest=ocp.args.JsonSave(manifest),
        ),
      )
    except Exception as error:  # Whatever a storage may raise.
      raise self._write_error(error) from error

  def restore(self, like: Any) -> Restored | None:
    """The newest checkpoint that can be read; None if there is none at all.

    One that is damaged is moved aside, into the workdir, if one before it is
    whole.

    Args:
      like: arrays, or their shapes, dtypes and shardings; where their form
        depends on it, a function of what the run knew beside them.

    Raises:
      CheckpointError: if it is of another state, or none is whole.
    """
    damaged: list[tuple[int, Exception]] = []
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        restored = self._read(step, like)
      except CheckpointError:
        raise
      except Exception as error:  # noqa: BLE001 Of all kinds, as it may be.
        damaged.append((step, error))
        continue
      self._set_aside(damaged, step)
      return restored
    if damaged:
      step, reason = damaged[0]
      raise CheckpointError(
        f'No checkpoint in {self._folder} can be read, the newest one, of step '
        f'{step}, because of {first_line(reason)}; restore the folder from a '
        'copy, or begin anew in another --workdir.'
      ) from reason
    return None

  def _read(self, step: int, like: Any) -> Restored:
    items = {
      'progress': ocp.args.JsonRestore(),
      'manifest': ocp.args.JsonRestore(),
    }
    known = self._manager.restore(step, args=ocp.args.Composite(**items))
    if callable(like):
      like = like(known.progress)
    expected, found = _leaves(like), known.manifest['leaves']
    names = {**expected, **found}
    wrong = [n for n in names if expected.get(n) != found.get(n)]
    if wrong:
      raise CheckpointError(
        f'The checkpoint of step {step} in {self._folder} belongs to another '
        f'run: {wrong[0]} should be {expected.get(wrong[0], "absent")} and is '
        f'{found.get(wrong[0], "absent")} ({len(wrong)} such in all).'
      )
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    stored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore(_without_nothing(shapes))
      ),
    ).state
    state = {
      name: dataclasses.replace(node, **stored[name])
      if _has_fields(node)
      else stored[name]
      for name, node in like.items()
    }
    if _checksum(state) != known.manifest['checksum']:
      raise ValueError('a checksum that does not fit')
    return Restored(state, known.progress)

  def _set_aside(self, damaged: list[tuple[int, Exception]], step: int) -> None:
    for number, error in damaged:
      aside = self._folder.parent / f'damaged_checkpoint_{number}'
      self._say(
        f'The checkpoint of step {number} is damaged ({first_line(error)}): '
        f'going on from the one of step {step}; it was moved to {aside}.'
      )
      if jax.process_index() == 0:
        shutil.rmtree(aside, ignore_errors=True)
        (self._folder / str(number)).rename(aside)
    if damaged:
      # Of several processes none may look before the first one has moved them,
      # or they differ in what is there, and wait for each other in vain.
      multihost_utils.sync_global_devices('damaged checkpoints set aside')
      self._manager.reload()

  def _check_room(self, state: Any) -> None:
    """Raises `WriteError` before a disk is filled to the brim in vain."""
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(self._folder).free
    if free < needed:
      raise WriteError(
        f'A checkpoint of {needed / 1e6:.1f} MB must fit on the disk of '
        f'{self._folder}, which has {free / 1e6:.1f} MB free; make room and '
        'give the same command again.'
      )

  def _write_error(self, error: Exception) -> WriteError:
    return WriteError(
      f'A checkpoint could not be written to {self._folder}: '
      f'{first_line(error)}; make room and give the same command again.'
    )


def _without_nothing(tree: Any) -> Any:
  """The tree, but fields of states that are None are not there at all.

  So a field that a later release adds, and a run does not use, does not part
  its checkpoints from those of an earlier one.
  """

  def fields(node):
    pairs = ((f.name, getattr(node, f.name)) for f in dataclasses.fields(node))
    return {name: value for name, value in pairs if value is not None}

  return {
    name: fields(node) if _has_fields(node) else node
    for name, node in tree.items()
  }


def _has_fields(node: Any) -> bool:
  return dataclasses.is_dataclass(node)


def _leaves(state: Any) -> dict[str, str]:
  """Name of each leaf -> its dtype and shape."""
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): (
      f'{np.dtype(leaf.dtype).name}{list(leaf.shape)}'
    )
    for path, leaf in jax.tree.leaves_with_path(state)
  }


def _checksum(state: Any) -> int:
  checksum = 0
  for leaf in jax.device_get(jax.tree.leaves(state)):
    # Bytes, as the buffers of some types, such as bfloat16, are not readable.
    data = np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
    checksum = zlib.crc32(data.data, checksum)
  return checksum


def newest_step(workdir: pathlib.Path) -> int:
  """Of the newest checkpoint in a run's workdir; 0 if there is none."""
  names = (path.name for path in (workdir / FOLDER).glob('*'))
  return max((int(name) for name in names if name.isdecimal()), default=0)


def check_new(folder: pathlib.Path) -> None:
  """Raises `CheckpointError` if a run without checkpoints has gone far.

  The checkpoint of an epoch is written before that of the next one begins to
  be: with three whole epochs there was one.
  """
  epochs = read_epochs(folder)
  if len(epochs) > 2 and jax.process_index() == 0:
    raise CheckpointError(
      f'{folder / METRICS} has the numbers of {len(epochs)} epochs, but '
      f'{folder / FOLDER} has no checkpoint to go on from; put it back, or '
      'begin anew in another --workdir.'
    )
