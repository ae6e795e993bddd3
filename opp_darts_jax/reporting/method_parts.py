"""What the page of a search shows of its method, beside alphas."""

from collections.abc import Mapping

import numpy as np

from opp_darts_jax.recorded import TRUTH, is_number
from opp_darts_jax.reporting import (
  alpha_tables,
  charts,
  edge_shares,
  styles,
  titles,
)
from opp_darts_jax.reporting.axes import Axis
from opp_darts_jax.reporting.charts import Chart, Series
from opp_darts_jax.reporting.run_files import RunFiles
from opp_darts_jax.reporting.styles import shown

# Numbers of epochs that other parts of a page show.
_SHOWN = ('epoch', 'step', 'seconds', 'learning_rate', 'eigenvalue')
_SHOWN_GROUPS = ('train_', 'val_', 'eval_', 'test_', 'derived_', 'skip_',
                 'entropy_', TRUTH)  # fmt: skip
# Numbers that share a chart, by its title: how each is called there.
_TOGETHER = {
  'Cost of the network': {
    'cost': 'derived',
    'cost_of_alphas': 'by alphas alone',
    'cost_target': 'target',
  }
}


def further(run: RunFiles, axis: Axis) -> list[Chart]:
  """A chart of everything that a method has beside its alphas."""
  shares = edge_shares.of_run(run)
  found = _of_edges(run, shares, axis)
  for name, lines in alpha_tables.further(run.alphas).items():
    if shares and name.split(' ')[0] == edge_shares.EDGES:
      continue
    at = [axis.of(run.alphas[index]) for index, _ in lines]
    values = np.array([own for _, own in lines])
    series = [
      Series('', styles.color(i), list(zip(at, map(float, values[:, i]))))
      for i in range(values.shape[1])
    ]
    if np.isfinite(values).all():
      found.append(charts.line_chart(name, series, axis))
  return [*found, *_of_numbers(run, axis)]


def _of_edges(
  run: RunFiles, shares: Mapping[str, np.ndarray], axis: Axis
) -> list[Chart]:
  """A chart a node: what share of it each edge into it has."""
  found = []
  at = [axis.of(line) for line in run.alphas]
  for kind, shares_TE in shares.items():
    names = titles.edge_names(run, kind, shares_TE.shape[1])
    for node, rows in edge_shares.into(run).items():
      series = []
      for i, e in enumerate(rows):
        css, dash = styles.line(i)
        points = list(zip(at, map(float, shares_TE[:, e])))
        series.append(Series(_source(names[e]), css, points, dash=dash))
      title = f'Edge weights, {titles.kind_name(kind).lower()}, node {node}'
      found.append(charts.line_chart(title, series, axis, bounds=(0.0, 1.0)))
  return found


def _source(edge: str) -> str:
  """Where an edge comes from, by its name."""
  name = edge.partition(' ')[0]
  return f'node {name}' if name.isdigit() else name


def _of_numbers(run: RunFiles, axis: Axis) -> list[Chart]:
  """Charts of the numbers that epochs have of their method."""
  names = _own_numbers(run)
  titled: dict[str, dict[str, str]] = {}
  for name in names:
    title = next((t for t, own in _TOGETHER.items() if name in own), '')
    said = _TOGETHER[title][name] if title else ''
    title = title or shown(name.replace('_', ' ')).capitalize()
    titled.setdefault(title, {})[name] = said
  found = []
  for title, own in titled.items():
    series = []
    for i, (name, said) in enumerate(own.items()):
      known = [r for r in run.epochs if r.get(name) is not None]
      points = [(axis.of(r), float(r[name])) for r in known]
      series.append(Series(said, styles.color(i), points))
    found.append(charts.line_chart(title, series, axis))
  return found


def _own_numbers(run: RunFiles) -> list[str]:
  """Numbers of the epochs that are the method's: no part else shows them."""
  names = dict.fromkeys(
    name
    for line in run.epochs
    for name, value in line.items()
    if is_number(value)
  )
  return [
    name
    for name in names
    if name not in _SHOWN and not name.startswith(_SHOWN_GROUPS)
  ]
