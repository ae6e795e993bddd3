"""Tests of what a CPU is called, and all that is in use."""

import platform

import jax
import pytest

from opp_darts_jax.running import processor

_AMD = 'model name\t: AMD EPYC\nflags\t\t: fpu avx avx2\n'
_INTEL = 'model name\t: Intel(R) Xeon(R)\nflags\t\t: avx2 avx512f avx512bw\n'


@pytest.mark.parametrize(
  ('info', 'name'),
  [
    (_AMD, 'AMD EPYC with AVX2'),
    (_INTEL + _INTEL, 'Intel(R) Xeon(R) with AVX-512'),
    ('model name\t: Old\nflags\t\t: sse\n', 'Old'),
    ('processor\t: 0\nFeatures\t: asimd\n', 'aarch64'),  # Of Linux on Arm.
    (None, 'aarch64'),
  ],
)
def test_a_name_and_vectors(info, name, tmp_path, monkeypatch):
  path = tmp_path / 'cpuinfo'
  if info is not None:
    path.write_text(info)
  monkeypatch.setattr(processor, '_INFO', path)
  monkeypatch.setattr(platform, 'processor', lambda: 'aarch64')
  assert processor.processor() == name
  monkeypatch.setattr(platform, 'processor', lambda: '')
  assert processor.processor() == (name if name != 'aarch64' else 'cpu')


@pytest.mark.parametrize(
  ('available', 'words'),
  [(True, 'C++ kernels'), (False, "XLA's kernels: no C++ compiler")],
)
def test_the_device_says_whose_kernels_it_calls(monkeypatch, available, words):
  monkeypatch.setattr(processor.native, 'available', lambda *_: available)
  device = jax.devices()[0]
  line = processor.device()
  named = device.platform == 'cpu'
  name = processor.processor() if named else device.device_kind
  assert line.startswith(f'{name} ({device.platform})')
  assert (words in line) == (device.platform == 'cpu')
