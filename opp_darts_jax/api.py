"""Searching and training from Python, a notebook for instance.

Nothing here touches what the process has as a whole: no flags, no signal
handlers unless asked for, no settings of JAX.
"""

import dataclasses
import pathlib
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from opp_darts_jax import watched
from opp_darts_jax.config import (
  DataConfig,
  RunConfig,
  SearchConfig,
  TrainConfig,
)
from opp_darts_jax.data import dataset
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.errors import UserError, described
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.method import Method
from opp_darts_jax.running.searches import records
from opp_darts_jax.running.trainings import training
from opp_darts_jax.runs import SearchRun, TrainRun, load_run
from opp_darts_jax.spaces.space import Space

_NAMES: Mapping[Any, str] = {str: 'text', pathlib.Path: 'a path'}

Path = str | pathlib.Path
Arrays = tuple[Any, Any]
Data = ImageData | Arrays | DataConfig | Mapping[str, Any]
Config = TypeVar('Config', SearchConfig, TrainConfig)


def search(
  *given: Any,
  config: SearchConfig | None = None,
  workdir: Path | None = None,
  data: Data | None = None,
  space: Space | str | None = None,
  method: Method | str | None = None,
  on_epoch: records.OnEpoch | Iterable[records.OnEpoch] = (),
  signals: bool = False,
  quiet: bool = False,
  **fields: Any,
) -> SearchRun:
  """Searches a cell; `report.html` in the workdir shows how it goes.

      run = search(images, labels, epochs=24, channels=8)
      run = search(config, 'runs/mine', data=(images, labels), space=SPACE)

  Args:
    *given: images uint8 (n, H, W, C) or (n, H, W) and labels (n,), integers or
      text; or a config and a workdir.
    config: what to do; published settings by default.
    workdir: folder of the run, made if it is missing; the same call with the
      same workdir goes on where it stopped. None makes a temporary one.
    data: (images, labels), or what `of_arrays` gives, which has heeded
      `max_train` and the like; None reads what `config.data` names. A
      `DataConfig`, or a dict of its fields, is the config's own field, beside
      images and labels too: `search(images, labels, data={'flip': False})`.
    space: what is searched, or its name; None takes `config.space`.
    method: by which, with its schedule around it; None takes those that the
      config names, as does a text, which stands for `config.method`.
    on_epoch: called with an `EpochRecord` after each epoch; one that returns
      True ends the search there.
    signals: whether SIGTERM and SIGINT save the run before they end it.
    quiet: whether nothing is printed.
    **fields: of the config, in place of its own; a group of fields as a dict,
      `schedule={'stage_epochs': 2}`, or whole, `schedule=ScheduleConfig(...)`.

  Returns:
    The run, with its `genotype`.

  Raises:
    UserError: if anything does not fit: what was expected, what came.
  """
  config, workdir, data = _sort(
    SearchConfig, given, config, workdir, data, fields
  )
  _check('space', space, Space, str)
  _check('method', method, Method, str)
  if isinstance(space, str):
    config, space = dataclasses.replace(config, space=space), None
  if isinstance(method, str):
    config, method = dataclasses.replace(config, method=method), None
  images, config = _images(config, data)
  folder = _folder(workdir)
  watched.run_search(
    config,
    folder,
    data=images,
    space=space,
    method=method,
    on_epoch=on_epoch,
    signals=signals,
    quiet=quiet,
  )
  run = load_run(folder)
  assert isinstance(run, SearchRun)
  return run


def train(
  *given: Any,
  config: TrainConfig | None = None,
  workdir: Path | None = None,
  genotype: Genotype | str | None = None,
  data: Data | None = None,
  space: Space | str | None = None,
  on_epoch: training.OnEpoch | Iterable[training.OnEpoch] = (),
  signals: bool = False,
  quiet: bool = False,
  **fields: Any,
) -> TrainRun:
  """Trains and tests the network of a genotype, with a `report.html`.

      run = train(images, labels, genotype=found.genotype, layers=8, epochs=50)
      run.results['test_accuracy'], run.network(images)

  Args:
    *given: images and labels, or a config and a workdir, as for `search`.
    config: what to do; published settings by default.
    workdir: folder of the run, as for `search`.
    genotype: itself, a published name, a text or a file; None takes
      `config.genotype`.
    data: as for `search`; a part of it is tested on.
    space: whose cells these are, or its name; None takes `config.space`.
    on_epoch: called with a `TrainRecord` after each epoch.
    signals: whether SIGTERM and SIGINT save the run before they end it.
    quiet: whether nothing is printed.
    **fields: of the config, in place of its own.

  Returns:
    The run, with its `results` and `network`.

  Raises:
    UserError: if anything does not fit: what was expected, what came.
  """
  config, workdir, data = _sort(
    TrainConfig, given, config, workdir, data, fields
  )
  _check('space', space, Space, str)
  _check('genotype', genotype, Genotype, str)
  if isinstance(genotype, str):
    config, genotype = dataclasses.replace(config, genotype=genotype), None
  if isinstance(space, str):
    config, space = dataclasses.replace(config, space=space), None
  images, config = _images(config, data)
  folder = _folder(workdir)
  watched.run_training(
    config,
    folder,
    data=images,
    genotype=genotype,
    space=space,
    on_epoch=on_epoch,
    signals=signals,
    quiet=quiet,
  )
  run = load_run(folder, space)
  assert isinstance(run, TrainRun)
  return run


def _sort(
  kind: type[Config],
  given: tuple[Any, ...],
  config: Config | None,
  workdir: Path | None,
  data: Data | None,
  fields: dict[str, Any],
) -> tuple[Config, Path | None, ImageData | Arrays | None]:
  """(config, workdir, data) of what was given by place and by name."""
  if isinstance(data, (DataConfig, Mapping)):
    fields, data = {**fields, 'data': data}, None
  match given:
    case ():
      pass
    case (RunConfig(),) if config is None:
      config = given[0]
    case (RunConfig(), str() | pathlib.Path()) if not (config or workdir):
      config, workdir = given
    case (images, labels) if data is None and hasattr(images, '__len__'):
      data = images, labels
    case _:
      raise UserError(
        f'Expected images and labels, or a {kind.__name__} and a workdir, got '
        f'{", ".join(type(one).__name__ for one in given)}; each of them once.'
      )
  _check('workdir', workdir, str, pathlib.Path)
  config = kind() if config is None else config
  if not isinstance(config, kind):
    raise UserError(
      f'Expected a {kind.__name__}, got a {type(config).__name__}.'
    )
  if fields:
    config = kind.from_dict(_updated(dataclasses.asdict(config), fields))
  return config, workdir, data


def _updated(
  own: Mapping[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any]:
  """Nested fields, with some in place of their own."""
  updated = dict(own)
  for name, value in fields.items():
    group = own.get(name)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
      value = dataclasses.asdict(value)
    if isinstance(group, dict) and isinstance(value, Mapping):
      value = _updated(group, value)
    updated[name] = value
  return updated


def _images(
  config: Config, data: ImageData | Arrays | None
) -> tuple[ImageData | None, Config]:
  """The images that were passed, and the config that says so."""
  if data is None:
    return None, config
  if isinstance(data, ImageData):
    images = data
    dataset.check_made_by(images, config.data)
  elif isinstance(data, (tuple, list)) and len(data) == 2:
    images = dataset.of_arrays(*data, config.data)
  else:
    raise UserError(
      'Expected data as (images, labels), or what of_arrays gives, got '
      f'{described(data)}.'
    )
  made = dataset.made_by(images, config.data)
  return images, dataclasses.replace(config, data=made)


def _check(what: str, value: Any, *kinds: type) -> None:
  """Raises `UserError` unless it is None or of one of these kinds."""
  if value is not None and not isinstance(value, kinds):
    names = ' or '.join(
      _NAMES.get(kind, f'a {kind.__name__}') for kind in kinds
    )
    raise UserError(f'Expected {what} as {names}, got {described(value)}.')


def _folder(workdir: Path | None) -> pathlib.Path:
  if workdir is None:
    return pathlib.Path(tempfile.mkdtemp(prefix='opp_darts_'))
  return pathlib.Path(workdir).expanduser()
