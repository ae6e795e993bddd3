"""Searches and trainings as people look at them: with page and live view.

The runs are those of running/, which know of neither; the command line and
Python run these.
"""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax

from opp_darts_jax.config import SearchConfig, TrainConfig
from opp_darts_jax.errors import NotFinished
from opp_darts_jax.reporting import live, live_view
from opp_darts_jax.running.runs.watchers import watchers_of
from opp_darts_jax.running.searches import results, search, seeds
from opp_darts_jax.running.searches.records import OnEpoch
from opp_darts_jax.running.trainings import training
from opp_darts_jax.spaces.space import Space

Path = str | pathlib.Path


def run_search(
  config: SearchConfig,
  workdir: Path,
  *,
  space: Space | None = None,
  on_epoch: OnEpoch | Iterable[OnEpoch] = (),
  **options: Any,
) -> None:
  """A search, with its page, its live view and what its network takes.

  Args:
    config: what to do.
    workdir: a folder; made if it is missing.
    space: None takes the one that the config names.
    on_epoch: called with an `EpochRecord` after each epoch, before the page is
      written.
    **options: further ones of `running.searches.search.run_search`.
  """
  folder = pathlib.Path(workdir)
  with _watchers(folder, on_epoch) as watchers:
    search.run_search(
      config,
      folder,
      space=space,
      on_epoch=watchers,
      view=live_view.of_search(folder),
      **options,
    )
    _count([folder], config, space)


def run_searches(
  config: SearchConfig,
  workdir: Path,
  *,
  space: Space | None = None,
  on_epoch: OnEpoch | Iterable[OnEpoch] = (),
  **options: Any,
) -> None:
  """Searches with each of `config.search_seeds`, with a page each.

  Args:
    config: what to do.
    workdir: a folder; made if it is missing.
    space: None takes the one that the config names.
    on_epoch: as for `run_search`.
    **options: further ones of `running.searches.seeds.run_searches`.
  """
  folder = pathlib.Path(workdir)
  folders = [folder / f'seed{seed}' for seed in config.search_seeds]
  with _watchers(folder, on_epoch) as watchers:
    try:
      seeds.run_searches(
        config,
        folder,
        space=space,
        on_epoch=watchers,
        view=live_view.of_searches(folder, config.search_seeds),
        **options,
      )
    except (NotFinished, seeds.SearchesError):
      # Those that have finished, whatever became of the others.
      _count(folders, config, space)
      raise
    _count(folders, config, space)


def run_training(
  config: TrainConfig,
  workdir: Path,
  *,
  on_epoch: training.OnEpoch | Iterable[training.OnEpoch] = (),
  **options: Any,
) -> None:
  """A training, with its page and its live view.

  Args:
    config: what to do.
    workdir: a folder; made if it is missing.
    on_epoch: called with a `TrainRecord` after each epoch, before the page is
      written.
    **options: further ones of `running.trainings.training.run_training`.
  """
  with _watchers(workdir, on_epoch) as watchers:
    training.run_training(
      config,
      workdir,
      on_epoch=watchers,
      view_of=live_view.of_training,
      **options,
    )


@contextlib.contextmanager
def _watchers(workdir: Path, on_epoch: Any) -> Iterator[list[Any]]:
  """The caller's watchers, and after them the page."""
  with live.kept(workdir, _writes()) as pages:
    yield [*watchers_of(on_epoch), *pages]


def _count(
  folders: Sequence[pathlib.Path],
  config: SearchConfig,
  space: Space | None,
) -> None:
  """Adds to the results of searches what a network of their cells takes."""
  for folder in folders if _writes() else ():
    results.count_network(folder, config, space)


def _writes() -> bool:
  """Of several processes the first one writes."""
  return jax.process_index() == 0
