"""What the CPU of this machine is, any device by its name, and all in use."""

import pathlib
import platform
import re

import jax

from opp_darts_jax.operations.cpu import native

_INFO = pathlib.Path('/proc/cpuinfo')
# By what Linux calls them; the widest first.
_VECTORS = {'avx512f': 'AVX-512', 'avx2': 'AVX2'}


def name_of(device: jax.Device) -> str:
  """A device by its name: a CPU's is that of the machine."""
  return processor() if device.platform == 'cpu' else device.device_kind


def processor() -> str:
  """A CPU by its name and its vectors, by which sums are rounded.

  'AMD EPYC with AVX2'; 'cpu' where nothing tells its name.
  """
  info = _INFO.read_text(errors='replace') if _INFO.exists() else ''
  named = re.search(r'^model name\s*: (.+)$', info, re.MULTILINE)
  name = named[1].strip() if named else platform.processor() or 'cpu'
  flags = re.search(r'^flags\s*: (.+)$', info, re.MULTILINE)
  have = flags[1].split() if flags else []
  vectors = [word for flag, word in _VECTORS.items() if flag in have]
  return f'{name} with {vectors[0]}' if vectors else name


def device() -> str:
  """What programs run on, and on CPU whose kernels they call."""
  first = jax.devices()[0]
  text = f'{name_of(first)} ({first.platform})'
  if jax.device_count() > 1:
    text = f'{jax.device_count()} of {text}'
    if jax.process_count() > 1:
      text += f' in {jax.process_count()} processes'
  if first.platform != 'cpu':
    return text
  if jax.device_count() > 1:
    return f"{text}, XLA's kernels"
  if native.available('first_order', 'float32'):
    return f'{text}, C++ kernels'
  return f"{text}, XLA's kernels: no C++ compiler has built the faster ones"
