"""What a job of a cluster runs for a part of a sweep: its command.

Imported by every job: of the package nothing else is needed, and no JAX.
"""

import os
import pathlib
import signal
import subprocess
import time
from typing import Any

_PAUSE = 0.2  # Seconds between two looks at a part, or for a stop.


class PartJob:
  """What a job runs, on the cluster.

  Args:
    command: of the part.
    log: file that its output goes to.
    stop: file that appears when the part is to stop.
    folder: that it runs in.
  """

  def __init__(
    self,
    command: tuple[str, ...],
    log: pathlib.Path,
    stop: pathlib.Path,
    folder: str,
  ) -> None:
    self._given = command, log, stop, folder
    # Those of the sweep: submitit's local jobs have no GPUs of their own.
    self._devices = os.environ.get('CUDA_VISIBLE_DEVICES')
    self._process: subprocess.Popen[bytes] | None = None

  def __call__(self) -> int:
    """Runs the command; its exit code."""
    command, log, stop, folder = self._given
    environment = dict(os.environ)
    if environment.get('SUBMITIT_EXECUTOR') == 'local':
      environment.pop('CUDA_VISIBLE_DEVICES', None)
      if self._devices is not None:
        environment['CUDA_VISIBLE_DEVICES'] = self._devices
    with open(log, 'ab') as output:
      self._process = process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=folder,
        env=environment,
        start_new_session=True,
      )
    asked = False
    while process.poll() is None:
      if not asked and stop.exists():
        asked = True
        process.send_signal(signal.SIGTERM)
      time.sleep(_PAUSE)
    return process.returncode

  def checkpoint(self) -> Any:
    """Called by submitit before a job is queued again: the part saves."""
    import submitit

    if self._process is not None and self._process.poll() is None:
      self._process.send_signal(signal.SIGTERM)
      self._process.wait()
    self._process = None  # No process can be pickled.
    return submitit.helpers.DelayedSubmission(self)
