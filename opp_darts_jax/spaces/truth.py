"""What a space knows of the cells that a search finds: see `Space.truth`."""

from collections.abc import Mapping
from typing import Any

from opp_darts_jax.errors import UserError, telling
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.recorded import TRUTH, check_numbers
from opp_darts_jax.spaces.space import Space

_TEST, _REGRET = 'test_', 'regret_'


def of_genotype(space: Space, genotype: Genotype) -> dict[str, float]:
  """The numbers that a space knows of a genotype, each as `truth_NAME`.

  Args:
    space: that is searched; most know nothing.
    genotype: a method may derive one that a space does not know either.

  Raises:
    UserError: if what the space gives is no numbers by name.
  """
  if space.truth is None:
    return {}
  what = f'truth of the space {space.name!r}'
  with telling(f'{what} could not be asked of a genotype', ''):
    try:
      found = space.truth(genotype)
    except UserError:
      return {}
  check_numbers(f'what {what} gives', found)
  return {f'{TRUTH}{name}': value for name, value in found.items()}


def sentence(fields: Mapping[str, Any]) -> str:
  """The test accuracies of a cell, what they lack, and its rank; or ''.

  Args:
    fields: among them those of `of_genotype`.
  """
  known = {
    name.removeprefix(TRUTH): value
    for name, value in fields.items()
    if name.startswith(TRUTH)
  }
  said = []
  for name, value in known.items():
    if name.startswith(_TEST):
      data = name.removeprefix(_TEST)
      regret = known.get(f'{_REGRET}{data}')
      lacks = '' if regret is None else f' ({regret:.4f} below the best)'
      said.append(f'{data} {value:.4f}{lacks}')
  if 'rank' in known:
    said.append(f'rank {known["rank"]:,}')
  return f'trained, the cell has: {", ".join(said)}' if said else ''
