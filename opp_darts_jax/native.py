"""The C++ kernels of depthwise.cc, built where there is a compiler.

The library is built when a program for CPU first asks for it, for the machine
at hand, and kept beside the compilation cache: the next process loads it.
"""

import ctypes
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import jax
import numpy as np

SOURCE = pathlib.Path(__file__).with_name('depthwise.cc')
TARGETS = ('depthwise_conv', 'depthwise_kernel_grad')
DTYPES = ('float32', 'float64')
_FLAGS = ('-O3', '-march=native', '-std=c++17', '-shared', '-fPIC')


def cache_dir() -> pathlib.Path:
  """Where what was compiled is kept: `$XDG_CACHE_HOME/opp_darts_jax`."""
  home = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(home) / 'opp_darts_jax'


def supports(dtype: np.dtype) -> bool:
  """Whether the kernels can be called on arrays of this dtype, here."""
  return np.dtype(dtype).name in DTYPES and available()


@functools.cache
def available() -> bool:
  """Whether the kernels are built and registered; tries to, once."""
  try:
    library = ctypes.cdll.LoadLibrary(str(_build()))
  except (OSError, subprocess.CalledProcessError):
    return False
  for target in TARGETS:
    for dtype in DTYPES:
      name = f'{target}_{dtype}'
      capsule = jax.ffi.pycapsule(getattr(library, name))
      jax.ffi.register_ffi_target(name, capsule, platform='cpu')
  return True


def call(
  target: str, shape: tuple[int, ...], x: jax.Array, y: jax.Array, **params: int
) -> jax.Array:
  """Calls a kernel of `TARGETS`; the result has this shape and x's dtype."""
  kernel = jax.ffi.ffi_call(
    f'{target}_{x.dtype.name}', jax.ShapeDtypeStruct(shape, x.dtype)
  )
  return kernel(x, y, **{name: np.int64(v) for name, v in params.items()})


def _build() -> pathlib.Path:
  """The path of the library, compiled unless an earlier process has.

  Raises:
    OSError: if there is no compiler, or the cache cannot be written.
    subprocess.CalledProcessError: if the compiler fails.
  """
  compiler = os.environ.get('CXX') or shutil.which('c++') or shutil.which('g++')
  if not compiler:
    raise FileNotFoundError('no C++ compiler')
  include = jax.ffi.include_dir()
  # What the compiler says of itself and of the machine's instructions.
  macros = _run([compiler, *_FLAGS, '-dM', '-E', '-x', 'c++', os.devnull])
  key = hashlib.sha256(SOURCE.read_bytes() + macros + jax.__version__.encode())
  path = cache_dir() / f'depthwise-{key.hexdigest()[:16]}.so'
  if not path.exists():
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
      built = pathlib.Path(folder) / path.name
      _run([compiler, *_FLAGS, '-isystem', include, SOURCE, '-o', built])
      built.replace(path)  # Whole or not at all, whoever else builds it.
  return path


def _run(command: list[str | pathlib.Path]) -> bytes:
  return subprocess.run(command, check=True, capture_output=True).stdout
