"""Builds the C++ kernels with sanitizers and runs their checks.

python tests/operations/cpu/sanitize/run.py

AddressSanitizer and UndefinedBehaviorSanitizer see what lies beyond an array,
ThreadSanitizer what threads do to each other. The kernels are called as XLA
calls them, without XLA and Python, which sanitizers do not know.
"""

import pathlib
import subprocess
import sys
import tempfile
import time
from concurrent import futures

import jax

from opp_darts_jax.operations.cpu import native

CHECKS = pathlib.Path(__file__).parent / 'kernels_check.cc'
# Values are compared in float64 alone; threads do the same in both.
BUILDS = {'address,undefined': 'float64', 'thread': 'float32'}


def main() -> int:
  """Builds and runs all; the exit code."""
  command = native.compiler()
  if command is None:
    print('There is no C++ compiler to build the kernels with sanitizers.')
    return 1
  for sanitizers, dtype in BUILDS.items():
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
      failure = check(command, sanitizers, dtype, pathlib.Path(folder))
    if failure:
      print(f'-fsanitize={sanitizers}: {failure}')
      return 1
    seconds = time.monotonic() - begin
    print(f'-fsanitize={sanitizers}, {dtype}: nothing found ({seconds:.0f} s).')
  return 0


def check(
  command: list[str], sanitizers: str, dtype: str, folder: pathlib.Path
) -> str:
  """What went wrong in one build, or in what it saw; '' if nothing did."""
  flags = [
    *('-std=c++17', '-O1', '-g', '-march=native', '-fno-omit-frame-pointer'),
    *(f'-fsanitize={sanitizers}', '-fno-sanitize-recover=all'),
    f'-DOPP_DARTS_TYPE={native.DTYPES[dtype]}',
    *('-isystem', jax.ffi.include_dir(), '-I', native.SOURCES),
  ]
  empty = folder / 'empty.cc'
  empty.write_text('int main() {}')
  if run(*command, *flags, empty, '-o', folder / 'empty').returncode:
    return f'{command[0]} has no such sanitizers here.'
  units = [
    native.SOURCES / f'{unit}.cc'
    for library in native.LIBRARIES.values()
    for unit in library.units
  ]
  objects = {unit: folder / f'{unit.stem}.o' for unit in (*units, CHECKS)}
  with futures.ThreadPoolExecutor() as pool:
    jobs = [
      pool.submit(run, *command, *flags, '-c', unit, '-o', result)
      for unit, result in objects.items()
    ]
  for job in jobs:
    if job.result().returncode:
      return job.result().stderr
  built = folder / 'check'
  linked = run(*command, *flags, *objects.values(), '-o', built)
  if linked.returncode:
    return linked.stderr
  checked = run(built)
  return checked.stdout + checked.stderr if checked.returncode else ''


def run(*command: object) -> subprocess.CompletedProcess[str]:
  """Runs a command, and keeps what it says."""
  return subprocess.run(
    [str(word) for word in command],
    capture_output=True,
    text=True,
    errors='replace',
    check=False,
  )


if __name__ == '__main__':
  sys.exit(main())
