"""The genotypes in the lines of a search's metrics, and the one it gave."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.signs import skip_share
from opp_darts_jax.recorded import TRUTH

_KEPT = 512  # those of all epochs of a run, which are read at every page
FOUND = 'found'
# What a line says of the cells that were derived then, or of what decided them.
_OF_CELLS = ('skip_', 'entropy_', 'derived_', TRUTH)


def genotype_of(record: Mapping[str, Any]) -> Genotype:
  """What was derived at an epoch.

  Raises:
    UserError: if the line has something else there.
  """
  return _read(json.dumps(record['genotype']))


def with_cells(kinds: Iterable[str], space: Mapping[str, Any]) -> list[str]:
  """The kinds that the supernet has cells of, by what `space.json` holds.

  All of them, where it is one of an earlier release, which does not say it.
  """
  cells = space.get('cells') or {}
  return [kind for kind in kinds if cells.get(kind) != 0]


def found(
  epochs: Sequence[Mapping[str, Any]],
  genotype: Genotype | None,
  results: Mapping[str, Any],
) -> dict[str, Any] | None:
  """The line of what a search gave, where the last epoch has another cell.

  A method may stop and give the cells of an earlier epoch, decide by something
  else in the end, or have no epochs at all.

  Args:
    epochs: the lines of the epochs.
    genotype: that the search ended with.
    results: of the search.

  Returns:
    Of kind `FOUND`: the line of the epoch whose cell it is, else the last one
    without what it says of its own, with what `results` know of its truth.
    None if the search has not ended, or the last epoch's line is that line.
  """
  if genotype is None or 'ended_by' not in results:
    return None
  last = epochs[-1] if epochs else {'epoch': 0, 'step': 0}
  own = [r for r in epochs if r.get('genotype') and genotype_of(r) == genotype]
  if epochs and own[-1:] == [last]:
    return None
  if own:
    line = dict(own[-1])
  else:
    line = {k: v for k, v in last.items() if not k.startswith(_OF_CELLS)}
    for kind in genotype.kinds:
      line[f'skip_{kind}'] = genotype.num_skips(kind)
      line[f'skip_share_{kind}'] = skip_share(genotype, kind)
  return {
    **line,
    **{k: v for k, v in results.items() if k.startswith(TRUTH)},
    'kind': FOUND,
    'genotype': genotype.to_dict(),
  }


@memoized(_KEPT)
def _read(text: str) -> Genotype:
  return Genotype.from_dict(json.loads(text))
