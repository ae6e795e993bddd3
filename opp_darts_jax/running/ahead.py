"""Programs of a search that are compiled beside each other, before their time.

XLA's compiler holds no lock of Python's, so that threads compile while the
search makes its first weights. What JAX has compiled for some shapes it takes
for a call with values of these; a call with others compiles as it always would.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from opp_darts_jax.methods import progressive
from opp_darts_jax.running.live_search import LiveSearch, shapes_for

# As many as there are programs; fewer where there are one or two processors,
# which what is called meanwhile keeps busy.
_THREADS = 3


@contextlib.contextmanager
def compiled_ahead(search: LiveSearch) -> Iterator[LiveSearch]:
  """The search, with programs that are being compiled in threads.

  Its end waits for what is being compiled, and gives up the rest. Where several
  processes compile together, each compiles as it comes, so that all agree.
  """
  programs = search.programs
  begun = not hasattr(programs.steps, 'lower')  # They are no programs of JAX.
  if begun or jax.process_count() > 1:
    yield search
    return
  shapes = shapes_for(search, programs, search.devices)
  begin, count = 0, 1
  mask = search.space.mask()
  steps = (shapes.state, shapes.sums, shapes.data, shapes.key, 0.1, count)
  score = (shapes.total, shapes.state, mask, shapes.data, shapes.key)
  # In the order in which they are called.
  asked = {
    'score': (programs.score, (*score, begin, count)),
    'steps': (programs.steps, steps),
    'evaluate': (programs.evaluate, (shapes.state, shapes.data)),
  }
  schedule = search.config.schedule
  progressive_one = schedule.name == 'progressive'
  if not (progressive_one and progressive.count_scored(search.space, schedule)):
    del asked['score']
  threads = max(1, min(_THREADS, (os.cpu_count() or 1) - 1))
  pool = ThreadPoolExecutor(threads, thread_name_prefix='compile')
  tracing = threading.Lock()

  def build(program: Any, arguments: tuple[Any, ...]) -> None:
    with tracing:
      lowered = program.lower(*arguments)
    lowered.compile()

  try:
    waiting = {
      name: _waiting(program, pool.submit(build, program, arguments))
      for name, (program, arguments) in asked.items()
    }
    yield dataclasses.replace(search, programs=programs._replace(**waiting))
  finally:
    pool.shutdown(cancel_futures=True)


def _waiting(
  program: Callable[..., Any], built: Future[None]
) -> Callable[..., Any]:
  """The program, which is not compiled a second time while it is compiled.

  What goes wrong in the thread goes wrong in the call again, and is said there.
  """

  @functools.wraps(program)
  def call(*args: Any) -> Any:
    concurrent.futures.wait([built])
    return program(*args)

  return call
