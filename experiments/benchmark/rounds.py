"""Rounds that alternate between ours and PyTorch, so that noise hits both."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Round = Callable[[], None]


def chained(run: Callable[[Any, int], Any], state: Any, steps: int) -> Round:
  """Steps of ours, each round from where the last one ended.

  Args:
    run: (state, steps) -> the state afterwards; the one given is consumed.
    state: the first one, which is copied.
    steps: of a round.
  """
  state = jax.tree.map(jnp.copy, state)

  def one() -> None:
    nonlocal state
    state = run(state, steps)

  return one


def repeated(step: Callable[[], None], steps: int) -> Round:
  """Steps of PyTorch, waited for."""
  import torch  # Who times ours alone need not have it.

  def one() -> None:
    for _ in range(steps):
      step()
    if torch.cuda.is_available():
      torch.cuda.synchronize()

  return one


def alternate(
  runs: dict[str, Round],
  rounds: int,
  steps: int,
  clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
  """Milliseconds a step, each run once a round after a round to warm up."""
  times: dict[str, list[float]] = {name: [] for name in runs}
  for _ in range(rounds + 1):
    for name, run in runs.items():
      start = clock()
      run()
      times[name].append(1e3 * (clock() - start) / steps)
  return {name: values[1:] for name, values in times.items()}
