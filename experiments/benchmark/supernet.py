"""Times a step of our supernet against a plain PyTorch one, in one run.

  pip install -e '.[benchmark]'
  python experiments/benchmark/supernet.py --size=small --ops=1,4,8 \
    --modes=forward,weight,first,second --out=results.json

Both get the same weights, and their logits and gradients are asserted equal
before anything is timed. Then rounds alternate between the two; a figure is the
median over rounds of milliseconds a step. Ours runs as a search runs it, many
steps a dispatch; PyTorch eagerly, at the better of two memory formats. 'second'
is our exact second order against PyTorch's finite differences, as published;
'second_fd' takes finite differences on both sides. Compile times include
tracing and start from an empty cache; one program serves every number of
operations.
"""

import os

# Spinning threads of OpenMP would slow down whatever runs beside them.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from absl import app, flags
from peers import build_peer
from rounds import alternate, chained, repeated
from steps import (
  ENTRY,
  MODES,
  SIZES,
  SPACE,
  build_steps,
  environment,
  masked,
  set_up,
  start,
  temp_mb,
)

from opp_darts_jax import files
from opp_darts_jax.methods.state import Batch, SearchState
from opp_darts_jax.methods.tables import softmax_weights
from opp_darts_jax.networks.export.torch_weights import supernet_to_torch
from opp_darts_jax.supernet.cell import LAYOUTS
from opp_darts_jax.supernet.supernet import Supernet

_SIZE = flags.DEFINE_enum(
  'size', 'small', list(SIZES), 'small: C 8, 5 cells, batch 32; full: 16, 8, 64'
)
_OPS = flags.DEFINE_list('ops', ['1', '4', '8'], 'numbers of operations')
_MODES = flags.DEFINE_list('modes', list(MODES[:4]), ', '.join(MODES))
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'rounds of each', lower_bound=1)
_STEPS = flags.DEFINE_integer('steps', 2, 'steps a round', lower_bound=1)
_LAYOUT = flags.DEFINE_enum(
  'layout', 'auto', ['auto', *LAYOUTS], "how a cell's edges are run"
)
_PEER = flags.DEFINE_bool('peer', True, 'time PyTorch too')
_OUT = flags.DEFINE_string('out', None, 'a JSON file for the rows')

flags.register_validator(
  'modes', lambda modes: set(modes) <= set(MODES), f'must be among {MODES}'
)
flags.register_validator(
  'ops',
  lambda ops: all(o.isdigit() and 1 <= int(o) <= len(ENTRY) for o in ops),
  f'must be numbers from 1 to {len(ENTRY)}',
)


Gradients = Callable[[SearchState], tuple[Any, jax.Array]]


class Ours(NamedTuple):
  """The compiled program of a mode.

  Attributes:
    run: (state, steps) -> the state afterwards; the one given is consumed.
    compile_s: tracing and compiling, from an empty cache.
    temp_mb: temporary memory.
  """

  run: Callable[[SearchState, int], SearchState]
  compile_s: float
  temp_mb: float


def build_ours(mode: str, *args: Any) -> Ours:
  """Compiles a mode's steps; see `build_steps`."""
  begin = time.perf_counter()
  compiled = build_steps(mode, *args)
  seconds = time.perf_counter() - begin
  return Ours(
    lambda state, count: jax.block_until_ready(compiled(state, count)),
    seconds,
    temp_mb(compiled),
  )


def to_double(tree: Any) -> Any:
  """All float32 leaves as float64."""
  return jax.tree.map(
    lambda t: t.astype(jnp.float64) if t.dtype == jnp.float32 else t, tree
  )


def build_gradients(model: Supernet, batch: Batch) -> Gradients:
  """(state) -> gradients for weights and alphas, and logits; compiled once."""

  def loss(weights, alphas, state):
    logits, _ = model.apply(
      {'params': weights, 'batch_stats': state.batch_stats},
      batch.images,
      softmax_weights(SPACE, alphas, state.mask),
      state.mask,
      True,
      mutable=['batch_stats'],
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(
      logits, batch.labels
    )
    return losses.mean(), logits

  gradients = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
  return lambda state: gradients(state.weights, state.alphas, state)


def assert_equal(
  model: Supernet,
  gradients: Gradients,
  state: SearchState,
  batch: Batch,
  operations: tuple[str, ...],
) -> None:
  """Compares logits and gradients in float64: float32 rounds away from both."""
  grads, logits = gradients(state)
  weights = supernet_to_torch({'params': grads[0]}, model, operations)
  peer = build_peer(model, state, operations, (batch, batch), False)
  theirs = peer.model(peer.train[0], peer.alphas)
  peer.loss(peer.train).backward()
  columns = [SPACE.names.index(name) for name in operations]
  pairs = [
    ('logits', np.asarray(logits), theirs),
    *(
      (f'alphas of {cell}', np.asarray(grads[1][cell])[:, columns], a.grad)
      for cell, a in peer.alphas.items()
    ),
    (
      'weights',
      np.concatenate(
        [weights[name].ravel() for name, _ in peer.model.named_parameters()]
      ),
      torch.cat([w.grad.flatten() for w in peer.model.parameters()]),
    ),
  ]
  for name, ours, tensor in pairs:
    expected = tensor.detach().cpu().numpy()
    difference = np.linalg.norm(ours - expected)
    # The alphas of a single operation have no gradient: both are zero.
    largest = 1e-6 * np.linalg.norm(expected)
    assert difference <= largest, f'{name}: {difference:.1e} > {largest:.1e}'


def main(argv: list[str]) -> None:
  """Prints and writes a row for each number of operations and mode."""
  del argv
  task, initial, train, val = start(_SIZE.value, len(ENTRY), _LAYOUT.value)
  model = task.model.clone(compute='')  # Of the images' type, float64 too.
  set_up()
  programs = {
    mode: build_ours(mode, task, initial, train, val) for mode in _MODES.value
  }
  with jax.enable_x64(True):
    # A few images: float64 at full size takes tens of gigabytes.
    double = to_double(jax.tree.map(lambda t: t[:8], train))
    gradients = build_gradients(model, double)
  rows: list[dict[str, Any]] = []
  for count in map(int, _OPS.value):
    state, operations = masked(initial, count)
    peers = {}
    for layout in ('contiguous', 'channels_last') if _PEER.value else ():
      last = layout == 'channels_last'
      peers[layout] = build_peer(model, state, operations, (train, val), last)
    if peers:
      with jax.enable_x64(True):
        assert_equal(model, gradients, to_double(state), double, operations)
    for mode, ours in programs.items():
      runs = {'ours': chained(ours.run, state, _STEPS.value)} | {
        layout: repeated(getattr(peer, mode.removesuffix('_fd')), _STEPS.value)
        for layout, peer in peers.items()
      }
      times = alternate(runs, _ROUNDS.value, _STEPS.value)
      rows.append(make_row(count, mode, ours, times))
      print(json.dumps(rows[-1]), flush=True)
      if _OUT.value:
        files.write_json(_OUT.value, rows)


def make_row(
  count: int, mode: str, ours: Ours, times: dict[str, list[float]]
) -> dict[str, Any]:
  """The medians, and ours as a fraction of the better PyTorch's."""
  medians = {name: statistics.median(values) for name, values in times.items()}
  ours_ms = medians.pop('ours')
  peer_ms = min(medians.values(), default=None)
  return {
    'size': _SIZE.value,
    'ops': count,
    'mode': mode,
    'ours_ms': round(ours_ms, 2),
    'peer_ms': peer_ms and round(peer_ms, 2),
    'ratio': peer_ms and round(ours_ms / peer_ms, 3),
    'compile_s': round(ours.compile_s, 2),
    'temp_mb': round(ours.temp_mb, 1),
    'all_ms': {
      name: [round(v, 2) for v in sorted(values)]
      for name, values in times.items()
    },
    **environment(torch=torch.__version__),
  }


if __name__ == '__main__':
  app.run(main)
