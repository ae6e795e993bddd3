"""Batches that devices divide: each runs the kernels on its share of them.

XLA cannot divide a kernel's work. What is summed over the batch is summed over
the devices, too: gradients of weights at the end, and moments of norms once a
list, unless each device goes by those of its own share.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from opp_darts_jax.operations.target import current

# Lists (n, B, H, W, C) are divided along B. Moments that are a device's own lie
# side by side, (n, C of all devices) or (n, 2, devices, C); all else is whole.
IMAGES = 5
_DIVIDED = {2: 1, 4: 2}


class Shares(NamedTuple):
  """Into how many parts a batch is divided, and by the axis of which mesh.

  Attributes:
    copied: the sharding of what each device has whole; None if there is one.
    devices: how many there are.
    own_norms: whether a norm goes by the moments of a device's own share.
  """

  copied: NamedSharding | None = None
  devices: int = 1
  own_norms: bool = False

  @property
  def apart(self) -> int:
    """How many parts of the batch are normalised by themselves."""
    return self.devices if self.own_norms else 1

  @property
  def together(self) -> int:
    """How many shares a norm sees."""
    return self.devices // self.apart

  def sum(self, x: Any) -> Any:
    """The sum over all devices of what each has."""
    return lax.psum(x, self._axis) if self.devices > 1 else x

  def sum_of_norm(self, x: Any) -> Any:
    """The sum over all devices whose shares a norm sees."""
    return self.sum(x) if self.together > 1 else x

  def sum_of_norms(self, x: Any) -> Any:
    """The sum over all devices of what `sum_of_norm` has given."""
    return self.sum(x) if self.apart > 1 else x

  def merged(self, mean: jax.Array, var: jax.Array) -> tuple[Any, Any]:
    """Moments of the batch by those of equal shares (Chan et al., 1979)."""
    if self.together == 1:
      return mean, var
    means, variances = lax.all_gather(
      jnp.stack([mean, var]), self._axis, axis=1
    )
    mean = means.mean(0)
    return mean, (variances + (means - mean) ** 2).mean(0)

  def run(self, function: Callable[..., Any], shapes: Any, *args: Any) -> Any:
    """Runs a function on each device's share of its arguments.

    Args:
      function: (arguments, of which lists have a share of the batch) -> results
        likewise; what is no list must be the same on every device.
      shapes: of the results, by the whole batch.
      *args: pytrees of arrays.
    """
    if self.devices == 1:
      return function(*args)
    assert self.copied is not None

    def spec(t):
      divided = _DIVIDED if self.own_norms else {}
      axis = 1 if t.ndim == IMAGES else divided.get(t.ndim)
      if axis is None:
        return PartitionSpec()
      return PartitionSpec(*[None] * axis, self._axis)

    return jax.shard_map(
      function,
      mesh=self.copied.mesh,
      in_specs=jax.tree.map(spec, args),
      out_specs=jax.tree.map(spec, shapes),
      check_vma=False,
    )(*args)

  @property
  def _axis(self) -> str:
    assert self.copied is not None
    return self.copied.mesh.axis_names[0]


def shares_of(batch: int) -> Shares:
  """Those of a batch in what is traced now."""
  target = current()
  if target.copied is None or target.devices == 1 or batch % target.devices:
    return Shares()
  return Shares(target.copied, target.devices, target.own_norms)
