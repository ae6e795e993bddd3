"""What PyTorch calls the weights around the operations, skeleton by skeleton.

Those of DARTS are the names of its public code, and those of NAS-Bench-201 the
names of the networks that come with the benchmark.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from opp_darts_jax.errors import UserError
from opp_darts_jax.networks.export import entries
from opp_darts_jax.networks.export.entries import Entry
from opp_darts_jax.operations.torch_names import FACTORIZED_REDUCE
from opp_darts_jax.spaces import nasbench201, skeleton
from opp_darts_jax.spaces.skeleton import Part, Skeleton
from opp_darts_jax.spaces.space import Space

Entries = Iterator[Entry]


class SkeletonNames(NamedTuple):
  """The tensors of a skeleton.

  Attributes:
    stem: imagenet -> those of the stem.
    edge: what stands between the names of a cell and the number of an edge.
    inputs: (prefix, part, affine) -> those of a cell's inputs.
    block: (prefix, part) -> those of a block.
    head: those of the head.
    auxiliary: imagenet -> those of the auxiliary head.
  """

  stem: Callable[[bool], Entries]
  edge: str
  inputs: Callable[[str, Part, bool], Entries]
  block: Callable[[str, Part], Entries]
  head: Callable[[], Entries]
  auxiliary: Callable[[bool], Entries]


def skeleton_names(space: Space, what: str = 'PyTorch') -> SkeletonNames:
  """The names for networks of a space; UserError if there are none."""
  if space.skeleton not in SKELETONS:
    raise UserError(
      f'Networks of space {space.name!r} cannot be exported to {what}: what is '
      'around their cells has no names there; the skeletons of DARTS and '
      'NAS-Bench-201 have.'
    )
  return SKELETONS[space.skeleton]


def _darts_stem(imagenet: bool) -> Entries:
  if not imagenet:
    yield from entries.conv_norm('stem', '0', '1', ('stem',))
    return
  yield from entries.conv_norm('stem0', '0', '1', ('stem0',))
  yield from entries.conv_norm('stem0', '3', '4', ('stem1',))
  yield from entries.conv_norm('stem1', '1', '2', ('stem2',))


def _darts_inputs(prefix: str, part: Part, affine: bool) -> Entries:
  for i in range(2):
    name = f'{prefix}.preprocess{i}'
    path = (part.name, 'preprocess', f'input{i}')
    if i == 0 and part.after_reduction:
      for leaf in FACTORIZED_REDUCE:
        leaf_path = ('params', *path, leaf.leaf)
        yield Entry(f'{name}.{leaf.name}', leaf_path, leaf.index, leaf.layout)
      yield from entries.norm(f'{name}.bn', (*path, 'norm'), affine)
    else:
      yield from entries.conv_norm(f'{name}.op', '1', '2', path, affine)


def _darts_auxiliary(imagenet: bool) -> Entries:
  head = 'auxiliary_head'
  features = f'{head}.features'
  yield from entries.conv_norm(features, '2', '3', (head, 'conv0'))
  if imagenet:
    yield entries.conv(f'{features}.5', (head, 'conv1'))
  else:
    yield from entries.conv_norm(features, '5', '6', (head, 'conv1'))
  yield from entries.classifier(f'{head}.classifier', (head, 'classifier'))


def _darts_head() -> Entries:
  return entries.classifier('classifier', ('classifier',))


def _bench_stem(imagenet: bool) -> Entries:
  del imagenet
  return entries.conv_norm('stem', '0', '1', ('stem',))


def _bench_block(prefix: str, part: Part) -> Entries:
  for ours, theirs in (('conv0', 'conv_a'), ('conv1', 'conv_b')):
    path = (part.name, ours)
    yield from entries.conv_norm(f'{prefix}.{theirs}.op', '1', '2', path)
  yield entries.conv(f'{prefix}.downsample.1', (part.name, 'shortcut'))


def _bench_head() -> Entries:
  yield from entries.norm('lastact.0', ('last_norm',))
  yield from entries.classifier('classifier', ('classifier',))


def _nothing(*args: object) -> Entries:
  del args
  return iter(())


SKELETONS: Mapping[Skeleton, SkeletonNames] = {
  skeleton.DARTS: SkeletonNames(
    stem=_darts_stem,
    edge='_ops',
    inputs=_darts_inputs,
    block=_nothing,
    head=_darts_head,
    auxiliary=_darts_auxiliary,
  ),
  nasbench201.NASBENCH201.skeleton: SkeletonNames(
    stem=_bench_stem,
    edge='layers',
    inputs=_nothing,
    block=_bench_block,
    head=_bench_head,
    auxiliary=_nothing,
  ),
}
