"""Draws the report of a run: its cells, its curves, its stages.

  opp-darts report --workdir=runs/digits/search

Writes SVG and PNG pictures and an index.html into WORKDIR/report; several
folders may be given, separated by commas or by repeating the flag.
"""

import sys

from absl import flags

from opp_darts_jax.launchers import launch
from opp_darts_jax.reporting import report

_WORKDIR = flags.DEFINE_multi_string(
  'workdir', None, 'Folder of a search or training run.', required=True
)


def main() -> None:
  """Writes the report of each run and says where."""
  # Names of folders may have bytes that are no text: they are printed as given.
  sys.stdout.reconfigure(errors='surrogateescape')  # type: ignore[union-attr]
  for workdirs in _WORKDIR.value:
    for workdir in filter(None, workdirs.split(',')):
      for path in report.write_report(workdir):
        print(path)


if __name__ == '__main__':
  launch.run(main)
