"""The flags of a launcher that runs one thing, and what it does by them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from opp_darts_jax.config import SearchConfig, TrainConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import launch
from opp_darts_jax.running import devices
from opp_darts_jax.running.accelerators.catalogue import ACCELERATORS
from opp_darts_jax.running.runs import profiler
from opp_darts_jax.running.runs.profiler import Steps

# They are listed as those of the launcher that defines them.
flags.disclaim_key_flags()

# The other kind of config; what is said of the one and of the other.
_OTHERS = {
  SearchConfig: (
    TrainConfig,
    'a search, such as digits',
    'a training, which `opp-darts train` takes',
  ),
  TrainConfig: (
    SearchConfig,
    'a training, such as digits:train',
    'a search, which `opp-darts search` takes',
  ),
}


def define(
  default: str,
  kind: type[SearchConfig | TrainConfig],
  start: Callable[[Any, str, Steps | None], None],
  dry_run: Callable[..., str],
) -> Callable[[], None]:
  """Defines the flags.

  Args:
    default: the config that is taken if none is given.
    kind: of its config.
    start: (config, workdir, steps to be traced) -> None, which runs it.
    dry_run: (config, folder, target=) -> what `--dry_run` prints.

  Returns:
    The launcher's own part, for `launch.run`.
  """
  given = launch.define_config(default)
  workdir = launch.define_path(
    'workdir', 'Folder of the run; a run in it is continued.'
  )
  dry = flags.DEFINE_bool(
    'dry_run',
    False,
    'Say what would be done, and write a contact sheet of the images into the '
    'workdir, or the current folder; do nothing else.',
  )
  target = flags.DEFINE_string(
    'target',
    '',
    'With --dry_run: an accelerator, which need not be here, that the programs '
    'are compiled for, to say whether the run fits it and about how long it '
    f'takes: {", ".join(ACCELERATORS)}.',
  )
  profile_steps = flags.DEFINE_string(
    'profile_steps',
    '',
    'A,B: make a trace of the steps A to B, counted from 1, with jax.profiler, '
    'in the folder profile of the workdir.',
  )
  distributed = flags.DEFINE_bool(
    'distributed', False, 'Be one of several processes, one a machine.'
  )
  for names, fit, sentence in (
    (
      ['workdir', 'dry_run'],
      lambda values: bool(values['workdir']) or values['dry_run'],
      '--workdir must have a value, the folder of the run.',
    ),
    (
      ['target', 'dry_run'],
      lambda values: values['dry_run'] or not values['target'],
      '--target goes with --dry_run alone; a run takes the devices of its '
      'machine.',
    ),
    (
      ['profile_steps', 'dry_run'],
      lambda values: not (values['profile_steps'] and values['dry_run']),
      '--profile_steps traces steps of a run; with --dry_run there are none.',
    ),
  ):
    flags.register_multi_flags_validator(names, fit, sentence)

  def main() -> None:
    if distributed.value:
      devices.distribute()
    config = config_of(kind, given.value.to_dict())
    steps = profiler.parse(profile_steps.value)
    if dry.value:
      launch.prepare_target(target.value)
      print(dry_run(config, workdir.value or '.', target=target.value))
    else:
      assert workdir.value  # Or the flags would not be valid.
      start(config, workdir.value, steps)

  return main


def config_of(
  kind: type[SearchConfig | TrainConfig], fields: Mapping[str, Any]
) -> Any:
  """The config of these fields.

  Raises:
    UserError: if a field is wrong, or they are those of the other kind.
  """
  other, wanted, got = _OTHERS[kind]
  own, others = (
    {field.name for field in dataclasses.fields(each)} for each in (kind, other)
  )
  if others >= fields.keys() and not own >= fields.keys():
    raise UserError(f'Expected the config of {wanted}; got that of {got}.')
  return kind.from_dict(fields)
