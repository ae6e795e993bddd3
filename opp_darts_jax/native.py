"""The C++ kernels of the folder kernels, built where there is a compiler.

The library is built when a program for CPU first asks for it, for the machine
at hand, and kept beside the compilation cache: the next process loads it. The
compiler is asked each time whether what was built still fits.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
from concurrent import futures
from typing import Any

import jax
import jaxlib
import numpy as np
from absl import logging

SOURCES = pathlib.Path(__file__).with_name('kernels')
TARGETS = (
  'depthwise_conv',
  'depthwise_kernel_grad',
  'separable',
  'separable_grad',
  'mixture',
  'mixture_jvp',
  'mixture_grad',
  'mixture_grad_jvp',
)
DTYPES = ('float32', 'float64')
_FLAGS = ('-O3', '-march=native', '-std=c++17', '-fPIC')


def cache_dir() -> pathlib.Path:
  """Where what was compiled is kept: `$XDG_CACHE_HOME/opp_darts_jax`."""
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return pathlib.Path(home) / 'opp_darts_jax'


def supports(*arrays: jax.Array) -> bool:
  """Whether the kernels can be called on these arrays, here."""
  dtypes = {array.dtype.name for array in arrays}
  return len(dtypes) == 1 and dtypes <= set(DTYPES) and available()


@functools.cache
def available() -> bool:
  """Whether the kernels are built and registered; tries to, once.

  They serve a single device: XLA cannot divide their work among several.
  """
  if jax.device_count() > 1:
    return False
  try:
    library = ctypes.cdll.LoadLibrary(str(_build()))
  except (OSError, subprocess.CalledProcessError) as error:
    reason = getattr(error, 'stderr', b'').decode(errors='replace')
    logging.info('No C++ kernels: %s %s', error, reason)
    return False
  for target in TARGETS:
    for dtype in DTYPES:
      name = f'{target}_{dtype}'
      capsule = jax.ffi.pycapsule(getattr(library, name))
      jax.ffi.register_ffi_target(name, capsule, platform='cpu')
  return True


def call(
  target: str,
  results: Any,
  *args: jax.Array,
  aliases: Any = None,
  **params: Any,
) -> Any:
  """Calls a kernel of `TARGETS`.

  Args:
    target: the kernel's name, without its type.
    results: shape and dtype of the result, or a list of them.
    args: arrays; the last one's dtype is the kernel's.
    aliases: {argument: the result that is the same memory}.
    params: the kernel's parameters, whole numbers or lists of them.
  """
  kernel = jax.ffi.ffi_call(
    f'{target}_{args[-1].dtype.name}',
    jax.tree.map(lambda r: jax.ShapeDtypeStruct(r.shape, r.dtype), results),
    input_output_aliases=aliases,
  )
  return kernel(
    *args, **{k: np.array(v, np.int64)[()] for k, v in params.items()}
  )


def _build() -> pathlib.Path:
  """The path of the library, compiled unless an earlier process has.

  Raises:
    OSError: if there is no compiler, or the cache cannot be written.
    subprocess.CalledProcessError: if the compiler fails.
  """
  named = shlex.split(os.environ.get('CXX', ''))
  compiler = named or [shutil.which('c++') or shutil.which('g++') or 'c++']
  # What the compiler says of itself and of the machine's instructions.
  macros = _run([*compiler, *_FLAGS, '-dM', '-E', '-x', 'c++', os.devnull])
  units = sorted(SOURCES.glob('*.cc'))
  key = hashlib.sha256(macros + f'{_FLAGS} {jaxlib.__version__}'.encode())
  for file in (*sorted(SOURCES.glob('*.h')), *units):
    key.update(file.read_bytes())
  path = cache_dir() / f'kernels-{key.hexdigest()[:16]}.so'
  if path.exists():
    return path
  path.parent.mkdir(parents=True, exist_ok=True)
  compile_one = [*compiler, *_FLAGS, '-isystem', jax.ffi.include_dir(), '-c']
  with tempfile.TemporaryDirectory(dir=path.parent) as folder:
    objects = [pathlib.Path(folder, f'{unit.stem}.o') for unit in units]
    with futures.ThreadPoolExecutor() as pool:
      jobs = [
        pool.submit(_run, [*compile_one, unit, '-o', result])
        for unit, result in zip(units, objects)
      ]
    for job in jobs:
      job.result()
    built = pathlib.Path(folder) / path.name
    _run([*compiler, '-shared', *objects, '-o', built])
    # Whole or not at all; whoever else built it meanwhile may use it already.
    with contextlib.suppress(FileExistsError):
      os.link(built, path)
  return path


def _run(command: list[Any]) -> bytes:
  return subprocess.run(command, check=True, capture_output=True).stdout
