"""A trained network as one file.

network = load_network('runs/digits/train')
logits = network(images)
names = [network.class_names[k] for k in logits.argmax(-1)]
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from opp_darts_jax import files
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.errors import UserError, check_type
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.networks.network import Network, variable_shapes
from opp_darts_jax.networks.trained_network import TrainedNetwork
from opp_darts_jax.recorded import ALPHAS, CONFIG, NETWORK
from opp_darts_jax.spaces.catalogue import get_space
from opp_darts_jax.spaces.space import Space

_DESCRIPTION = 'description'


def save_network(
  path: pathlib.Path,
  model: Network,
  variables: Any,
  images: ImageData | Streamed,
  space_name: str = '',
) -> None:
  """Writes a trained network as one .npz file, whole or not at all.

  Args:
    path: of the file.
    model: the network.
    variables: {'params': ..., 'batch_stats': ...}.
    images: what it was trained on.
    space_name: by which `get_space` finds the network's space; '' is the name
      that the space has itself. Of a space only this name is written.
  """
  fields = {
    field.name: getattr(model, field.name)
    for field in dataclasses.fields(model)
    if field.name not in ('parent', 'name')
  }
  fields['genotype'] = model.genotype.to_dict()
  fields['space'] = space_name or model.space.name
  description = {
    'network': fields,
    'class_names': images.class_names,
    'image_shape': images.image_shape,
    'mean': images.mean,
    'std': images.std,
  }
  flat, _ = jax.tree.flatten_with_path(jax.device_get(variables))
  leaves = {_name(keys): leaf for keys, leaf in flat}
  leaves[_DESCRIPTION] = np.array(json.dumps(description))
  with files.replacing(path) as temporary, open(temporary, 'wb') as file:
    np.savez(file, **leaves)


def load_network(
  path: str | pathlib.Path, space: Space | None = None
) -> TrainedNetwork:
  """Loads a network that was trained.

  Args:
    path: the workdir of its training, or the file `network.npz` from there.
    space: of its cells; needed only if there is none of the name in the file,
      nor, if that is FILE.py:SPACE, such a file in a folder above the network.

  Raises:
    UserError: if there is no such file, or it holds no network, or one of a
      space that cannot be found.
  """
  check_type('the path of a network', path, str, os.PathLike)
  path = pathlib.Path(path).expanduser()
  if path.is_dir():
    path = _file_in(path)
  try:
    leaves = files.read_npz(path)
    if _DESCRIPTION not in leaves:
      raise ValueError('a file without the description of a network')
    description = json.loads(str(leaves.pop(_DESCRIPTION)))
    # What the first networks were of, whose files do not say it.
    fields = {'space': 'darts'} | description['network']
    genotype, space_name = fields.pop('genotype'), fields.pop('space')
    shape = tuple(description['image_shape'])
    of_images = [
      tuple(description[name]) for name in ('class_names', 'mean', 'std')
    ]
    fitting = shape == tuple(map(int, shape)) and len(shape) == 3
    if not fitting or any(len(of) != shape[-1] for of in of_images[1:]):
      raise ValueError(f'images of the shape {shape}')
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise _no_network(path, f'{type(error).__name__}: {error}') from error
  known = {field.name for field in dataclasses.fields(Network)}
  newer = sorted(fields.keys() - known)
  if newer:
    raise UserError(
      f'The network in {path} has {", ".join(newer)}, which this version of '
      'opp_darts_jax does not know; the version that wrote it, or a newer one, '
      'does.'
    )
  try:
    model = Network(
      Genotype.from_dict(genotype),
      **fields,
      space=space or _find_space(str(space_name), path),
    )
    variables = _fill(model, shape, leaves)
  except UserError as error:
    raise UserError(f'In {path}: {error}') from error
  except (TypeError, ValueError, AttributeError) as error:
    raise _no_network(path, f'{type(error).__name__}: {error}') from error
  class_names, mean, std = of_images
  return TrainedNetwork(model, variables, class_names, shape, mean, std)


def _file_in(workdir: pathlib.Path) -> pathlib.Path:
  """The file in the workdir of a training.

  Raises:
    UserError: if it is not there; it says why, as far as that can be seen.
  """
  path = workdir / NETWORK
  if path.is_file():
    return path
  of_seeds = sorted(workdir.glob(f'*/{NETWORK}'))
  if of_seeds:
    raise UserError(
      f'Expected the workdir of one training, got {workdir}, with those of '
      f'several: {", ".join(str(p.parent) for p in of_seeds)}.'
    )
  if (workdir / ALPHAS).exists():
    why = 'it is that of a search; train what it found'
  elif (workdir / CONFIG).exists():
    why = 'its training has not ended; the same command goes on with it'
  else:
    why = 'it is that of no run'
  raise UserError(
    f'Expected the workdir of a training that has ended, with its network.npz, '
    f'got {workdir}: {why}.'
  )


def _no_network(path: pathlib.Path, got: str) -> UserError:
  return UserError(
    'Expected a trained network, a network.npz or the workdir of a training '
    f'that has ended, at {path}; got {" ".join(got.split()).rstrip(".")}.'
  )


def _find_space(name: str, path: pathlib.Path) -> Space:
  """The space of the name that a file gives.

  A FILE.py:SPACE is looked for from the current folder, as when it was trained,
  then from the folders above the network, nearest first.
  """
  place, of_file, _ = name.partition('.py:')
  if of_file and not pathlib.Path(place).expanduser().is_absolute():
    for folder in (pathlib.Path(), *path.resolve().parents):
      if (folder / f'{place}.py').is_file():
        name = str(folder / name)
        break
  try:
    return get_space(name)
  except UserError as error:
    raise UserError(
      f'{str(error).rstrip(".")}; or pass the space itself to load_network: '
      'load_network(path, space=SPACE).'
    ) from error


def _fill(
  model: Network,
  image_shape: tuple[int, ...],
  arrays: Mapping[str, np.ndarray],
) -> Any:
  """The model's variables; UserError if arrays are missing or do not fit."""
  expected = variable_shapes(model, image_shape)
  leaves, structure = jax.tree.flatten_with_path(expected)
  want = {_name(keys): leaf.shape for keys, leaf in leaves}
  got = {name: array.shape for name, array in arrays.items()}
  wrong = sorted(
    name for name in {*want, *got} if want.get(name) != got.get(name)
  )
  if wrong:
    raise UserError(
      f'the arrays do not fit the network: {wrong[0]} should be '
      f'{want.get(wrong[0], "absent")} and is {got.get(wrong[0], "missing")} '
      f'({len(wrong)} such in all).'
    )
  return jax.device_put(
    jax.tree.unflatten(structure, [arrays[n] for n in want])
  )


def _name(keys: Any) -> str:
  return jax.tree_util.keystr(keys, simple=True, separator='/')
