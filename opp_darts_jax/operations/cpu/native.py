"""The C++ kernels of the folder kernels, built where there is a compiler.

They are built when a program for CPU first asks for them, for the machine at
hand, and kept beside the compilation cache: the next process loads them. The
compiler is asked each time whether what was built still fits. Where they cannot
be built or loaded, one warning says why, and XLA's operations serve.
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
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any, NamedTuple

import filelock
import jax
import jaxlib
import numpy as np
from absl import logging

SOURCES = pathlib.Path(__file__).with_name('kernels')
DTYPES = {'float32': 'F32', 'float64': 'F64'}  # XLA's names.
_FLAGS = ('-march=native', '-std=c++17', '-fPIC')
# float64 is what derivatives are checked in: built in a third of the time.
_LEVELS = {'float32': '-O3', 'float64': '-Og'}
_TIMEOUT = 1200  # Seconds, of one file; a compiler that hangs is given up.
_LOCK = threading.RLock()


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


def available(name: str, dtype: str) -> bool:
  """Whether a library can be called on arrays of a type; builds it, once.

  Of several threads that ask one builds, the others wait.

  Args:
    name: of `LIBRARIES`.
    dtype: of `DTYPES`.
  """
  with _LOCK:
    return _available(name, dtype)


@functools.cache
def _available(name: str, dtype: str) -> bool:
  if compiler() is None:
    logging.info('There is no C++ compiler for the kernels.')
    return False
  try:
    library = ctypes.cdll.LoadLibrary(str(_build(name, dtype)))
    targets = {t: getattr(library, t) for t in LIBRARIES[name].targets}
  except (OSError, AttributeError, subprocess.SubprocessError) as error:
    said = getattr(error, 'stderr', None) or b''
    logging.warning(
      'The C++ kernels cannot be used, slower operations take their place: %s. '
      '%s is where they are kept ($XDG_CACHE_HOME moves it), %s builds them. '
      '%s',
      error,
      cache_dir(),
      shlex.join(compiler() or ['$CXX']),
      said.decode(errors='replace'),
    )
    return False
  for target, function in targets.items():
    capsule = jax.ffi.pycapsule(function)
    jax.ffi.register_ffi_target(f'{target}_{dtype}', capsule, platform='cpu')
  return True


def compiler() -> list[str] | None:
  """The C++ compiler's command: `$CXX` or the system's, if there is one."""
  try:
    command = shlex.split(os.environ.get('CXX', ''))
  except ValueError:  # A quotation mark without another.
    return None
  command = command or ['c++' if shutil.which('c++') else 'g++']
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

  Its name has digests of what it is made of, and of what is in it.

  Raises:
    OSError: if there is no compiler, or the cache cannot be written.
    subprocess.SubprocessError: if the compiler fails or hangs.
  """
  command = compiler() or ['c++']
  flags = [_LEVELS[dtype], *_FLAGS, f'-DOPP_DARTS_TYPE={DTYPES[dtype]}']
  # What the compiler says of itself and of the machine's instructions.
  macros = _run([*command, *flags, '-dM', '-E', '-x', 'c++', os.devnull])
  units = [SOURCES / f'{unit}.cc' for unit in LIBRARIES[name].units]
  key = hashlib.sha256(macros + f'{flags} {jaxlib.__version__}'.encode())
  for file in (*sorted(SOURCES.glob('*.h')), *units):
    key.update(file.read_bytes())
  stem = f'{name}-{dtype}-{key.hexdigest()[:16]}'
  if found := _built(stem):
    return found
  cache_dir().mkdir(parents=True, exist_ok=True)
  with _alone(stem):
    return _built(stem) or _compile(stem, [*command, *flags], units)


@contextlib.contextmanager
def _alone(stem: str) -> Iterator[None]:
  """Lets one process of this machine compile a library; others wait for it."""
  lock = filelock.FileLock(cache_dir() / f'{stem}.lock', timeout=_TIMEOUT)
  # Where nothing can be locked, or the other hangs, it is compiled twice.
  with contextlib.suppress(OSError, NotImplementedError):
    lock.acquire()
  try:
    yield
  finally:
    lock.release()


def _built(stem: str) -> pathlib.Path | None:
  """The library, if there is one."""
  for path in sorted(cache_dir().glob(f'{stem}-*.so')):
    # To load one that was cut off would kill the process.
    if path.name == f'{stem}-{_digest(path)}.so':
      return path
  return None


def _compile(
  stem: str, command: list[str], units: list[pathlib.Path]
) -> pathlib.Path:
  compile_one = [*command, '-isystem', jax.ffi.include_dir(), '-c']
  with tempfile.TemporaryDirectory(
    dir=cache_dir(), ignore_cleanup_errors=True
  ) as folder:
    objects = [pathlib.Path(folder, f'{unit.stem}.o') for unit in units]
    with futures.ThreadPoolExecutor() as pool:
      jobs = [
        pool.submit(_run, [*compile_one, unit, '-o', result])
        for unit, result in zip(units, objects)
      ]
    for job in jobs:
      job.result()
    built = pathlib.Path(folder) / f'{stem}.so'
    _run([*(compiler() or ['c++']), '-shared', *objects, '-o', built])
    path = cache_dir() / f'{stem}-{_digest(built)}.so'
    os.replace(built, path)  # Whole or not at all.
  return path


def _digest(path: pathlib.Path) -> str:
  return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _run(command: list[Any]) -> bytes:
  return subprocess.run(
    command, check=True, capture_output=True, timeout=_TIMEOUT
  ).stdout
