"""Draws the report of a run as one page: its cells, its curves, its stages.

  opp-darts report --workdir=runs/digits/search

writes WORKDIR/report.html, which a run also does by itself; several folders may
be given, separated by commas or by repeating the flag. --pictures writes every
figure as an SVG file of its own, too. Several runs on one page, side by side:

  opp-darts report --workdirs=runs/a,runs/b,runs/c --out=compare.html
"""

import sys

from absl import flags

from opp_darts_jax.launchers import launch
from opp_darts_jax.reporting import compare_page, report

_WORKDIR = flags.DEFINE_multi_string(
  'workdir', [], 'Folder of a search or training run; it gets a page.'
)
_PICTURES = flags.DEFINE_bool(
  'pictures', False, 'Write the figures as SVG files, too.'
)
_WORKDIRS = flags.DEFINE_list(
  'workdirs', [], 'Folders of runs, or of sweeps, to be compared.'
)
_OUT = launch.define_path(
  'out', 'The page that compares --workdirs; compare.html if not given.'
)
flags.register_multi_flags_validator(
  ['workdir', 'workdirs'],
  lambda values: (
    bool(launch.paths(values['workdir']))
    != bool(launch.paths(values['workdirs']))
  ),
  'Give either --workdir, of runs that get a page each, or --workdirs, of runs '
  'that are compared on one page.',
)
flags.register_multi_flags_validator(
  ['workdirs', 'pictures'],
  lambda values: not (values['workdirs'] and values['pictures']),
  '--pictures are of runs that get a page each, by --workdir.',
)
flags.register_multi_flags_validator(
  ['workdir', 'out'],
  lambda values: not (values['workdir'] and values['out']),
  '--out is the page that compares --workdirs; a run of --workdir gets its '
  'page in its folder.',
)


def main() -> None:
  """Writes the pages and says where."""
  # Names of folders may have bytes that are no text: they are printed as given.
  sys.stdout.reconfigure(errors='surrogateescape')  # type: ignore[union-attr]
  compared = launch.paths(_WORKDIRS.value)
  if compared:
    print(compare_page.write(compared, _OUT.value or 'compare.html'))
  for workdir in launch.paths(_WORKDIR.value):
    print(report.write_report(workdir))
    if _PICTURES.value:
      for path in report.write_pictures(workdir):
        print(path)


if __name__ == '__main__':
  launch.run(main)
