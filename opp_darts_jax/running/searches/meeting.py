"""Where searches that take turns meet, to run their programs together."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.runs.rounds import Rounds
from opp_darts_jax.running.searches.joint_programs import (
  JointPrograms,
  make_joint_programs,
  one_after_the_other,
)
from opp_darts_jax.running.searches.programs import Programs, SearchData
from opp_darts_jax.running.searches.turns import Ask

# In the order in which a search runs them between two steps.
_KINDS = ('evaluate', 'score', 'steps')


class Question(NamedTuple):
  """A call of a program by one of the searches.

  Attributes:
    step: that the search is at.
    kind: which program.
    config: of the search, but for its seed.
    same: what has to be the same in calls that go together.
    own: what is the search's own, by the order of the program's arguments.
  """

  step: int
  kind: str
  config: SearchConfig
  same: tuple[Any, ...]
  own: tuple[Any, ...]

  @property
  def rank(self) -> tuple[int, int]:
    """The smaller, the earlier it is answered."""
    return self.step, _KINDS.index(self.kind)

  def goes_with(self, other: 'Question') -> bool:
    """Whether one program can answer both."""
    return self[:4] == other[:4]


class Meeting:
  """The programs of searches that differ in their seeds alone.

  Calls that are the same but for what is a search's own go together; the
  searches that are behind are answered first, so that the others wait for them.
  Where programs are mapped over searches, places that none has taken are filled
  with a copy of the first, whose results are dropped: for fewer searches
  nothing is compiled anew.

  Args:
    make: the programs of one search, by its config.
    data: of all searches.
    devices: that they run on.
    count: how many searches there are.
    rounds: told of each that is over.
    mapped: whether programs are mapped over searches, or run one after the
      other; None is as the platform has it, the latter on a CPU.
  """

  def __init__(
    self,
    make: Callable[[SearchConfig], Programs],
    data: SearchData,
    devices: Devices,
    count: int,
    rounds: Rounds,
    mapped: bool | None = None,
  ) -> None:
    self._make, self._data, self._devices = make, data, devices
    self._count, self._rounds = count, rounds
    on_cpu = devices.target.platform == 'cpu'
    self._mapped = not on_cpu if mapped is None else mapped
    self._made: dict[SearchConfig, tuple[Programs, JointPrograms]] = {}

  def programs_for(self, ask: Ask) -> Callable[[SearchConfig], Programs]:
    """What makes the programs of a search that asks the others to join."""
    at, reached = 0, None

    def step_of(state: SearchState) -> int:
      nonlocal at, reached
      # To read a step would wait for the steps under way.
      if state.step is not reached:
        at, reached = int(state.step), state.step
      return at

    def make(config: SearchConfig) -> Programs:
      config = dataclasses.replace(config, seed=0)
      programs, _ = self._programs(config)

      def steps(state, sums, data, key, learning_rate, count):
        nonlocal at, reached
        step = step_of(state)
        own = state, sums, key, learning_rate
        state, sums = ask(Question(step, 'steps', config, (count,), own))
        at, reached = step + count, state.step
        return state, sums

      def score(total, state, mask, data, key, first, count):
        own = total, state, mask, key
        same = first, count
        return ask(Question(step_of(state), 'score', config, same, own))

      def evaluate(state, data, tables=None):
        own = (state,) if tables is None else (state, tables)
        same = (tables is None,)
        return ask(Question(step_of(state), 'evaluate', config, same, own))

      # Initial weights are each search's own: XLA's generator of random bits
      # gives others where it is mapped. What few methods ask for between epochs
      # is not mapped either.
      return programs._replace(steps=steps, score=score, evaluate=evaluate)

    return make

  def serve(self, questions: Mapping[int, Question]) -> dict[int, Any]:
    """Answers those that go together and come first; see `turns.Serve`."""
    self._rounds.next()
    first = min(questions.values(), key=lambda question: question.rank)
    group = [n for n, q in questions.items() if q.goes_with(first)]
    own = [questions[number].own for number in group]
    if self._mapped:
      own += [own[0]] * (self._count - len(own))
    return dict(zip(group, self._run(first, *zip(*own))))

  def _run(self, question: Question, *own: Any) -> tuple[Any, ...]:
    _, joint = self._programs(question.config)
    data = self._data
    if question.kind == 'steps':
      states, sums, keys, rates = own
      return tuple(
        zip(*joint.steps(states, sums, data, keys, rates, *question.same))
      )
    if question.kind == 'score':
      totals, states, masks, keys = own
      return joint.score(totals, states, masks, data, keys, *question.same)
    states, tables = own if len(own) > 1 else (*own, None)
    return joint.evaluate(states, data, tables)

  def _programs(self, config: SearchConfig) -> tuple[Programs, JointPrograms]:
    if config not in self._made:
      programs = self._make(config)
      self._made[config] = (
        programs,
        make_joint_programs(programs, config, self._devices)
        if self._mapped
        else one_after_the_other(programs),
      )
    return self._made[config]
