"""The console command: `opp-darts COMMAND --FLAG=VALUE ...`."""

import os
import runpy
import signal
import sys
from typing import Any

from opp_darts_jax import __version__
from opp_darts_jax.errors import UserError, check_choice

COMMANDS = {
  'search': 'search a cell on images',
  'train': 'train and test the network of a cell',
  'report': 'draw what a run found and how it went',
  'sweep': 'search and train with several configs and seeds',
  'compare': 'compare methods over seeds',
  'latency': 'time the operations of a space',
}


def main() -> None:
  """Runs the launcher that the command line names."""
  command, *flags = sys.argv[1:] or ['--help']
  if command == '--help':
    print(_usage())
  elif command == '--version':
    print(__version__)
  else:
    try:
      check_choice('command', command, COMMANDS)
    except UserError as error:
      print(f'error: {error}', file=sys.stderr)
      sys.exit(error.exit_code)
    sys.argv[1:] = flags
    launch(command)


def launch(command: str) -> None:
  """Runs a launcher as the program itself, with the flags of `sys.argv`.

  Flags are of the whole process: those of a launcher are defined here, when it
  runs, and are listed by `--help` since it is the main module. An interruption
  ends the process, until a run takes it for a request to save and stop.

  Args:
    command: one of `COMMANDS`.
  """
  take_interruptions()
  module = f'opp_darts_jax.launchers.{command}'
  runpy.run_module(module, run_name='__main__', alter_sys=True)


def take_interruptions() -> None:
  """Lets SIGINT end the process at once, unless it means something by now."""
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: Any) -> None:
  """Ends the process: an exception could be lost in what is being imported."""
  del frame
  os.write(2, b'error: interrupted; what was saved is whole.\n')
  os._exit(128 + number)


def _usage() -> str:
  commands = [f'  {name:8}{does}' for name, does in COMMANDS.items()]
  return '\n'.join(
    [
      'Usage: opp-darts COMMAND --FLAG=VALUE ...',
      '',
      *commands,
      '',
      '`opp-darts COMMAND --help` lists the flags of a command,',
      '`opp-darts --version` tells the version.',
    ]
  )
