"""Sweeps: searches, and training of what they find, by config and seed.

Every part is a process, as from the command line: it owns its devices, and one
that fails stops no other.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.errors import NotFinished, UserError
from opp_darts_jax.files import write_json
from opp_darts_jax.recorded import RESULTS
from opp_darts_jax.running.sweeps import manifest, table
from opp_darts_jax.running.sweeps.parts import Launch, Part, run_all


class SweepError(UserError):
  """Parts of a sweep that failed."""

  exit_code = 1


class Variant(NamedTuple):
  """Every config of a sweep is run in each of its variants.

  Attributes:
    name: of it; any text.
    search_flags: by which its searches differ.
  """

  name: str
  search_flags: tuple[str, ...] = ()

  @property
  def folder(self) -> str:
    """The name, as that of a folder."""
    return manifest.folder_name(self.name)


@dataclasses.dataclass(frozen=True)
class Sweep:
  """What to run.

  Attributes:
    configs: what `--config` takes, 'NAME', 'FILE.py' or a variant of either,
      'NAME:VARIANT'. What a search finds is trained by 'NAME:train' or
      'NAME:VARIANT_train'.
    seeds: every config is run with each.
    workdir: folder of the sweep; the runs are in CONFIG/seedSEED in it, those
      of a variant in CONFIG/VARIANT/seedSEED.
    train: whether to train and test what is found.
    search_flags: further flags of the searches, such as '--config.epochs=9'.
    train_flags: further flags of training.
    variants: of each config; none are the configs as they are.
    fields: what the configs say, by their names in the workdir, as far as it is
      known: a workdir of others is refused.
  """

  configs: tuple[str, ...]
  seeds: tuple[int, ...]
  workdir: pathlib.Path
  train: bool = True
  search_flags: tuple[str, ...] = ()
  train_flags: tuple[str, ...] = ()
  variants: tuple[Variant, ...] = ()
  fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    names = [config_name(config) for config in self.configs]
    folders = [variant.folder for variant in self.variants or _AS_IT_IS]
    for what, given in (
      ('config', names),
      ('seed', self.seeds),
      ('variant', folders),
    ):
      if not given or len(set(given)) < len(given):
        raise UserError(
          f'Expected at least one {what}, and none twice; got '
          f'{", ".join(map(str, given)) or "none"}.'
        )
    if self.train_flags and not self.train:
      raise UserError(
        'train_flags are of networks that are trained: give --train, too; got '
        f'{" ".join(self.train_flags)}.'
      )
    check_flags('search_flags', self.search_flags, _OWN_FLAGS)
    for variant in self.variants:
      what = f'flags of {variant.name}'
      check_flags(what, variant.search_flags, _OWN_FLAGS)
    own = (*_OWN_FLAGS, 'config.genotype')
    check_flags('train_flags', self.train_flags, own)


# What a sweep says of each part.
_OWN_FLAGS = (
  'config',
  'config.seed',
  'config.seeds',
  'config.search_seeds',
  'workdir',
)


def check_flags(what: str, flags: Sequence[str], own: Sequence[str]) -> None:
  """Raises `UserError` if flags are given that a sweep sets for itself.

  Args:
    what: flags they are, for the message.
    flags: as on a command line.
    own: names of what the sweep sets.
  """
  for flag in flags:
    if flag_name(flag) in own:
      raise UserError(
        f'{what} cannot have {", ".join(own)}, which each run has of its own; '
        f'got {flag}.'
      )


def flag_name(flag: str) -> str:
  """What a word of a command line names: `config.epochs` of two dashes."""
  return flag.lstrip('-').partition('=')[0]


# What a sweep without variants has.
_AS_IT_IS = (Variant(''),)


class Run(NamedTuple):
  """A config with a seed: a search, and training unless left out."""

  config: str
  seed: int
  parts: tuple[Part, ...]
  variant: str = ''

  @property
  def label(self) -> str:
    """The config, with its variant."""
    return ' '.join(filter(None, (self.config, self.variant)))

  @property
  def folders(self) -> tuple[pathlib.Path, pathlib.Path | None]:
    """Workdirs of the search and of training, if that is part of it."""
    search, *train = (part.folder for part in self.parts)
    return search, train[0] if train else None


# What finished runs came to: fields for `sweep.json`, and a table.
SumUp = Callable[[Sequence[Run]], tuple[dict[str, Any], str]]


def by_config(runs: Sequence[Run]) -> tuple[dict[str, Any], str]:
  """Each run, and statistics by config and variant."""
  done = [table.result(run.label, run.seed, *run.folders) for run in runs]
  configs = table.by_config(done)
  return {'runs': done, 'configs': configs}, table.table(configs)


def run_sweep(
  sweep: Sweep,
  jobs: int = 1,
  sum_up: SumUp = by_config,
  launch: Launch | None = None,
) -> dict[str, Any]:
  """Runs what is not finished of a sweep, and sums it up.

  A SIGTERM, SIGINT or SIGHUP makes the parts save and stop.

  Args:
    sweep: what to run.
    jobs: how many parts run at a time.
    sum_up: called with the runs that are finished, in the end.
    launch: starts a part, `cluster.launcher` on a cluster; None here.

  Returns:
    The contents of `sweep.json`: flags, and what `sum_up` made of the finished
    runs, by default each of them and statistics by config.

  Raises:
    NotFinished: if a part was stopped; the same sweep goes on.
    SweepError: if parts failed, or left no results.
    UserError: if the workdir holds a sweep with other flags or configs, or one
      that cannot be read.
  """
  runs = plan(sweep)
  flags: dict[str, Any] = {
    'search_flags': list(sweep.search_flags),
    'train_flags': list(sweep.train_flags),
  }
  variants = {v.name: list(v.search_flags) for v in sweep.variants}
  fields = dict(sweep.fields)
  with manifest.locked(sweep.workdir):
    path = manifest.open_sweep(sweep.workdir, flags, variants, fields)
  print(f'Sweep in {sweep.workdir}: {len(runs)} runs, {jobs} at a time')
  stopped, failed = run_all([run.parts for run in runs], jobs, launch)
  done = [run for run in runs if all(part.finished for part in run.parts)]
  found, text = sum_up(done)
  print(text, flush=True)
  with manifest.locked(sweep.workdir):
    # Another command may have added variants and configs.
    manifest.open_sweep(sweep.workdir, flags, variants, fields)
    flags |= manifest.written(variants, fields)
    write_json(path, {**flags, **found})
  if stopped:
    raise NotFinished(
      f'{len(done)} of {len(runs)} runs are finished; the same command goes on '
      'with the others.'
    )
  if failed:
    raise SweepError(
      f'{len(failed)} of {len(runs)} runs failed: {"; ".join(failed)}.'
    )
  if len(done) < len(runs):
    raise SweepError(
      f'{len(runs) - len(done)} of {len(runs)} runs have ended and left no '
      f'{RESULTS}, as with the flag --dry_run and a config of search_seeds.'
    )
  return {**flags, **found}


def plan(sweep: Sweep) -> list[Run]:
  """All runs, by seed and then config, so that configs compare early."""
  return [
    _plan_run(sweep, config, seed, variant)
    for seed in sweep.seeds
    for config in sweep.configs
    for variant in sweep.variants or _AS_IT_IS
  ]


def _plan_run(sweep: Sweep, config: str, seed: int, variant: Variant) -> Run:
  name = config_name(config)
  folder = sweep.workdir / name / variant.folder / f'seed{seed}'
  label = ' '.join(filter(None, (name, variant.name)))

  def part(kind: str, config: str, *flags: str) -> Part:
    command = (
      sys.executable,
      '-m',
      'opp_darts_jax',
      kind,
      f'--config={config}',
      *flags,
      f'--config.seed={seed}',
      f'--workdir={folder / kind}',
    )
    return Part(f'{label} seed {seed} {kind}', folder / kind, command)

  parts = [part('search', config, *sweep.search_flags, *variant.search_flags)]
  if sweep.train:
    found = f'--config.genotype={folder / "search" / "genotype.json"}'
    flags = (*sweep.train_flags, found)
    parts.append(part('train', training_config(config), *flags))
  return Run(name, seed, tuple(parts), variant.name)


def config_name(config: str) -> str:
  """What the runs of a config are called."""
  base, _, variant = config.partition(':')
  return '_'.join(filter(None, (pathlib.Path(base).stem, variant)))


def training_config(config: str) -> str:
  """The config by which is trained what another's search finds."""
  base, _, variant = config.partition(':')
  return f'{base}:{variant}_train' if variant else f'{base}:train'
