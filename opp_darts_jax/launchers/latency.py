"""Times the operations of a space, for a cost term in seconds.

  opp-darts latency --space=darts --image_size=32 --out=latency.json
  opp-darts search --config=cifar10 --config.cost.quantity=latency \
    --config.cost.table=latency.json --config.cost.target=0.02 \
    --workdir=runs/fast/search

The table is of one network: that which the search's cost.layers, cost.channels
and cost.image_size say.

On the device of this machine; with --target=h100, say, as modelled for one that
need not be here.
"""

import os
import pathlib

from absl import flags

from opp_darts_jax import files
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import launch
from opp_darts_jax.running import absent, latency
from opp_darts_jax.running.accelerators import ACCELERATORS
from opp_darts_jax.running.timing import measured, modelled_for
from opp_darts_jax.spaces.catalogue import get_space

_SPACE = flags.DEFINE_string('space', 'darts', 'Of the operations.')
_NODES = flags.DEFINE_integer('nodes', 0, "0 is the space's own number.")
_LAYERS = flags.DEFINE_integer('layers', 20, 'Cells of the network.')
_CHANNELS = flags.DEFINE_integer('channels', 36, 'Of its first cell.')
_SIZE = flags.DEFINE_integer('image_size', 32, 'Of its images, in pixels.')
_COLOURS = flags.DEFINE_integer('image_channels', 3, 'Of its images.')
_CLASSES = flags.DEFINE_integer('classes', 10, 'Of its images.')
_IMAGENET = flags.DEFINE_bool('imagenet', False, 'The one for large images.')
_BATCH = flags.DEFINE_integer('batch', 1, 'Images at a time.')
_TARGET = flags.DEFINE_string(
  'target',
  '',
  f'A device that need not be here: {", ".join(ACCELERATORS)}.',
)
_OUT = launch.define_path('out', 'File of the table.', required=True)


def main() -> None:
  """Writes the table."""
  for flag in (_LAYERS, _CHANNELS, _SIZE, _COLOURS, _CLASSES, _BATCH):
    if flag.value < 1:
      raise UserError(f'--{flag.name} must be at least 1; got {flag.value}.')
  out = pathlib.Path(_OUT.value)
  out.parent.mkdir(parents=True, exist_ok=True)
  if out.is_dir() or not os.access(out.parent, os.W_OK):  # Before minutes pass.
    raise UserError(f'--out must be a file that can be written; got {out}.')
  space = get_space(_SPACE.value, _NODES.value)
  launch.prepare_target(_TARGET.value)
  if _TARGET.value:
    timing = modelled_for(absent.find(_TARGET.value))
  else:
    timing = measured()
  table = latency.make(
    space,
    _LAYERS.value,
    _CHANNELS.value,
    (_SIZE.value, _SIZE.value, _COLOURS.value),
    _CLASSES.value,
    timing,
    imagenet=_IMAGENET.value,
    batch=_BATCH.value,
    say=print,
  )
  files.write_json(out, table)


if __name__ == '__main__':
  launch.run(main)
