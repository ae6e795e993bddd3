"""The flags that sweeps and comparisons have in common."""

import json
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

from absl import flags

from opp_darts_jax.config import SearchConfig, TrainConfig, first_house
from opp_darts_jax.config.run import check_seeds
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import config_files, launch
from opp_darts_jax.running.sweeps.cluster import (
  CLUSTERS,
  launcher,
  read_options,
)
from opp_darts_jax.running.sweeps.parts import Launch
from opp_darts_jax.running.sweeps.sweep import config_name, training_config

# They are listed as those of the launcher that defines them.
flags.disclaim_key_flags()


def define_configs() -> flags.FlagHolder[list[str]]:
  """Defines `--configs`."""
  return flags.DEFINE_list(
    'configs',
    None,
    'Configs, each NAME[:VARIANT] or FILE.py[:VARIANT].',
    required=True,
  )


def fields_of(configs: Sequence[str], train: bool) -> dict[str, Any]:
  """What configs say, by the names of their runs, for `Sweep.fields`.

  Those of searches, and those that train what these find. One that is wrong
  says so before anything runs, not after its search.

  Raises:
    UserError: if there is no such one.
  """

  def load(config: str, kind: Any) -> Any:
    said = json.loads(config_files.load(config).to_json_best_effort())
    # What a file leaves out is as by default, until it says otherwise.
    return first_house.of_now(said, kind)

  found = {}
  for config in configs:
    found[config_name(config)] = own = {'search': load(config, SearchConfig)}
    if train:
      own['train'] = load(training_config(config), TrainConfig)
  return found


def define_seeds() -> flags.FlagHolder[list[str]]:
  """Defines `--seeds`; see `numbers`."""
  return flags.DEFINE_list('seeds', ['0', '1', '2'], 'Seeds of each config.')


def define_workdir() -> flags.FlagHolder[str]:
  """Defines `--workdir`."""
  return launch.define_path(
    'workdir', 'Folder of the sweep; one in it is continued.', required=True
  )


def define_jobs() -> flags.FlagHolder[int]:
  """Defines `--jobs`."""
  return flags.DEFINE_integer('jobs', 1, 'Runs at a time.', lower_bound=1)


def define_cluster() -> tuple[flags.FlagHolder[str], flags.FlagHolder[str]]:
  """Defines `--cluster` and `--cluster_options`; see `launch_on`."""
  return (
    flags.DEFINE_enum(
      'cluster',
      '',
      ['', *CLUSTERS],
      'Run the parts as jobs of a cluster, by submitit, not as processes here; '
      'local tries that out on this machine.',
    ),
    flags.DEFINE_string(
      'cluster_options',
      '',
      "What submitit's jobs take: 'timeout_min=600 gpus_per_node=1 "
      "slurm_partition=gpu'.",
    ),
  )


def launch_on(cluster: str, options: str, workdir: str) -> Launch | None:
  """What starts the parts of a sweep; None for processes here.

  Raises:
    UserError: if there is no such cluster, or it does not take the options.
  """
  if cluster:
    return launcher(cluster, pathlib.Path(workdir), read_options(options))
  if options:
    raise UserError(
      '--cluster_options are of the jobs of a --cluster, which is not given.'
    )
  return None


def define_further_flags() -> tuple[
  flags.FlagHolder[str], flags.FlagHolder[str]
]:
  """Defines `--search_flags` and `--train_flags`; see `split`."""
  return (
    flags.DEFINE_string(
      'search_flags',
      '',
      "Further flags of searches: '--config.epochs=9 ...'.",
    ),
    flags.DEFINE_string(
      'train_flags', '', 'Further flags of training, likewise.'
    ),
  )


def numbers(seeds: Sequence[str]) -> tuple[int, ...]:
  """The seeds in `--seeds`; `UserError` if these are none."""
  if not all(seed.isdecimal() for seed in seeds):
    raise UserError(f'--seeds takes numbers such as 0,1,2; got {seeds}.')
  found = tuple(map(int, seeds))
  check_seeds(found, '--seeds')
  return found


def split(name: str, text: str) -> tuple[str, ...]:
  """The flags in the text of a flag of that name, as a shell would part them.

  Raises:
    UserError: if a quotation mark has no other.
  """
  try:
    return tuple(shlex.split(text))
  except ValueError as error:
    raise UserError(
      f"--{name} takes flags as a shell does, '--config.epochs=9 ...'; "
      f'got {text!r}: {error}.'
    ) from error
