"""The C++ kernels of the folder kernels, built where there is a compiler.

They are built when a program for CPU first asks for them, for the machine at
hand, and kept beside the compilation cache: the next process loads them. The
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
from typing import Any, NamedTuple

import jax
import jaxlib
import numpy as np
from absl import logging

SOURCES = pathlib.Path(__file__).with_name('kernels')
DTYPES = {'float32': 'F32', 'float64': 'F64'}  # XLA's names.
_FLAGS = ('-O3', '-march=native', '-std=c++17', '-fPIC')


class Library(NamedTuple):
  """Kernels that are built together, for each type when it is asked for.

  Attributes:
    units: their files.
    targets: what can be called.
  """

  units: tuple[str, ...]
  targets: tuple[str, ...]


LIBRARIES = {
  'first_order': Library(
    ('depthwise', 'separable', 'mixture'),
    (
      'depthwise_conv',
      'depthwise_kernel_grad',
      'separable',
      'separable_grad',
      'mixture',
      'mixture_grad',
    ),
  ),
  'second_order': Library(
    ('mixture_jvp',), ('mixture_jvp', 'mixture_grad_jvp')
  ),
}


def cache_dir() -> pathlib.Path:
  """Where what was compiled is kept: `$XDG_CACHE_HOME/opp_darts_jax`."""
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return pathlib.Path(home) / 'opp_darts_jax'


def supports(*arrays: jax.Array, library: str = 'first_order') -> bool:
  """Whether a library's kernels can be called on these arrays, here."""
  dtypes = {array.dtype.name for array in arrays}
  return (
    len(dtypes) == 1 and dtypes <= set(DTYPES) and available(library, *dtypes)
  )


@functools.cache
def available(name: str, dtype: str) -> bool:
  """Whether a library can be called on arrays of a type; builds it, once.

  Args:
    name: of `LIBRARIES`.
    dtype: of `DTYPES`.
  """
  if compiler() is None:
    logging.info('There is no C++ compiler for the kernels.')
    return False
  try:
    library = ctypes.cdll.LoadLibrary(str(_build(name, dtype)))
  except (OSError, subprocess.CalledProcessError) as error:
    reason = getattr(error, 'stderr', b'').decode(errors='replace')
    logging.warning('The C++ kernels were not built: %s %s', error, reason)
    return False
  for target in LIBRARIES[name].targets:
    capsule = jax.ffi.pycapsule(getattr(library, target))
    jax.ffi.register_ffi_target(f'{target}_{dtype}', capsule, platform='cpu')
  return True


def compiler() -> list[str] | None:
  """The C++ compiler's command: `$CXX` or the system's, if there is one."""
  command = shlex.split(os.environ.get('CXX', '')) or [
    'c++' if shutil.which('c++') else 'g++'
  ]
  return command if shutil.which(command[0]) else None


def call(
  target: str,
  results: Any,
  *args: jax.Array,
  aliases: Any = None,
  **params: Any,
) -> Any:
  """Calls a kernel.

  Args:
    target: of a library in `LIBRARIES`.
    results: shape and dtype of the result, or a list of them; the kernel's
      type is theirs.
    args: arrays.
    aliases: {argument: the result that is the same memory}.
    params: the kernel's parameters, whole numbers or lists of them.

  Raises:
    RuntimeError: if its library is not available.
  """
  shapes = jax.tree.map(
    lambda r: jax.ShapeDtypeStruct(r.shape, r.dtype), results
  )
  dtype = jax.tree.leaves(shapes)[0].dtype.name
  (name,) = (n for n, lib in LIBRARIES.items() if target in lib.targets)
  if not available(name, dtype):
    raise RuntimeError(f'There is no C++ kernel {target} for {dtype} here.')
  kernel = jax.ffi.ffi_call(
    f'{target}_{dtype}', shapes, input_output_aliases=aliases
  )
  return kernel(
    *args, **{k: np.array(v, np.int64)[()] for k, v in params.items()}
  )


def _build(name: str, dtype: str) -> pathlib.Path:
  """The path of a library, compiled unless an earlier process has.

  Raises:
    OSError: if there is no compiler, or the cache cannot be written.
    subprocess.CalledProcessError: if the compiler fails.
  """
  command = compiler() or ['c++']
  flags = [*_FLAGS, f'-DOPP_DARTS_TYPE={DTYPES[dtype]}']
  # What the compiler says of itself and of the machine's instructions.
  macros = _run([*command, *flags, '-dM', '-E', '-x', 'c++', os.devnull])
  units = [SOURCES / f'{unit}.cc' for unit in LIBRARIES[name].units]
  key = hashlib.sha256(macros + f'{_FLAGS} {jaxlib.__version__}'.encode())
  for file in (*sorted(SOURCES.glob('*.h')), *units):
    key.update(file.read_bytes())
  path = cache_dir() / f'{name}-{dtype}-{key.hexdigest()[:16]}.so'
  if path.exists():
    return path
  path.parent.mkdir(parents=True, exist_ok=True)
  compile_one = [*command, *flags, '-isystem', jax.ffi.include_dir(), '-c']
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
    _run([*command, '-shared', *objects, '-o', built])
    # Whole or not at all; whoever else built it meanwhile may use it already.
    with contextlib.suppress(FileExistsError):
      os.link(built, path)
  return path


def _run(command: list[Any]) -> bytes:
  return subprocess.run(command, check=True, capture_output=True).stdout
