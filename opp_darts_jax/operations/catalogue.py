"""The operations that genotypes may name anywhere, whatever the space."""

from collections.abc import Mapping

from opp_darts_jax.errors import check_choice
from opp_darts_jax.operations import convolutions, plain
from opp_darts_jax.operations.operation import Operation

OPERATIONS: Mapping[str, Operation] = {
  operation.name: operation
  for operation in (
    plain.none(),
    plain.max_pool_3x3(),
    plain.avg_pool_3x3(),
    plain.skip_connect(),
    convolutions.separable_conv(3),
    convolutions.separable_conv(5),
    convolutions.separable_conv(7),
    convolutions.dilated_conv(3),
    convolutions.dilated_conv(5),
    convolutions.conv_7x1_1x7(),
    plain.noise(),
  )
}


def named(*names: str) -> tuple[Operation, ...]:
  """The operations of these names, for a space to hold.

  Raises:
    UserError: on a name that the catalogue does not have.
  """
  for name in names:
    check_choice('operation', name, OPERATIONS)
  return tuple(OPERATIONS[name] for name in names)
