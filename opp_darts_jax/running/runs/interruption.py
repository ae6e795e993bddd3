"""Signals that ask a run to stop."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SAME_SECONDS = 1.0


class Interruption:
  """Notices SIGTERM and SIGINT; a context manager.

  The first one is noted, for the run to look at between two dispatches. The
  second, a second later at least, ends the process at once, even in the midst
  of a compilation: Python's own handlers would wait until that is over, so a
  thread listens. Sooner it is the same one, that came by two ways, as where a
  whole tree of processes is asked to stop.

  In a thread other than the main one, which Python does not let handle signals,
  nothing is ever requested.
  """

  def __init__(self) -> None:
    self.requested = False
    self._restore: Callable[[], Any] = lambda: None

  def __enter__(self) -> Self:
    if threading.current_thread() is not threading.main_thread():
      return self
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    handlers = {number: signal.signal(number, _pass) for number in SIGNALS}
    listener = threading.Thread(
      target=self._listen, args=(reader,), daemon=True
    )
    listener.start()

    def restore() -> None:
      for number, handler in handlers.items():
        # None was not set by Python, such as that of `jax.distributed`.
        signal.signal(number, handler or signal.SIG_DFL)
      signal.set_wakeup_fd(before)
      os.close(writer)
      listener.join()
      os.close(reader)

    self._restore = restore
    return self

  def __exit__(self, *exc_info: object) -> None:
    self._restore()

  def _listen(self, reader: int) -> None:
    first = 0.0
    while numbers := os.read(reader, 1):
      if numbers[0] not in SIGNALS:
        continue
      if self.requested:
        if time.monotonic() < first + _SAME_SECONDS:
          continue
        os._exit(128 + numbers[0])
      self.requested, first = True, time.monotonic()
      print(
        'stopping after the steps under way; a second signal stops at once',
        file=sys.stderr,
        flush=True,
      )


def _pass(number: int, frame: Any) -> None:
  """Does nothing: without a handler of Python's no byte would be written."""
