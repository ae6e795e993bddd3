"""run_searches: several seeds searched in one process, by common programs.

Each search is the one that `run_search` runs with its seed, in a folder of its
own, and knows nothing of the others: they take turns, and meet where they call
a program (turns.py, meeting.py).
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.data import dataset
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.errors import NotFinished, UserError, WriteError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.method import Method
from opp_darts_jax.recorded import GENOTYPE
from opp_darts_jax.running.runs.console import Console, epoch_line
from opp_darts_jax.running.runs.interruption import Interruption
from opp_darts_jax.running.runs.rounds import Rounds, Shared
from opp_darts_jax.running.runs.run import Options
from opp_darts_jax.running.runs.standing import View
from opp_darts_jax.running.runs.watchers import watchers_of
from opp_darts_jax.running.searches import cost, monitor, plan, turns
from opp_darts_jax.running.searches.live import LiveSearch, prepare
from opp_darts_jax.running.searches.meeting import Meeting
from opp_darts_jax.running.searches.records import EpochRecord, OnEpoch
from opp_darts_jax.running.searches.search import checked, run_prepared
from opp_darts_jax.running.searches.turns import Ask, Ended
from opp_darts_jax.running.workdirs import checkpoint, inputs, results
from opp_darts_jax.running.workdirs.workdir import check_workdir
from opp_darts_jax.spaces import truth
from opp_darts_jax.spaces.space import Space


class SearchesError(UserError):
  """Searches, of several, that failed."""

  exit_code = 1


def run_searches(
  config: SearchConfig,
  workdir: str | pathlib.Path,
  *,
  data: ImageData | None = None,
  space: Space | None = None,
  method: Method | None = None,
  on_epoch: OnEpoch | Iterable[OnEpoch] = (),
  signals: bool = True,
  quiet: bool = False,
  mapped: bool | None = None,
  view: View | None = None,
) -> dict[int, Genotype]:
  """Searches with each of `config.search_seeds`, all at a time.

  What a search writes, into `workdir/seedN`, is what `run_search` writes with
  that seed alone, and either goes on with it after an interruption. One that
  fails, or ends early, does not end the others.

  Args:
    config: what to do.
    workdir: a folder; made if it is missing.
    data: as for `run_search`, and the same for all.
    space: likewise.
    method: likewise.
    on_epoch: called after each epoch of each search, which the record's
      `workdir` tells; what returns True ends that search.
    signals: whether SIGTERM and SIGINT save the runs before they end them.
    quiet: whether nothing is printed.
    mapped: whether programs are mapped over the searches, which then end like
      those that are alone but for rounding, or run one after the other, to the
      bit the same. None is the latter on a CPU alone.
    view: what a terminal shows of them, beside a bar.

  Returns:
    The genotype of each seed.

  Raises:
    NotFinished: if searches were stopped; the same call goes on.
    SearchesError: if some failed.
    WriteError: if one could not write, which ends all.
    UserError: if the config does not fit, or a folder holds another run.
  """
  watchers = watchers_of(on_epoch)
  seeds = config.search_seeds
  if not seeds:
    raise UserError(
      'run_searches takes the seeds of its searches from search_seeds, which '
      'has none; with one seed, config.seed, run_search does.'
    )
  config, space, method, devices = checked(config, space, method)
  folders = {seed: pathlib.Path(workdir) / f'seed{seed}' for seed in seeds}
  configs = {seed: config_of(config, seed) for seed in seeds}
  for seed, folder in folders.items():
    check_workdir(folder, configs[seed])
  images = dataset.load(config.data) if data is None else data
  method = cost.held(config, space, method, images)
  made_of = inputs.of_search(images, space, method)
  for seed, folder in folders.items():
    if not check_workdir(folder, configs[seed], made_of):
      monitor.check(config.monitor, method)
  left = {seed: at for seed, at in folders.items() if not _finished(at)}
  if not left:
    return _summed_up(folders, {}, lambda line: quiet or print(line))
  search = prepare(config, space, method, images, devices)
  total = len(left) * config.epochs * search.per_epoch
  # What came after a checkpoint is done again.
  saved = map(checkpoint.newest_step, left.values())
  steps = sum(step - step % search.per_epoch for step in saved)
  with Console(total, steps, quiet, view, len(left)) as screen:
    screen.say(plan.of_search(search, workdir))
    ended = _take_turns(
      search, left, made_of, watchers, screen, signals, mapped
    )
    return _summed_up(folders, ended, screen.say)


def _take_turns(
  search: LiveSearch,
  folders: Mapping[int, pathlib.Path],
  made_of: Mapping[str, Any],
  watchers: Sequence[OnEpoch],
  screen: Console,
  signals: bool,
  mapped: bool | None,
) -> dict[int, Ended]:
  """Searches with all seeds that have folders; see `run_searches`."""
  interruption, running = Interruption(), set(folders)
  rounds = Rounds(lambda: interruption.requested)
  meeting = Meeting(
    search.make, search.data, search.devices, len(folders), rounds, mapped
  )

  def job_of(seed: int) -> Callable[[Ask], Genotype]:
    def say(text: str) -> None:
      screen.say(f'seed {seed}: {text}')

    shared = Shared(rounds, lambda: rounds.stops, say, lambda: len(running))

    def job(ask: Ask) -> Genotype:
      try:
        return run_prepared(
          _own(search, seed, meeting.programs_for(ask)),
          folders[seed],
          made_of,
          [_shows(seed, search.per_epoch, screen), *watchers],
          Options(signals=False, quiet=True, shared=shared),
        )
      finally:
        running.discard(seed)

    return job

  with interruption if signals else contextlib.nullcontext():
    ended = turns.take_turns(
      [job_of(seed) for seed in folders],
      meeting.serve,
      (UserError, NotFinished),
      # What one cannot write, the others cannot either.
      fatal=(WriteError,),
    )
  return dict(zip(folders, ended))


def config_of(config: SearchConfig, seed: int) -> SearchConfig:
  """That of the search which is alone with a seed."""
  return dataclasses.replace(config, seed=seed, search_seeds=())


def _own(
  search: LiveSearch,
  seed: int,
  make: Callable[[SearchConfig], Any],
) -> LiveSearch:
  """The search that is alone with a seed."""
  config = config_of(search.config, seed)
  return dataclasses.replace(
    search,
    config=config,
    key=search.devices.copy(jax.random.key(config.seed)),
    programs=make(config),
    make=make,
  )


def _shows(seed: int, per_epoch: int, screen: Console) -> OnEpoch:
  """Tells in a line what an epoch of a search has come to."""

  def show(record: EpochRecord) -> None:
    text = f'seed {seed}, {epoch_line(record.epoch, record.metrics)}'
    stage = record.stages[-1] if record.stages else None
    if stage is not None and stage.epoch == record.epoch:
      text += f'; entered {", ".join(stage.entered)}'
    screen.advance(per_epoch, record.metrics)
    screen.progress(text)

  return show


def _summed_up(
  folders: dict[int, pathlib.Path],
  ended: dict[int, Ended],
  say: Callable[[str], Any],
) -> dict[int, Genotype]:
  """Tells what became of each seed; see `run_searches`.

  Args:
    folders: of all seeds.
    ended: what the searches came to that were not finished before.
    say: prints a line.
  """
  found, stopped, failed = {}, False, []
  for seed, folder in folders.items():
    error = ended[seed].error if seed in ended else None
    if isinstance(error, NotFinished):
      stopped, said = True, str(error)
    elif isinstance(error, UserError):
      said = f'failed with code {error.exit_code}: {error}'
      failed.append(f'seed {seed} with code {error.exit_code}: {error}')
    else:
      result = _finished(folder)
      found[seed] = (
        ended[seed].result
        if seed in ended
        else Genotype.from_dict(result['genotype'])
      )
      accuracy = result.get('eval_accuracy')
      said = 'finished' if accuracy is None else f'finished, {accuracy:.4f}'
      known = truth.sentence(result)
      said += f', in {folder}' + (f'; {known}' if known else '')
    say(f'seed {seed}: {said}')
  count = len(folders)
  if stopped:
    raise NotFinished(
      f'{len(found)} of {count} searches are finished; the same command goes '
      'on with the others.'
    )
  if failed:
    raise SearchesError(
      f'{len(failed)} of {count} searches failed: {" ".join(failed)}'
    )
  return found


def _finished(folder: pathlib.Path) -> dict[str, Any]:
  """The results of a search; empty if it has not finished."""
  return results.finished(folder, GENOTYPE)
