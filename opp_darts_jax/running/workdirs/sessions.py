"""The processes that a run ran in: `run.json` in its folder.

By whom, where and how long; nothing of it has a part in what a run does.
"""

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from opp_darts_jax import __version__, errors, files

RUN = 'run.json'
_LIBRARIES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy')


@contextlib.contextmanager
def recorded(folder: pathlib.Path, device: str) -> Iterator[None]:
  """Writes down that a process runs a run, and how that ended.

  Args:
    folder: of the run.
    device: what it runs on, in words.
  """
  sessions = read(folder)
  own: dict[str, Any] = {
    'started': round(time.time(), 3),
    'command': command(),
    'device': device,
    'versions': {
      'opp_darts_jax': __version__,
      'python': platform.python_version(),
      **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    },
    'host': socket.gethostname(),
    'pid': os.getpid(),
  }
  path = folder / RUN
  files.write_json(path, {'sessions': [*sessions, own]})
  ended = 'failed'
  try:
    yield
    ended = 'finished'
  except errors.NotFinished:
    ended = 'interrupted'
    raise
  except errors.UserError as error:
    own['error'] = errors.first_line(error)
    raise
  finally:
    own |= {'ended': round(time.time(), 3), 'by': ended}
    # On a full disk what ended the run is what counts.
    with contextlib.suppress(OSError):
      files.write_json(path, {'sessions': [*sessions, own]})


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
  """The sessions of a run so far; none of one that did not write them."""
  found = files.read_json(folder / RUN)
  sessions = found.get('sessions') if isinstance(found, dict) else None
  return [s for s in sessions or [] if isinstance(s, dict) and 'started' in s]


def is_alive(session: Mapping[str, Any]) -> bool:
  """Whether the process of a session still runs, as far as can be seen.

  One on another machine that did not say that it ended is taken as alive: of
  the sessions of a run ask for the last one, as no other can be.
  """
  if 'ended' in session:
    return False
  if session.get('host') != socket.gethostname():
    return True
  try:
    os.kill(int(session['pid']), 0)
  except PermissionError:  # It is another user's.
    return True
  except (OSError, LookupError, ValueError, OverflowError):
    return False
  return True


def is_own(session: Mapping[str, Any]) -> bool:
  """Whether it is of this process."""
  here = (socket.gethostname(), os.getpid())
  return (session.get('host'), session.get('pid')) == here


def command() -> str:
  """The command that this process was started by."""
  program = pathlib.Path(sys.argv[0]) if sys.argv else pathlib.Path()
  if program.parent.name == 'launchers':
    return shlex.join(['opp-darts', program.stem, *sys.argv[1:]])
  name = pathlib.Path(sys.orig_argv[0]).name if sys.orig_argv else ''
  return shlex.join([name, *sys.orig_argv[1:]])
