"""What the profiler of JAX saw of a run."""

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax


def profiled(run: Callable[[], Any]) -> jax.profiler.ProfileData:
  """The profile of a function, which waits for what it starts."""
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      run()
    (path,) = pathlib.Path(folder).rglob('*.xplane.pb')
    return jax.profiler.ProfileData.from_file(str(path))
