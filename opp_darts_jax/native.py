"""The C++ kernels of the folder kernels, built where there is a compiler.

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
from concurrent import futures
from typing import Any

import jax
import numpy as np

SOURCES = pathlib.Path(__file__).with_name('kernels')
TARGETS = (
  'depthwise_conv',
  'depthwise_kernel_grad',
  'separable',
  'separable_grad',
  'mixture',
  'mixture_grad',
)
DTYPES = ('float32', 'float64')
_FLAGS = ('-O3', '-march=native', '-std=c++17', '-fPIC')


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


def call(target: str, results: Any, *args: jax.Array, **params: Any) -> Any:
  """Calls a kernel of `TARGETS`.

  Args:
    target: the kernel's name, without its type.
    results: shape and dtype of the result, or a list of them.
    args: arrays; the last one's dtype is the kernel's.
    params: the kernel's parameters, whole numbers or lists of them.
  """
  kernel = jax.ffi.ffi_call(
    f'{target}_{args[-1].dtype.name}',
    jax.tree.map(lambda r: jax.ShapeDtypeStruct(r.shape, r.dtype), results),
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
  compiler = os.environ.get('CXX') or shutil.which('c++') or shutil.which('g++')
  if not compiler:
    raise FileNotFoundError('no C++ compiler')
  # What the compiler says of itself and of the machine's instructions.
  macros = _run([compiler, *_FLAGS, '-dM', '-E', '-x', 'c++', os.devnull])
  files = sorted(SOURCES.iterdir())
  key = hashlib.sha256(macros + jax.__version__.encode())
  for file in files:
    key.update(file.read_bytes())
  path = cache_dir() / f'kernels-{key.hexdigest()[:16]}.so'
  if path.exists():
    return path
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=path.parent) as folder:
    objects = [
      pathlib.Path(folder, file.name).with_suffix('.o')
      for file in files
      if file.suffix == '.cc'
    ]
    include = ('-isystem', jax.ffi.include_dir())
    with futures.ThreadPoolExecutor() as pool:
      list(
        pool.map(
          lambda o: _run(
            [
              compiler,
              *_FLAGS,
              *include,
              '-c',
              SOURCES / f'{o.stem}.cc',
              '-o',
              o,
            ]
          ),
          objects,
        )
      )
    built = pathlib.Path(folder) / path.name
    _run([compiler, '-shared', *objects, '-o', built])
    built.replace(path)  # Whole or not at all, whoever else builds it.
  return path


def _run(command: list[Any]) -> bytes:
  return subprocess.run(command, check=True, capture_output=True).stdout
