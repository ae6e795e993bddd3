"""Pure functions that give the same object when they are asked once more."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar('Function', bound=Callable[..., Any])


def memoized(size: int) -> Callable[[Function], Function]:
  """`functools.lru_cache`, but that arguments may lack a hash.

  Programs are compiled once for the functions and records they are made of, so
  that these have to be the same objects. What has no hash is made anew.

  Args:
    size: how many results are kept.
  """

  def decorate(function: Function) -> Function:
    kept = functools.lru_cache(size)(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
      try:
        hash((args, tuple(kwargs.values())))
      except TypeError:
        return function(*args, **kwargs)
      return kept(*args, **kwargs)

    return call  # type: ignore[return-value]

  return decorate
