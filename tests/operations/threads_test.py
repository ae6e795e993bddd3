"""The C++ kernels by threads that work together; the tests have one."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest
from launched import QUICK

from opp_darts_jax.operations.cpu import native

# What other files test by one thread, on arrays that are worth sharing.
_CALLS = """
import depthwise_test
import jax
import separable_test
from cpu import mixture_test, native_test

depthwise_test.test_kernels_in_float64_and_on_several_threads()
native_test.test_too_little_memory_is_an_error_of_the_call(64)
separable_test.test_kernels_are_their_parts((30, 16, 16, 8), 8, 5, 1, 1)
with jax.enable_x64(True):
  mixture_test.test_states_statistics_and_gradients(9, 40, 1, 1)
  mixture_test.test_derivatives_of_gradients(4, 40, 1, 1)
"""


@pytest.mark.skipif(native.compiler() is None, reason='there is no compiler')
def test_several_threads_compute_what_one_does():
  cache = {'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir}
  paths = os.pathsep.join([str(pathlib.Path(__file__).parent), *sys.path])
  done = subprocess.run(
    [sys.executable, '-c', _CALLS],
    env=os.environ | QUICK | cache | {'NPROC': '3', 'PYTHONPATH': paths},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
