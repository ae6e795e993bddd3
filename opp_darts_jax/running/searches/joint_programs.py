"""The programs of several searches at once, made of those of one.

On a GPU or TPU a step of several searches is about as many kernels as a step of
one. A CPU, which computes all the time, takes one search after the other by the
very program that it runs alone, so that each ends the same to the bit.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.state import Metrics, SearchState
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.evaluation import Evaluation
from opp_darts_jax.running.programs import compiled
from opp_darts_jax.running.searches.programs import Programs


class JointPrograms(NamedTuple):
  """What several searches run on the device; a tuple has an item for each.

  All states are at the same step, and nothing that comes in is consumed: that
  of one search may stand in more than one place.

  Attributes:
    steps: (states, sums, data, keys, learning rates, count) -> states, sums.
    score: (totals, states, masks, data, keys, first, count) -> totals.
    evaluate: (states, data, operation weights of each, or None for those of the
      method) -> the `Evaluation` of each.
  """

  steps: Callable[..., tuple[tuple[SearchState, ...], tuple[Metrics, ...]]]
  score: Callable[..., tuple[jax.Array, ...]]
  evaluate: Callable[..., tuple[Evaluation, ...]]


def make_joint_programs(
  programs: Programs, config: SearchConfig, devices: Devices
) -> JointPrograms:
  """Maps the programs over searches; each is compiled when first called.

  The step is none of what is mapped: what depends on it alone, such as whether
  alphas rest, stays a condition instead of becoming a selection.

  Args:
    programs: of one search.
    config: of any of them.
    devices: that the programs run on.
  """
  # As functions: options of the compiler are for the outermost program.
  own = Programs(*(inspect.unwrap(program) for program in programs))

  def steps(states, sums, data, keys, learning_rates, count):
    step = states[0].step

    def one(state, sums, key, learning_rate):
      state, sums = own.steps(
        state.replace(step=step), sums, data, key, learning_rate, count
      )
      return state.replace(step=None), sums

    number = len(states)
    states, sums = jax.vmap(one)(
      _stack(_without_step(states)),
      _stack(sums),
      _stack(keys),
      jnp.asarray(learning_rates, float),
    )
    states, sums = _parts(states, number), _parts(sums, number)
    # Counted here: what is mapped gives a step for each.
    return tuple(s.replace(step=step + count) for s in states), sums

  def score(totals, states, masks, data, keys, first, count):
    step = states[0].step

    def one(total, state, mask, key):
      state = state.replace(step=step)
      return own.score(total, state, mask, data, key, first, count)

    stacked = map(_stack, (totals, _without_step(states), masks, keys))
    return _parts(jax.vmap(one)(*stacked), len(states))

  def evaluate(states, data, tables):
    step = states[0].step

    def one(state, tables):
      return own.evaluate(state.replace(step=step), data, tables)

    given = _stack(tables) if tables is not None else None
    found = jax.vmap(one)(_stack(_without_step(states)), given)
    return _parts(found, len(states))

  return JointPrograms(
    *(
      compiled(function, config, devices)
      for function in (steps, score, evaluate)
    )
  )


def one_after_the_other(programs: Programs) -> JointPrograms:
  """The programs of one search, called for each."""

  def steps(states, sums, data, keys, learning_rates, count):
    found = [
      programs.steps(state, own, data, key, rate, count)
      for state, own, key, rate in zip(states, sums, keys, learning_rates)
    ]
    return tuple(zip(*found))

  def score(totals, states, masks, data, keys, first, count):
    return tuple(
      programs.score(total, state, mask, data, key, first, count)
      for total, state, mask, key in zip(totals, states, masks, keys)
    )

  def evaluate(states, data, tables):
    tables = tables or [None] * len(states)
    return tuple(
      programs.evaluate(state, data, own) for state, own in zip(states, tables)
    )

  return JointPrograms(steps, score, evaluate)


def _without_step(states: Sequence[SearchState]) -> list[SearchState]:
  return [state.replace(step=None) for state in states]


def _stack(trees: Sequence[Any]) -> Any:
  """A pytree of leaves with an axis more, the first."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _parts(stacked: Any, number: int) -> tuple[Any, ...]:
  return tuple(
    jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(number)
  )
