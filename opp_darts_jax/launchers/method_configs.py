"""What the configs of the field's methods have in common."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.configs import cifar10, digits

_NO_FIELDS: Mapping[str, Any] = {}


def method_config(
  name: str,
  part: str,
  published: Mapping[str, Any],
  small: Mapping[str, Any] = _NO_FIELDS,
) -> ml_collections.ConfigDict:
  """A method as published on CIFAR-10, or a small search on digits.

  Args:
    name: of the config, and of the method without arguments.
    part: 'search' or 'train' on CIFAR-10, 'digits' or 'digits_train'.
    published: fields in which the search differs from `cifar10`'s.
    small: fields in which that on digits differs from `digits`'s. Either search
      is plain: all operations are there from the first epoch on.
  """
  check_choice(
    'part of the config', part, ('search', 'train', 'digits', 'digits_train')
  )
  on_digits = part.startswith('digits')
  run = f'{name}_digits' if on_digits else name
  base = digits if on_digits else cifar10
  if part.endswith('train'):
    config = base.get_config('train')
    config.genotype = f'runs/{run}/search/genotype.json'
    config.space = published.get('space', config.space)
    return config
  config = base.get_config()
  config.schedule.name = 'plain'
  fields = {**small, 'space': published.get('space', config.space)}
  config.update({'method': name, **(fields if on_digits else published)})
  return config
