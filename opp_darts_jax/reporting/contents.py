"""What runs are of, by content: images, and tables of costs.

What a config calls them says where they lie, which tells none apart: they may
be moved, and the same words may mean others.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.reporting.run_files import RunFiles

_DIGITS = 8
# Of these fields of a data set's config the same images are made that another
# run is tested on, in another form, or more of them to train on.
_WAYS = ('image_size', 'background', 'max_train')


class Input(NamedTuple):
  """What a run is of.

  Attributes:
    label: what the first run that is of the same calls it.
    digits: of its digest, if others have this label, made in the same way; else
      ''.
  """

  label: str
  digits: str

  @property
  def source(self) -> str:
    """The label without a word that settles what it means."""
    return self.label.removeprefix('tfds:')

  @property
  def name(self) -> str:
    """What it is called on a page, as no other is."""
    return f'{self.source} ({self.digits})' if self.digits else self.source


def images(runs: Sequence[RunFiles]) -> list[Input]:
  """The images of each run."""
  return _told_apart(
    [str(_part(run.config, 'data').get('source')) for run in runs],
    [str(_part(run.inputs, 'data').get('fingerprint') or '') for run in runs],
    [str([_part(run.config, 'data').get(n) for n in _WAYS]) for run in runs],
  )


def tables(runs: Sequence[RunFiles]) -> list[Input]:
  """The table of costs of each run; of most it is called ''."""
  names = [str(_part(run.config, 'cost').get('table') or '') for run in runs]
  costs = [_part(run.inputs, 'cost').values() for run in runs]
  return _told_apart(
    names,
    [''.join(map(str, own)) if name else '' for name, own in zip(names, costs)],
    [''] * len(runs),
  )


def _told_apart(
  names: Sequence[str], digests: Sequence[str], ways: Sequence[str]
) -> list[Input]:
  """Inputs by their digests.

  Args:
    names: what the runs call them.
    digests: '' of runs of earlier releases, which go by the name alone.
    ways: by which other digests are no other inputs.
  """
  known = {*zip(names, digests)}
  by_name = {
    name: [digest for own, digest in known if own == name and digest]
    for name in names
  }
  keys = [
    digest or (by_name[name][0] if len(by_name[name]) == 1 else '')
    for name, digest in zip(names, digests)
  ]
  firsts = dict(reversed([*zip(keys, names)]))
  labels = [firsts[key] if key else name for key, name in zip(keys, names)]
  sources = [Input(label, '').source for label in labels]
  taken = [(source, way) for source, way, _ in {*zip(sources, ways, keys)}]
  return [
    Input(label, key[:_DIGITS] if taken.count((source, way)) > 1 else '')
    for label, source, way, key in zip(labels, sources, ways, keys)
  ]


def _part(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
  return tree.get(name) or {}
