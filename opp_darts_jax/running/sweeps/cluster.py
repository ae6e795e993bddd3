"""Parts of a sweep as jobs of a cluster, by submitit.

Each part is a job, which runs the part's command and saves and stops with it.
Jobs that are preempted, or come to the end of their time, are queued again by
submitit and go on where they were. submitit keeps its files in `submitit/` of
the sweep's workdir, which the machines of the cluster have to share.

Sweeps without a cluster do without it (parts.py): submitit's local jobs
are killed a second after they were asked to stop, have no GPUs unless told how
many there are, and must end by some time. As 'local' they are here to try out
what a cluster would run, and a part is kept from all of that.
"""

import ast
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from opp_darts_jax.errors import NotFinished, UserError, first_line
from opp_darts_jax.running.sweeps.cluster_job import PartJob
from opp_darts_jax.running.sweeps.parts import Launch, Part

CLUSTERS = ('local', 'slurm')

_MINUTES = {'local': 366 * 24 * 60, 'slurm': 24 * 60}


def launcher(
  cluster: str, workdir: pathlib.Path, options: Mapping[str, Any]
) -> Launch:
  """What submits the parts of a sweep.

  Args:
    cluster: of `CLUSTERS`.
    workdir: of the sweep.
    options: of the jobs, as submitit names them: `timeout_min` (a day if not
      given), `gpus_per_node`, `cpus_per_task`, `mem_gb`, `slurm_partition`, ...
      `slurm_max_num_timeout` ends a job for good after so many ends of its time
      and one more; without it none does.

  Raises:
    UserError: if submitit or the cluster is missing, or there are no such
      options.
  """
  try:
    import submitit  # Optional.
  except ImportError as error:
    raise UserError(
      'Sweeps on a cluster need submitit, which is not installed: pip install '
      "'opp_darts_jax[slurm]'."
    ) from error
  folder = workdir.absolute() / 'submitit'
  # By itself submitit queues a job again after three ends of its time alone.
  often = f'{cluster}_max_num_timeout'
  limit = {often: options.get(often, sys.maxsize)}
  given = {name: value for name, value in options.items() if name != often}
  try:
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **limit)
    executor.update_parameters(
      **{'name': 'opp_darts', 'timeout_min': _MINUTES[cluster], **given}
    )
  except (RuntimeError, TypeError, NameError, ValueError) as error:
    raise UserError(
      f'Expected a cluster {cluster!r} that takes {_shown(options)}, got: '
      f'{first_line(error)}.'
    ) from error

  def launch(part: Part) -> 'Job':
    stop = part.folder.absolute().with_suffix('.stop')
    stop.unlink(missing_ok=True)
    part.log.touch()
    command = PartJob(part.command, part.log.absolute(), stop, os.getcwd())
    try:
      return Job(executor.submit(command), stop)
    except (OSError, RuntimeError, submitit.core.utils.FailedJobError) as error:
      raise UserError(
        f'Could not submit {part.label} to {cluster}: {first_line(error)}.'
      ) from error

  return launch


def read_options(text: str) -> dict[str, Any]:
  """Options in a text: 'timeout_min=600 slurm_partition=gpu'.

  Raises:
    UserError: on anything else.
  """
  options: dict[str, Any] = {}
  for word in text.split():
    name, sign, value = word.partition('=')
    if not sign or not name.isidentifier():
      raise UserError(
        "Expected options of a cluster as 'NAME=VALUE ...', such as "
        f"'timeout_min=600 slurm_partition=gpu', got {word!r}."
      )
    try:
      options[name] = ast.literal_eval(value)
    except (SyntaxError, ValueError):  # A word.
      options[name] = value
  return options


class Job:
  """A part that was submitted; what `parts.Process` asks for."""

  def __init__(self, job: Any, stop: pathlib.Path) -> None:
    self._job, self._stop = job, stop

  def poll(self) -> int | None:
    """The exit code of its command; None while it waits or runs."""
    if not self._job.done():
      return None
    try:
      return int(self._job.result())
    except Exception:  # noqa: BLE001  Its classes, or what a pickle raises.
      # It was taken out of the queue, or died with its machine.
      return NotFinished.exit_code if self._stop.exists() else 1

  def stop(self) -> None:
    """Asks it to save and stop, or takes it out of the queue."""
    self._stop.touch()
    if self._job.state == 'PENDING':
      self._job.cancel(check=False)


def _shown(options: Mapping[str, Any]) -> str:
  pairs = [f'{name}={value}' for name, value in options.items()]
  return ' '.join(pairs) or 'jobs'
