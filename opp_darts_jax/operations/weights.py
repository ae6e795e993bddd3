"""Weights of layers, as Flax keeps them."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn


def param(
  module: nn.Module, name: str, init: Callable[..., Any], *args: Any
) -> Any:
  """`module.param`, but that weights that are there are taken as they are.

  Flax would trace `init` at every call to compare shapes, which takes a third
  of the time to trace a network.
  """
  if module.has_variable('params', name):
    return module.get_variable('params', name)
  return module.param(name, init, *args)
