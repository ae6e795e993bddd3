"""Many devices: one mesh over all of them, batches divided, all else copied.

The statistics of norms are those of the whole batch, unless a config asks for
each device's own, and every device takes the same step: the result is that of
one device, but for the order of its sums.
"""

import os
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from opp_darts_jax.config import RunConfig
from opp_darts_jax.errors import UserError, first_line
from opp_darts_jax.operations.target import Target

AXIS = 'batch'


class Devices:
  """All devices of all processes, unless others are given.

  Args:
    devices: None takes all.
    target: None is what these are.

  Attributes:
    count: how many there are.
    copied: the sharding of what every device has whole.
    target: what programs for them are traced for.
  """

  def __init__(
    self,
    devices: list[jax.Device] | None = None,
    target: Target | None = None,
  ) -> None:
    devices = devices or jax.devices()
    self.count = len(devices)
    mesh = Mesh(np.array(devices), (AXIS,))
    self.copied = NamedSharding(mesh, PartitionSpec())
    self.target = target or Target(devices[0].platform, self.count, self.copied)
    self._divided = NamedSharding(mesh, PartitionSpec(AXIS))
    self._copy = jax.jit(lambda tree: tree, out_shardings=self.copied)

  def __eq__(self, other: object) -> bool:
    return isinstance(other, Devices) and self.target == other.target

  def __hash__(self) -> int:
    return hash(self.target)

  def check(
    self, batch_size: int, parts: int = 1, eval_batch_size: int = 0
  ) -> None:
    """Raises `UserError` unless each device gets as much of every part.

    Args:
      batch_size: images in a step.
      parts: into which the step divides its batch one after the other.
      eval_batch_size: images evaluated at a time, in one part; 0 is chosen.
    """
    whole = f'{self.count} device{"s" if self.count > 1 else ""}'
    if batch_size % (self.count * parts):
      raise UserError(
        f'batch_size must be a multiple of {self.count * parts}, for {whole} '
        f'and accumulate={parts}; got {batch_size}.'
      )
    if eval_batch_size % self.count:
      raise UserError(
        f'eval_batch_size must be a multiple of {self.count}, for {whole}, or '
        f'0; got {eval_batch_size}.'
      )

  def copy(self, tree: Any) -> Any:
    """A pytree with every leaf on every device."""
    if jax.process_count() == 1:
      return jax.device_put(tree, self.copied)
    # Keys cannot be put on the devices of other processes.
    return self._copy(tree)

  def own_rows(self, batch_size: int) -> list[int]:
    """The rows of a batch that go to devices of this process, ascending."""
    shares = self._divided.addressable_devices_indices_map((batch_size,))
    rows = np.arange(batch_size)
    return np.unique([rows[share] for share in shares.values()]).tolist()

  def join(self, own: Any) -> Any:
    """A pytree of divided batches, from the `own_rows` of every process."""
    return jax.tree.map(
      lambda rows: jax.make_array_from_process_local_data(self._divided, rows),
      own,
    )

  def divide(self, tree: Any) -> Any:
    """A pytree of traced values, each divided along its first axis."""
    if self.count == 1:
      return tree
    return jax.lax.with_sharding_constraint(tree, self._divided)


def devices_for(config: RunConfig) -> Devices:
  """All devices, for the run of a config.

  Raises:
    UserError: if its batches cannot be divided among them.
  """
  devices = Devices()
  devices.check(config.batch_size, config.accumulate, config.eval_batch_size)
  return devices


def arguments_on(devices: Devices, tree: Any) -> Any:
  """The shapes of a pytree, every leaf whole on each of the devices."""
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=devices.copied
    ),
    jax.eval_shape(lambda: tree) if _has_values(tree) else tree,
  )


def _has_values(tree: Any) -> bool:
  return not all(
    isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(tree)
  )


def distribute() -> None:
  """Joins the processes of a job, one a machine.

  Slurm, Cloud TPU and MPI say themselves who takes part. Elsewhere the
  environment does: `JAX_COORDINATOR_ADDRESS` (host:port of the first process),
  `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`.

  Raises:
    UserError: if nothing says it.
  """
  names = 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'
  try:
    number, own = (
      int(value) if value else None for value in map(os.environ.get, names)
    )
    jax.distributed.initialize(num_processes=number, process_id=own)
  except (ValueError, RuntimeError) as error:
    raise UserError(
      '--distributed needs Slurm, Cloud TPU, MPI, or JAX_COORDINATOR_ADDRESS, '
      'JAX_NUM_PROCESSES and JAX_PROCESS_ID in the environment; got: '
      f'{first_line(error)}.'
    ) from error


def any_process(asked: bool) -> bool:
  """Whether any of several processes asks for something.

  They agree on it here: all of them come here after the same steps.
  """
  if jax.process_count() == 1:
    return asked
  return bool(multihost_utils.process_allgather(np.array(asked)).any())
