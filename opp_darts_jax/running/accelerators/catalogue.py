"""Accelerators that programs are compiled for and judged by, there or not.

Memory, bandwidth and products a second are of the makers' public data sheets:
NVIDIA H100 SXM 80 GB, A100 SXM 80 GB (without sparsity), Google Cloud's pages
of TPU v5e and v6e. Seconds of a launch, of a wait and of a meeting stand on no
data sheet: they are assumptions, said in every answer that is made of them.
"""

import types
from collections.abc import Mapping
from typing import NamedTuple

from opp_darts_jax.errors import check_choice


class Accelerator(NamedTuple):
  """A device of an accelerator.

  Attributes:
    name: what `--target` calls it.
    kind: what JAX calls such a device.
    platform: 'gpu' or 'tpu', as a `jax.Device` says it.
    topology: what JAX calls the smallest set of them that can be had.
    config: what the compiler has to be told: a GPU's sizes, a TPU's type.
    cores: streaming multiprocessors of a GPU, cores of a TPU.
    memory: bytes.
    share: of the memory that JAX takes unless it is told otherwise.
    bandwidth: bytes that memory reads and writes a second.
    operations: floating-point operations a second, by the type: 'bfloat16', and
      float32 at each `precision` of a config.
    launch: seconds from one kernel to the next, an assumption: between kernels
      of a CUDA graph, or between instructions of a TPU's program.
    wait: seconds that the host takes to learn of a condition, an assumption; 0
      where the device decides by itself.
    meet: seconds that devices wait for each other in a collective, an
      assumption.
    measured: what steps took on such a device beside what is modelled; '' if
      none was measured.
  """

  name: str
  kind: str
  platform: str
  topology: str
  config: str
  cores: int
  memory: int
  share: float
  bandwidth: float
  operations: Mapping[str, float]
  launch: float
  wait: float
  meet: float
  measured: str = ''

  @property
  def lowered_for(self) -> str:
    """What JAX calls the platform that programs are lowered for."""
    return 'cuda' if self.platform == 'gpu' else self.platform


_GIB = 2**30
_GPU_LAUNCH, _GPU_WAIT, _GPU_SHARE = 2.5e-6, 30e-6, 0.75
_TPU_LAUNCH, _TPU_SHARE = 0.5e-6, 1.0
_GPU_MEET, _TPU_MEET = 20e-6, 5e-6


def _gpu_config(
  kind: str,
  capability: tuple[int, int],
  cores: int,
  shared: int,
  cache: int,
  clock: float,
  memory: int,
  bandwidth: float,
) -> str:
  """XLA's description of a GPU: sizes in bytes, the clock in GHz."""
  major, minor = capability
  return f"""
    gpu_device_info {{
      cuda_compute_capability {{ major: {major} minor: {minor} }}
      threads_per_block_limit: 1024 threads_per_warp: 32
      shared_memory_per_block: 49152 shared_memory_per_core: {shared}
      shared_memory_per_block_optin: {shared - 1024}
      threads_per_core_limit: 2048 core_count: {cores}
      fpus_per_core: {128 if major >= 9 else 64}
      block_dim_limit_x: 2147483647
      block_dim_limit_y: 65535 block_dim_limit_z: 65535
      memory_bandwidth: {bandwidth:.0f} l2_cache_size: {cache}
      clock_rate_ghz: {clock} device_memory_size: {memory}
      registers_per_core_limit: 65536 registers_per_block_limit: 65536
    }}
    platform_name: "CUDA"
    dnn_version_info {{ major: 9 minor: 8 }}
    runtime_version {{ major: 12 minor: 8 }}
    device_description_str: "{kind}"
  """


def _gpu(
  name: str,
  kind: str,
  capability: tuple[int, int],
  cores: int,
  shared: int,
  cache: int,
  clock: float,
  memory: int,
  bandwidth: float,
  operations: Mapping[str, float],
  measured: str = '',
) -> Accelerator:
  config = _gpu_config(
    kind, capability, cores, shared, cache, clock, memory, bandwidth
  )
  return Accelerator(
    name,
    kind,
    'gpu',
    '1x1x1',
    config,
    cores,
    memory,
    _GPU_SHARE,
    bandwidth,
    operations,
    _GPU_LAUNCH,
    _GPU_WAIT,
    _GPU_MEET,
    measured,
  )


def _tpu(
  name: str,
  kind: str,
  config: str,
  memory: int,
  bandwidth: float,
  bfloat16: float,
) -> Accelerator:
  """Float32 is 6 passes of bfloat16 on a TPU, at precision 'high' 3."""
  operations = {
    'bfloat16': bfloat16,
    'highest': bfloat16 / 6,
    'high': bfloat16 / 3,
    'default': bfloat16,
  }
  return Accelerator(
    name,
    kind,
    'tpu',
    f'{name}:2x2',
    config,
    1,
    memory,
    _TPU_SHARE,
    bandwidth,
    operations,
    _TPU_LAUNCH,
    0.0,
    _TPU_MEET,
  )


def _gpu_operations(
  bfloat16: float, tensor_float: float, float32: float
) -> dict[str, float]:
  return {
    'bfloat16': bfloat16,
    'highest': float32,
    'high': tensor_float,
    'default': tensor_float,
  }


ACCELERATORS: Mapping[str, Accelerator] = types.MappingProxyType(
  {
    accelerator.name: accelerator
    for accelerator in (
      _gpu(
        'h100', 'NVIDIA H100 80GB HBM3', (9, 0), 132, 233472, 52428800, 1.98,
        84978434048, 3.35232e12, _gpu_operations(989e12, 495e12, 67e12),
        'a step of config cifar10 took 66 ms there, modelled as 16',
      ),
      _gpu(
        'a100', 'NVIDIA A100-SXM4-80GB', (8, 0), 108, 167936, 41943040, 1.41,
        84987740160, 2.039e12, _gpu_operations(312e12, 156e12, 19.5e12),
      ),
      _tpu('v5e', 'TPU v5 lite', 'v5litepod-4', 16 * _GIB, 0.819e12, 197e12),
      _tpu('v6e', 'TPU v6 lite', 'v6e-4', 32 * _GIB, 1.64e12, 918e12),
    )
  }
)  # fmt: skip


def get_accelerator(name: str) -> Accelerator:
  """The accelerator of a name.

  Raises:
    UserError: if there is none; it lists the valid names.
  """
  check_choice('target', name, ACCELERATORS)
  return ACCELERATORS[name]
