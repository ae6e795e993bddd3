"""What runs leave in their folders, to be looked at from Python."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from opp_darts_jax import files
from opp_darts_jax.config import SearchConfig, TrainConfig, first_house
from opp_darts_jax.config.fields import as_json
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.stages import Stage
from opp_darts_jax.networks.trained import TrainedNetwork, load_network
from opp_darts_jax.running.metrics import METRICS, RESULTS
from opp_darts_jax.spaces.space import Space

__all__ = ['RESULTS', 'SearchRun', 'TrainRun', 'finished', 'load_run']


@dataclasses.dataclass(frozen=True)
class SearchRun:
  """A search, finished or as far as it is.

  Attributes:
    workdir: its folder.
    config: what it does.
    genotype: that of the last epoch.
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


@dataclasses.dataclass(frozen=True)
class TrainRun:
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

  Args:
    workdir: of a search or a training.
    space: that the network of a training is of; needed only if its name, in the
      run's config, finds none.

  Raises:
    UserError: if the folder holds no run, or none that has ended an epoch.
  """
  workdir = pathlib.Path(workdir)
  found = _json(workdir, 'config.json')
  kind: Any = TrainConfig if 'genotype' in found else SearchConfig
  defaults = as_json(kind())
  config = kind.from_dict(first_house.as_of_now(found, defaults))
  genotype = Genotype.from_dict(_json(workdir, 'genotype.json'))
  lines = files.read_lines(workdir / METRICS)
  epochs = tuple(line for line in lines if line.get('kind') == 'epoch')
  results = _json(workdir, RESULTS) if (workdir / RESULTS).exists() else {}
  if kind is TrainConfig:
    return TrainRun(workdir, config, genotype, epochs, results, space)
  stages = tuple(
    Stage.from_json(line) for line in lines if line.get('kind') == 'stage'
  )
  alphas = tuple(files.read_lines(workdir / 'alphas.jsonl'))
  return SearchRun(workdir, config, genotype, epochs, stages, alphas, results)


def finished(workdir: str | pathlib.Path, beside: str) -> dict[str, Any]:
  """The results of a run that has finished; empty for any other.

  Args:
    workdir: of the run.
    beside: the file that it leaves beside them.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / RESULTS
  if not path.is_file() or not (workdir / beside).is_file():
    return {}
  return _json(workdir, path.name)


def _json(workdir: pathlib.Path, name: str) -> dict[str, Any]:
  path = workdir / name
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise UserError(
      f'Expected the folder of a run that has ended an epoch, with its {name}; '
      f'in {workdir} it is missing or damaged.'
    ) from error
  if not isinstance(found, dict):
    raise UserError(f'Expected an object in {path}, got {found!r}.')
  return found
