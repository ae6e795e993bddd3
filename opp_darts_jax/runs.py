"""Runs as one looks at them from Python, a notebook for instance."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from opp_darts_jax import files
from opp_darts_jax.config import SearchConfig, TrainConfig, first_house
from opp_darts_jax.errors import UserError, check_type
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.stages import Stage
from opp_darts_jax.networks.trained import load_network
from opp_darts_jax.networks.trained_network import TrainedNetwork
from opp_darts_jax.recorded import (
  ALPHAS,
  CONFIG,
  GENOTYPE,
  METRICS,
  RESULTS,
  SPACE,
)
from opp_darts_jax.reporting import derived, figures
from opp_darts_jax.reporting.figures import Figure
from opp_darts_jax.reporting.judgement import Judgement, judge
from opp_darts_jax.running.workdirs import results
from opp_darts_jax.spaces.space import Space


class _Drawn:
  """What searches and trainings have in common here: numbers and pictures."""

  workdir: pathlib.Path
  genotype: Genotype
  epochs: tuple[Mapping[str, Any], ...]

  @functools.cached_property
  def history(self) -> dict[str, np.ndarray]:
    """Every number of the epochs, as an array over them; NaN where it lacks."""
    return _columns(self.epochs)

  def frame(self) -> Any:
    """The history as a pandas frame, a row an epoch.

    Raises:
      UserError: if there is no pandas.
    """
    try:
      import pandas
    except ImportError as error:
      raise UserError(
        'frame() takes pandas, which is not installed: pip install pandas; '
        '`history` has the same numbers as arrays.'
      ) from error
    history = dict(self.history)
    index = pandas.Index(history.pop('epoch', []), name='epoch', dtype=int)
    return pandas.DataFrame(history, index=index)

  def figure(self, name: str) -> Figure:
    """A figure of the run's report, which a notebook shows.

    Args:
      name: 'alphas', a kind of cell, or another of `figures`.

    Raises:
      UserError: if the run has no such figure.
    """
    return figures.draw(self.workdir, name)

  @property
  def figures(self) -> tuple[str, ...]:
    """The names of the figures that there are of the run."""
    return figures.names(self.workdir)

  def _repr_html_(self) -> str:
    """Its cells; what a notebook shows of the run."""
    return figures.cells(self.workdir, self.genotype.kinds)


@dataclasses.dataclass(frozen=True)
class SearchRun(_Drawn):
  """A search, finished or as far as it is.

  Attributes:
    workdir: its folder.
    config: what it does.
    genotype: that it ended with, else that of the last epoch.
    epochs: a record for each, with `train_loss`, `eval_accuracy` and more.
    stages: which operations entered when, and the losses that decided.
    alphas: a record for each epoch: the tables of alphas by kind of cell.
    results: `eval_accuracy`, what it was `ended_by` and more; {} before it has
      finished.
  """

  workdir: pathlib.Path
  config: SearchConfig
  genotype: Genotype
  epochs: tuple[Mapping[str, Any], ...] = dataclasses.field(repr=False)
  stages: tuple[Stage, ...] = dataclasses.field(repr=False)
  alphas: tuple[Mapping[str, Any], ...] = dataclasses.field(repr=False)
  results: Mapping[str, Any] = dataclasses.field(repr=False)

  @functools.cached_property
  def tables(self) -> dict[str, np.ndarray]:
    """The alphas as {kind: (epochs, E, K)}; NaN where not active."""
    kinds = self.genotype.kinds
    return {
      kind: np.array([line[kind] for line in self.alphas], float)
      for kind in kinds
      if all(kind in line for line in self.alphas)
    }

  @property
  def judgement(self) -> Judgement:
    """Whether it has collapsed into skip connections, and by which rule."""
    # Runs of earlier releases have no such file.
    space = files.read_json(self.workdir / SPACE)
    gave = derived.found(self.epochs, self.genotype, self.results)
    lines = [*self.epochs, *([gave] if gave else ())]
    return judge(lines, space or {'name': self.config.space})


@dataclasses.dataclass(frozen=True)
class TrainRun(_Drawn):
  """A training, finished or as far as it is.

  Attributes:
    workdir: its folder.
    config: what it does.
    genotype: of the network.
    epochs: a record for each.
    results: `test_accuracy` (a fraction), `class_accuracy` and more; {} before
      it has finished.
    space: of the genotype; None where the config's name finds it.
  """

  workdir: pathlib.Path
  config: TrainConfig
  genotype: Genotype
  epochs: tuple[Mapping[str, Any], ...] = dataclasses.field(repr=False)
  results: Mapping[str, Any] = dataclasses.field(repr=False)
  space: Space | None = dataclasses.field(default=None, repr=False)

  @functools.cached_property
  def network(self) -> TrainedNetwork:
    """The trained network: uint8 images (n, H, W, C) -> logits.

    Raises:
      UserError: if the training has not finished.
    """
    return load_network(self.workdir, self.space)


def load_run(
  workdir: str | pathlib.Path, space: Space | None = None
) -> SearchRun | TrainRun:
  """The run in a folder, whether it has finished or not.

      run = load_run('runs/digits/search')
      run.history['eval_accuracy'], run.tables['normal'], run.genotype
      run.figure('alphas')

  Args:
    workdir: of a search or a training.
    space: that the network of a training is of; needed only if its name, in the
      run's config, finds none.

  Raises:
    UserError: if the folder holds no run, or none that has ended an epoch.
  """
  check_type('the folder of a run', workdir, str, os.PathLike)
  workdir = pathlib.Path(workdir).expanduser()
  found = results.read(workdir, CONFIG)
  kind: Any = first_house.kind_of(found)
  config = kind.from_dict(first_house.of_now(found))
  genotype = Genotype.from_dict(results.read(workdir, GENOTYPE))
  lines = files.read_lines(workdir / METRICS)
  epochs = tuple(line for line in lines if line.get('kind') == 'epoch')
  ended: Mapping[str, Any] = {}
  if (workdir / RESULTS).exists():
    ended = results.read(workdir, RESULTS)
  if kind is TrainConfig:
    return TrainRun(workdir, config, genotype, epochs, ended, space)
  stages = tuple(
    Stage.from_json(line) for line in lines if line.get('kind') == 'stage'
  )
  alphas = tuple(files.read_lines(workdir / ALPHAS))
  return SearchRun(workdir, config, genotype, epochs, stages, alphas, ended)


def _columns(lines: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
  """Numbers of records by their names; whole ones stay so."""
  names = dict.fromkeys(
    name
    for line in lines
    for name, value in line.items()
    if isinstance(value, (int, float)) and not isinstance(value, bool)
  )
  found = {}
  for name in names:
    values = [line.get(name) for line in lines]
    whole = all(isinstance(value, int) for value in values)
    found[name] = np.array(values, int if whole else float)
  return found
