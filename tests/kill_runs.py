"""Kills runs at random moments, goes on, and compares what they end with.

  python tests/kill_runs.py --kills=30 --what=search --out=kills.json

One run is left alone; then as many as `--kills` are killed once, at a moment
drawn anew, and started again with the same command; one that ends before its
moment does not count. A row says what came: by which signal and when, how many
steps were done again, and whether all files that the run leaves are the same to
the bit.
"""

import argparse
import json
import pathlib
import random
import re
import shutil
import signal
import time
from collections.abc import Sequence

from launched import command, start

SAME = ('metrics.jsonl', 'alphas.jsonl', 'genotype.json', 'results.json')


def outcome(workdir: pathlib.Path) -> dict[str, bytes]:
  """What a run has left: lines, results, and the checksum of its state."""
  files = {
    name: (workdir / name).read_bytes()
    for name in SAME
    if (workdir / name).exists()
  }
  steps = [int(p.name) for p in (workdir / 'checkpoints').glob('[0-9]*')]
  last = workdir / 'checkpoints' / str(max(steps))
  files['state'] = (last / 'manifest' / 'metadata').read_bytes()
  return files


def last_step(workdir: pathlib.Path) -> int:
  """The last step of which there is a line of metrics."""
  path = workdir / 'metrics.jsonl'
  found = re.findall(
    r'"step": (\d+)', path.read_text() if path.exists() else ''
  )
  return int(found[-1]) if found else 0


def killed_once(
  line: Sequence[str], workdir: pathlib.Path, number: int, after: float
) -> dict[str, object]:
  """Kills a run `after` seconds, and goes on to the end; {} if it had ended."""
  run = start(line)
  time.sleep(after)
  if run.poll() is not None:
    run.communicate()
    return {}
  run.send_signal(number)
  run.communicate()
  done = last_step(workdir)
  again = start(line)
  said, wrong = again.communicate()
  begun = re.search(r'going on after step (\d+)', said)
  at = int(begun[1]) if begun else 0
  return {
    'signal': signal.Signals(number).name,
    'after_s': round(after, 2),
    'first_code': run.returncode,
    'code': again.returncode,
    'went_on_at': at,
    'lost_steps': max(0, done - at),
    'error': wrong.strip()[-200:] if again.returncode else '',
  }


def main() -> None:
  """Prints a row a kill, and what they have in common."""
  flags = argparse.ArgumentParser()
  flags.add_argument('--kills', type=int, default=30)
  flags.add_argument('--what', choices=('search', 'train'), default='search')
  flags.add_argument('--config', default='digits')
  flags.add_argument('--workdir', default='runs/kills')
  flags.add_argument('--seed', type=int, default=0)
  flags.add_argument('--out')
  args, rest = flags.parse_known_args()
  draw = random.Random(args.seed)
  base = pathlib.Path(args.workdir)

  def line(workdir: pathlib.Path) -> list[str]:
    return command(
      args.what, f'--config={args.config}', f'--workdir={workdir}', *rest
    )

  alone = base / 'alone'
  start(line(alone)).communicate()  # Compiles, so that times are a run's own.
  shutil.rmtree(alone)
  begin = time.monotonic()
  run = start(line(alone))
  said, wrong = run.communicate()
  assert run.returncode == 0, said + wrong
  seconds = time.monotonic() - begin
  expected = outcome(alone)
  print(f'a run alone takes {seconds:.1f} s')
  rows: list[dict[str, object]] = []
  while len(rows) < args.kills:
    workdir = base / f'killed{len(rows)}'
    number = signal.SIGTERM if len(rows) % 3 == 2 else signal.SIGKILL
    row = killed_once(line(workdir), workdir, number, draw.uniform(1, seconds))
    if not row:
      shutil.rmtree(workdir)
      continue
    found = outcome(workdir)
    row['differs'] = [n for n in expected if found.get(n) != expected[n]]
    row['same'] = not row['differs'] and set(found) == set(expected)
    rows.append(row)
    print(json.dumps(row), flush=True)
    if row['same']:
      shutil.rmtree(workdir)
  same = sum(bool(row['same']) for row in rows)
  print(f'{same} of {len(rows)} runs ended the same to the bit')
  if args.out:
    pathlib.Path(args.out).write_text(json.dumps(rows, indent=1))


if __name__ == '__main__':
  main()
