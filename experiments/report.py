"""Draws the report of a run: its cells, its curves, its stages.

  python experiments/report.py --workdir=runs/digits/search

Writes SVG and PNG pictures and an index.html into WORKDIR/report; several
folders may be given, separated by commas or by repeating the flag.
"""

import sys
from collections.abc import Sequence

from absl import app, flags

from opp_darts_jax import errors, report

_WORKDIR = flags.DEFINE_multi_string(
  'workdir', None, 'Folder of a search or training run.', required=True
)


def main(argv: Sequence[str]) -> None:
  try:
    if len(argv) > 1:
      raise errors.UserError(f'Expected only flags, got {argv[1]!r}.')
    for workdirs in _WORKDIR.value:
      for workdir in filter(None, workdirs.split(',')):
        for path in report.write_report(workdir):
          print(path)
  except errors.UserError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
  app.run(main)
