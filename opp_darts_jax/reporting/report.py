"""The report of a run: pictures and a page, from the files in its folder."""

import html
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib import figure

from opp_darts_jax import errors
from opp_darts_jax.reporting import (
  cell_plot,
  confusion_plot,
  curve_plot,
  stage_plot,
)
from opp_darts_jax.running import metrics

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px sans-serif; max-width: 64em; margin: 2em auto; }}
th {{ text-align: left; padding-right: 2em; font-weight: normal; color: #666; }}
img {{ max-width: 100%; }}
</style>
<h1>{title}</h1>
<table>
{rows}
</table>
{pictures}
</html>
"""
_CAPTIONS = {
  'normal': 'Normal cell',
  'reduce': 'Reduction cell',
  'curves': 'Curves',
  'stages': 'Operation losses by stage',
  'confusion': 'Test images by class and prediction',
}


def write_report(workdir: str | pathlib.Path) -> list[pathlib.Path]:
  """Draws what the files of a run allow into `workdir`/report.

  A run that is still going on or was interrupted gets a report of what it has
  so far.

  Args:
    workdir: the folder of a search or of a training run.

  Returns:
    The files written: pictures as SVG and PNG, and index.html.

  Raises:
    UserError: `workdir` is not the folder of a run, or its files make no sense.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / metrics.METRICS
  results = _read_json(workdir / 'results.json')
  # A training with several seeds has its lines in a folder a seed.
  if not path.is_file() and 'seeds' not in results:
    raise errors.UserError(
      f'Expected the folder of a run, with its metrics.jsonl; {workdir} '
      f'{"has none" if workdir.is_dir() else "does not exist"}.'
    )
  records = _once(r for r in metrics.read_lines(path) if 'kind' in r)
  alphas = _once(metrics.read_lines(workdir / 'alphas.jsonl'))
  config = _read_json(workdir / 'config.json')
  genotype = _read_json(workdir / 'genotype.json') or latest_genotype(records)
  searching = is_search(records, alphas)

  folder = workdir / 'report'
  folder.mkdir(exist_ok=True)
  written = []
  figures = _figures(records, alphas, genotype, results, searching)
  for name, fig in figures.items():
    written += _save(fig, folder / name)
  page = folder / 'index.html'
  times = metrics.read_lines(workdir / metrics.TIMES)
  facts = run_facts(config, results, records, times)
  title = f'{"Search" if searching else "Training"}: {workdir.resolve().name}'
  page.write_text(_page(title, facts, written), encoding='utf-8')
  return [*written, page]


def is_search(
  records: Sequence[curve_plot.Record], alphas: Sequence[curve_plot.Record]
) -> bool:
  """Whether these are the lines of a search, not of a training run."""
  return bool(alphas) or any(
    r['kind'] == 'stage' or 'val_loss' in r or 'genotype' in r for r in records
  )


def latest_genotype(records: Iterable[curve_plot.Record]) -> dict[str, Any]:
  """The genotype of the last epoch of a search; empty before there is one."""
  found = [r['genotype'] for r in records if r.get('genotype')]
  return found[-1] if found else {}


def run_facts(
  config: Mapping[str, Any],
  results: Mapping[str, Any],
  records: Iterable[curve_plot.Record],
  times: Iterable[Mapping[str, Any]],
) -> dict[str, str]:
  """The main facts of a run, in reading order, those that are known."""
  epochs = [r for r in records if r['kind'] == 'epoch']
  last = epochs[-1] if epochs else {}
  data = config.get('data') or {}
  facts: dict[str, Any] = {
    'data': data.get('source'),
    'space': config.get('space'),
    'seed': config.get('seed'),
    'epochs': f'{len(epochs)} of {config.get("epochs", "?")}',
    'time (min)': sum(r['seconds'] for r in times) / 60 or None,
  }
  facts |= {
    key.replace('_', ' '): last[key] for key in last if 'accuracy' in key
  }
  facts |= {key.replace('_', ' '): value for key, value in results.items()}
  return {
    key: ', '.join(map(_number, value.values()))
    if key.endswith('by seed')
    else _number(value)
    for key, value in facts.items()
    if isinstance(value, str | int | float) or key.endswith('by seed')
  }


def _number(value: Any) -> str:
  return f'{value:.4g}' if isinstance(value, float) else str(value)


def _once(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
  """In the order of steps; of lines that a resumed run repeats, the last."""
  names = ('kind', 'stage', 'epoch', 'step')
  lines = {tuple(r.get(name) for name in names): r for r in records}
  return sorted(lines.values(), key=lambda r: r.get('step') or 0)


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  """The object in a file; empty if there is no file."""
  if not path.is_file():
    return {}
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise errors.UserError(f'{path} is not JSON: {error}.') from error
  if not isinstance(found, dict):
    raise errors.UserError(f'Expected an object in {path}, got {found!r}.')
  return found


def _figures(
  records: list[dict[str, Any]],
  alphas: list[dict[str, Any]],
  genotype: Mapping[str, Any],
  results: Mapping[str, Any],
  searching: bool,
) -> dict[str, figure.Figure]:
  """The pictures that the files allow, by name."""
  figures = {}
  for cell in ('normal', 'reduce'):
    if genotype.get(cell):
      concat = genotype[f'{cell}_concat']
      figures[cell] = cell_plot.plot_cell(genotype[cell], concat)
  if searching:
    figures['curves'] = curve_plot.plot_search(records, alphas)
  elif records:
    figures['curves'] = curve_plot.plot_training(records)
  if stage_plot.scored_stages(records):
    figures['stages'] = stage_plot.plot_stages(records)
  if 'confusion' in results:
    figures['confusion'] = confusion_plot.plot_confusion(
      results['confusion'], list(results['class_accuracy'])
    )
  return figures


def _save(fig: figure.Figure, stem: pathlib.Path) -> list[pathlib.Path]:
  """Writes a picture as SVG, its text as text, and as PNG."""
  svg, png = stem.with_suffix('.svg'), stem.with_suffix('.png')
  # The salt and no date: the same run gives the same bytes.
  with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'cell'}):
    fig.savefig(svg, metadata={'Date': None})
  fig.savefig(png, dpi=160)
  return [svg, png]


def _page(
  title: str, facts: Mapping[str, str], written: Iterable[pathlib.Path]
) -> str:
  rows = '\n'.join(
    f'<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>'
    for key, value in facts.items()
  )
  pictures = '\n'.join(
    f'<h2>{_CAPTIONS[path.stem]}</h2>\n'
    f'<img src="{path.name}" alt="{_CAPTIONS[path.stem]}">'
    for path in written
    if path.suffix == '.svg'
  )
  return _PAGE.format(title=html.escape(title), rows=rows, pictures=pictures)
