"""Whether kernels on this device compute what the other layouts compute."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gpu_report import Report
from steps import ENTRY, lower_steps, masked, start

from opp_darts_jax.methods.loss import Task, make_loss
from opp_darts_jax.methods.method import no_term
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.programs import compiled

# Relative norms of differences. Those of rounding are 1e-6 in float32, or some
# 1e-3 where it decides whether a ReLU lets something pass; those of a kernel
# that is wrong are far above.
_CLOSE = {'float32': 1e-2, 'bfloat16': 0.1}


def check_numbers(report: Report, compute: str) -> None:
  """The layout of lists against loops or batches, on this device."""
  # The forward pass first: where it fails, gradients say nothing.
  _compare(report, compute, 'forward', _loss_of)
  _compare(report, compute, 'gradients', _gradients_of)


def check_steps(report: Report) -> None:
  """States after a step, exact second order among them."""
  for mode in ('first', 'second'):
    with report.guard(mode=mode):
      step = functools.partial(_step_of, mode=mode)
      _compare(report, 'float32', f'{mode} step', step)


def _compare(
  report: Report,
  compute: str,
  what: str,
  make: Callable[..., Callable[[Any], Any]],
) -> None:
  """Rows of the largest deviations from a layout without own kernels.

  Args:
    report: gets them.
    compute: of the supernet.
    what: is compared.
    make: (task, state, batches) -> a function of the state, compiled.
  """
  found: dict[str, Any] = {}
  for layout in ('copies', 'loop'):
    if len(found) == 2:
      break  # The second is for where loops do not run.
    with report.guard(compute=compute, what=what, layout=layout):
      task, state, *batches = start('tiny', len(ENTRY), layout, compute)
      begin = time.perf_counter()
      run = make(task, state, *batches)
      values = {n: run(masked(state, n)[0]) for n in (8, 3)}
      found[layout] = jax.tree.map(np.asarray, values)
      seconds = time.perf_counter() - begin
      report.add(
        compute=compute, what=what, layout=layout, seconds=round(seconds, 1)
      )
  if 'copies' not in found or len(found) < 2:
    return
  ours, (other, theirs) = found['copies'], list(found.items())[1]
  for count, values in ours.items():
    deviations = {
      name: deviation(values[name], theirs[count][name]) for name in values
    }
    worst = max(deviations.values())
    report.add(
      compute=compute,
      what=what,
      against=other,
      operations=count,
      deviations={name: float(f'{d:.2e}') for name, d in deviations.items()},
      close=bool(worst <= _CLOSE[compute]),
    )


def deviation(ours: Any, theirs: Any) -> float:
  """The norm of the difference of two pytrees, as part of the second's."""
  a, b = (
    np.concatenate([np.ravel(x).astype(np.float64) for x in jax.tree.leaves(t)])
    for t in (ours, theirs)
  )
  return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30))


def _program(task: Task, function: Callable[..., Any]) -> Callable[..., Any]:
  """A function, compiled as a search compiles its own."""
  devices = Devices(jax.devices()[:1])
  return compiled(function, task.config, devices)


def _loss_of(task: Task, state: Any, train: Any, val: Any) -> Any:
  def loss(state):
    own = make_loss(task, state, no_term)
    key = jax.random.key(0)
    loss, passed = own(state.weights, state.alphas, train, key)
    return {'loss': loss, 'statistics': passed.batch_stats}

  return _program(task, loss)


def _gradients_of(task: Task, state: Any, train: Any, val: Any) -> Any:
  def gradients(state):
    own = make_loss(task, state, no_term)
    derived = jax.value_and_grad(own, (0, 1), has_aux=True)
    key = jax.random.key(0)
    (loss, _), found = derived(state.weights, state.alphas, train, key)
    return {'loss': loss, 'weights': found[0], 'alphas': found[1]}

  return _program(task, gradients)


def _step_of(task: Task, state: Any, train: Any, val: Any, mode: str) -> Any:
  devices = Devices(jax.devices()[:1])
  run = lower_steps(mode, task, state, train, val, 1, devices).compile()

  def step(state):
    after = run(jax.tree.map(jnp.copy, state), 1)
    return {
      field.name: value
      for field in dataclasses.fields(after)
      if jax.tree.leaves(value := getattr(after, field.name))
    }

  return step
