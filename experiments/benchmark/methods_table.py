"""The table of methods in docs/methods.md, of what was measured and counted.

  opp-darts search --config=gdas:digits --workdir=runs/methods/gdas
  python experiments/benchmark/methods.py
  python experiments/benchmark/accelerator.py --method=gdas --target=h100 \
    --size=tiny >> experiments/benchmark/results/methods_h100.jsonl
  python experiments/benchmark/methods_table.py --searches=runs/methods

The second measures steps, a row a method; the third counts a step's kernels, a
line a method. The last prints the table, with a line for every method that the
package has; `--searches` reads those searches anew that are in folders of their
names, and writes what they found into `results/methods_digits.json`. Lines of a
method's file, and the tests of its own file and of the contract that have it,
are counted each time.
"""

import inspect
import json
import pathlib
import re
import subprocess
import sys
from collections import Counter
from typing import Any

from absl import app, flags

from opp_darts_jax import files
from opp_darts_jax.methods.catalogue import METHODS
from opp_darts_jax.recorded import GENOTYPE, RESULTS

_ROOT = pathlib.Path(__file__).parents[2]
_RESULTS = pathlib.Path(__file__).with_name('results')
_DIGITS = _RESULTS / 'methods_digits.json'
# Files of tests that are of more than one method.
_SHARED = {
  'sdarts_rs': 'sdarts',
  'sdarts_adv': 'sdarts',
  'random_cells': 'random',
  'random_sharing': 'random',
}
_HEAD = (
  'method', 'lines', 'tests: own + contract', "step / DARTS's", 'compiling',
  'memory', 'kernels, H100', 'skips', 'D_val',
)  # fmt: skip

_SEARCHES = flags.DEFINE_string('searches', None, 'a folder of searches')
_SIZE = flags.DEFINE_string('size', 'small', 'of the supernets measured')


def counted_tests() -> tuple[Counter[str], Counter[str]]:
  """How many tests a file of tests/methods has; and the contract, by method."""
  command = [sys.executable, '-m', 'pytest', '--collect-only', '-n', '0']
  found = subprocess.run(
    [*command, '-o', 'addopts=-q', 'tests/methods'],
    cwd=_ROOT,
    check=True,
    capture_output=True,
    text=True,
  )
  own: Counter[str] = Counter()
  contract: Counter[str] = Counter()
  for line in found.stdout.splitlines():
    match = re.match(r'(?:.*/)?(\w+)_test\.py::\w+(?:\[(.*)\])?$', line)
    if not match:
      continue
    own[match[1]] += 1
    if match[1] == 'contract' and match[2]:
      contract.update(m for m in METHODS if m in match[2].split('-'))
  return own, contract


def read_searches(folder: pathlib.Path) -> list[dict[str, Any]]:
  """What the search of each method found, by what it left."""
  rows = []
  for name in METHODS:
    path = folder / name / RESULTS
    if path.exists():
      results = json.loads(path.read_text())
      rows.append(
        {
          'method': name,
          'eval_accuracy': results['eval_accuracy'],
          'skips': {
            key.removeprefix('skip_'): value
            for key, value in results.items()
            if key.startswith('skip_')
          },
          'genotype': json.loads((path.parent / GENOTYPE).read_text()),
        }
      )
  return rows


def known(path: pathlib.Path) -> list[dict[str, Any]]:
  """Rows of a file of results, if there is one."""
  if not path.exists():
    return []
  text = path.read_text()
  if path.suffix == '.jsonl':
    return [json.loads(line) for line in text.splitlines()]
  return json.loads(text)


def main(argv: list[str]) -> None:
  """Prints the table."""
  del argv
  if _SEARCHES.value:
    found = read_searches(pathlib.Path(_SEARCHES.value))
    rows = {row['method']: row for row in [*known(_DIGITS), *found]}
    lines = ',\n '.join(map(json.dumps, rows.values()))
    files.write_text(_DIGITS, f'[\n {lines}\n]\n')
  rows = known(_RESULTS / 'methods.json')
  steps = {r['method']: r for r in rows if r['size'] == _SIZE.value}
  for row in list(steps.values())[-1:]:
    of_darts = {key: row[f'darts_{key}'] for key in ('compile_s', 'temp_mb')}
    steps['darts'] = {'ratio': 1.0, **of_darts}
  kernels = {r['method']: r for r in known(_RESULTS / 'methods_h100.jsonl')}
  digits = {row['method']: row for row in known(_DIGITS)}
  own, contract = counted_tests()
  print('| ' + ' | '.join(_HEAD) + ' |')
  print('|' + '---|' * len(_HEAD))
  for name, make in METHODS.items():
    lines, _ = inspect.getsourcelines(inspect.getmodule(make))
    step, kernel = steps.get(name, {}), kernels.get(name, {})
    search = digits.get(name, {})
    cells = [
      f'`{name}`',
      str(len(lines)),
      f'{own[_SHARED.get(name, name)]} + {contract[name]}',
      shown(step, 'ratio', '{:.2f}'),
      shown(step, 'compile_s', '{:.0f} s'),
      shown(step, 'temp_mb', '{:.0f} MB'),
      shown(kernel, 'kernels', '{:,}'),
      ', '.join(str(n) for n in search.get('skips', {}).values()) or '-',
      shown(search, 'eval_accuracy', '{:.4f}'),
    ]
    print('| ' + ' | '.join(cells) + ' |')


def shown(row: dict[str, Any], name: str, form: str) -> str:
  """A value of a row, or a dash where there is none."""
  value = row.get(name)
  return '-' if value is None else form.format(value)


if __name__ == '__main__':
  app.run(main)
