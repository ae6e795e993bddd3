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

import functools
import os
import pathlib

from absl import flags

from opp_darts_jax import files
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import launch
from opp_darts_jax.running.accelerators import absent, latency
from opp_darts_jax.running.accelerators.catalogue import ACCELERATORS
from opp_darts_jax.running.accelerators.timing import measured, modelled_for
from opp_darts_jax.spaces.catalogue import get_space

_define_number = functools.partial(flags.DEFINE_integer, lower_bound=1)

_SPACE = flags.DEFINE_string('space', 'darts', 'Of the operations.')
_NODES = flags.DEFINE_integer('nodes', 0, "0 is the space's own number.")
_LAYERS = _define_number('layers', 20, 'Cells of the network.')
_CHANNELS = _define_number('channels', 36, 'Of its first cell.')
_SIZE = _define_number('image_size', 32, 'Of its images, in pixels.')
_COLOURS = _define_number('image_channels', 3, 'Of its images.')
_CLASSES = _define_number('classes', 10, 'Of its images.')
_IMAGENET = flags.DEFINE_bool('imagenet', False, 'The one for large images.')
_BATCH = _define_number('batch', 1, 'Images at a time.')
_TARGET = flags.DEFINE_string(
  'target',
  '',
  f'A device that need not be here: {", ".join(ACCELERATORS)}.',
)
_OUT = launch.define_path('out', 'File of the table.', required=True)


def main() -> None:
  """Writes the table."""
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
