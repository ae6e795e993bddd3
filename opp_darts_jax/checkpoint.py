"""Checkpoints of a run, one an epoch, through orbax."""

import pathlib
from typing import Any, NamedTuple, Self

import jax
import orbax.checkpoint as ocp

KEPT = 2


class Restored(NamedTuple):
  """A checkpoint: the state, and what a run knows beside it."""

  state: Any
  progress: dict[str, Any]


class Checkpoints:
  """The checkpoints under a run's workdir; a context manager.

  Args:
    workdir: of the run; they lie in its folder `checkpoints`.
  """

  def __init__(self, workdir: pathlib.Path):
    self._manager = ocp.CheckpointManager(
      (workdir / 'checkpoints').absolute(),
      options=ocp.CheckpointManagerOptions(max_to_keep=KEPT),
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc: object) -> None:
    self._manager.close()  # Waits for a save that is still being written.

  def save(self, epoch: int, state: Any, progress: dict[str, Any]) -> None:
    """Saves the state after `epoch` epochs, in the background."""
    self._manager.save(
      epoch,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        progress=ocp.args.JsonSave(progress),
      ),
    )

  def restore(self, like: Any) -> Restored | None:
    """The newest checkpoint, shaped like the given state; None without one."""
    epoch = self._manager.latest_step()
    if epoch is None:
      return None
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    saved = self._manager.restore(
      epoch,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore(shapes),
        progress=ocp.args.JsonRestore(),
      ),
    )
    return Restored(saved.state, saved.progress)
