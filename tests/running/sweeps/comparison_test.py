"""What is said of methods by the numbers of their runs."""

import statistics

import pytest

from opp_darts_jax.running.sweeps import comparison, comparison_table
from opp_darts_jax.running.sweeps.comparison import summary

MEASURE = 'truth_test_cifar10'
VALUES = {
  'darts': [0.5, 0.6, 0.543, 0.7],
  'drnas': [0.9, 0.8, 0.7, 0.9],
  'gdas': [0.4, 0.7, 0.543, 0.8],
}


def run_of(method, seed, value, **further):
  return {
    'config': 'bench',
    'method': method,
    'seed': seed,
    'space': 'nasbench201',
    'data': 'cifar10',
    'search_seconds': 10.0 + seed,
    'eval_accuracy': 0.25,
    MEASURE: value,
    **further,
  }


RUNS = [
  run_of(method, seed, value)
  for method, values in VALUES.items()
  for seed, value in enumerate(values)
]


def rows_of(found):
  return {row['method']: row for row in found['methods']}


def test_statistics():
  rows = rows_of(summary(RUNS, tuple(VALUES)))
  assert list(rows) == list(VALUES)
  darts, drnas = rows['darts'], rows['drnas']
  assert darts['measure'] == MEASURE
  assert darts['seeds'] == 4
  assert darts['mean'] == statistics.mean(VALUES['darts'])
  assert darts['std'] == statistics.stdev(VALUES['darts'])
  assert (darts['least'], darts['largest']) == (0.5, 0.7)
  assert darts['seconds'] == 11.5
  assert darts['p'] is darts['effect'] is darts['baseline'] is None
  assert drnas['baseline'] == 'darts'
  assert drnas['difference'] == pytest.approx(0.825 - darts['mean'])
  assert (drnas['p'], drnas['effect']) == (pytest.approx(0.125), 1)
  assert drnas['least_p'] == 0.125
  # Of two methods the smaller p counts twice.
  assert drnas['p_holm'] == pytest.approx(0.25)
  assert rows['gdas']['p_holm'] == pytest.approx(rows['gdas']['p'])
  assert rows['gdas']['pairs'] == 4


def test_runs_that_share_a_seed_count_and_make_no_pair():
  again = [run_of('darts', 3, 0.9), run_of('gdas', 2, 0.1)]
  rows = rows_of(summary([*RUNS, *again], tuple(VALUES)))
  assert rows['darts']['seeds'] == 5
  assert rows['darts']['mean'] == statistics.mean([*VALUES['darts'], 0.9])
  assert rows['darts']['largest'] == 0.9
  assert rows['drnas']['pairs'] == 3
  assert rows['drnas']['difference'] == pytest.approx((0.4 + 0.2 + 0.157) / 3)
  assert (rows['gdas']['seeds'], rows['gdas']['pairs']) == (5, 2)


@pytest.mark.parametrize(
  ('data', 'measure', 'spearman'),
  [
    ('digits', 'eval_accuracy', 0.5),
    ('digits', MEASURE, 0.5),
    ('cifar100', 'test_accuracy', 0.75),
    ('cifar100', MEASURE, 0.5),
  ],
)
def test_ranks_are_on_the_data_or_else_on_cifar10(data, measure, spearman):
  ranks = {'spearman_cifar10': 0.5, 'spearman_cifar100': 0.75}
  further = {'data': data, 'test_accuracy': 0.9, 'kendall_cifar10': None}
  runs = [run | ranks | further for run in RUNS]
  row = rows_of(summary(runs, ['darts'], measure))['darts']
  assert (row['spearman'], row['kendall']) == (spearman, None)


def test_only_seeds_in_common_make_pairs():
  runs = [run for run in RUNS if (run['method'], run['seed']) != ('darts', 0)]
  rows = rows_of(summary(runs, ('darts', 'drnas')))
  assert rows['drnas']['seeds'] == 4
  assert rows['drnas']['pairs'] == 3
  want = statistics.mean([0.2, 0.157, 0.2])
  assert rows['drnas']['difference'] == pytest.approx(want)
  alone = rows_of(summary(RUNS[4:], tuple(VALUES)))
  assert list(alone) == ['drnas', 'gdas']
  assert alone['gdas']['p'] is None


def test_the_measure_is_the_first_that_all_have():
  tested = [run | {'test_accuracy': 0.5} for run in RUNS]
  without = [{k: v for k, v in run.items() if k != MEASURE} for run in tested]

  def measure(runs, asked='auto'):
    return summary(runs, ['darts'], asked)['methods'][0]['measure']

  assert measure(tested) == MEASURE
  assert measure(without) == 'test_accuracy'
  assert measure([*without[1:], RUNS[0]]) == 'eval_accuracy'
  assert measure(RUNS, 'eval_accuracy') == 'eval_accuracy'


def test_configs_are_compared_apart():
  other = [run | {'config': 'other', MEASURE: 0.1} for run in RUNS]
  found = summary([*RUNS, *other], tuple(VALUES))['methods']
  assert [row['config'] for row in found] == ['bench'] * 3 + ['other'] * 3
  assert found[4]['p_holm'] == 1
  assert found[1]['p_holm'] == pytest.approx(0.25)


def test_what_is_published_stands_where_it_belongs():
  rows = rows_of(summary(RUNS, tuple(VALUES)))
  assert [f['accuracy'] for f in rows['drnas']['published']] == [0.9436]
  elsewhere = [run | {'data': 'digits'} for run in RUNS]
  assert not rows_of(summary(elsewhere, ['drnas']))['drnas']['published']
  on_d_val = summary(RUNS, ['drnas'], 'eval_accuracy')
  assert not rows_of(on_d_val)['drnas']['published']
  hundred = [run | {'truth_test_cifar100': 0.7} for run in RUNS]
  row = rows_of(summary(hundred, ['drnas'], 'truth_test_cifar100'))['drnas']
  assert row['published'][0]['accuracy'] == 0.7351
  trained = [run | {'test_accuracy': 0.8} for run in RUNS]
  row = rows_of(summary(trained, ['drnas'], 'test_accuracy'))['drnas']
  assert not row['published']  # That is of the table's networks.
  robust = {'space': 's2', 'test_accuracy': 0.9, MEASURE: None}
  runs = [run | robust for run in RUNS]
  row = rows_of(summary(runs, ['darts']))['darts']
  assert pytest.approx(0.9406) in [f['accuracy'] for f in row['published']]


def test_text():
  ranked = [run | {'spearman_cifar10': 0.75} for run in RUNS]
  said = comparison_table.text(summary(ranked, tuple(VALUES)))
  title, heading, darts, drnas, _, *notes = said.splitlines()
  assert title == (
    'bench: test accuracy on cifar10 of the cells, trained, by table'
  )
  assert heading.split()[:3] == ['method', 'seeds', 'mean']
  assert darts.split() == [
    *('darts', '4', '0.5857', '0.0865', '0.5000', '0.7000'),
    *('-', '-', '-', '-', '0.75', '-', '12', '0.5430'),
  ]
  assert drnas.split()[6:10] == ['+0.2393', '0.125', '0.250', '+1.00']
  assert notes[0].startswith('Against darts: Wilcoxon')
  assert notes[1] == (
    'With n = 4 seeds in common p cannot be below 0.125, nor below 0.25 after '
    'Holm for 2 methods: no difference can be significant at 0.05.'
  )
  assert any('+- 0.0000 (mean over searches; Chen' in note for note in notes)
  assert notes[-1].endswith('published size, images and epochs.')
  nothing = comparison_table.text(summary([], ['darts']))
  assert nothing == 'No run has finished yet.'
  others = summary(RUNS, tuple(VALUES), 'truth_test_cifar100')
  said = comparison_table.text(others)
  assert said == 'None of 12 finished runs has the measure.'


def test_many_seeds_can_be_significant():
  runs = [
    run_of(method, seed, 0.5 + (seed + 1) * 0.01 * (method == 'drnas'))
    for method in ('darts', 'drnas')
    for seed in range(8)
  ]
  said = comparison_table.text(summary(runs, ('darts', 'drnas')))
  assert '0.00781 after Holm for 1 method.\n' in said
  # Nor do they cease to be where another method has few.
  runs += [run_of('gdas', seed, 0.5 + seed) for seed in range(2)]
  said = comparison_table.text(summary(runs, ('darts', 'drnas', 'gdas')))
  assert (
    'With at most n = 8 seeds in common p cannot be below 0.00781, nor below '
    '0.0156 after Holm for 2 methods.\n' in said
  )


def test_latex():
  runs = [run | {'config': 'a_b'} for run in RUNS]
  lines = comparison_table.latex(summary(runs, tuple(VALUES))).splitlines()
  assert lines[1] == r'\begin{tabular}{llrrrrrrl}'
  assert lines[6] == (
    r'a\_b & drnas & 4 & $82.50 \pm 9.57$ & $+23.93$ & $0.250$ & $+1.00$ & 12 '
    r'& 94.36 \\'
  )
  assert lines[-1] == r'\end{tabular}'
  assert all(line.count('&') == 8 for line in lines if '&' in line)


def test_names_in_latex_are_text():
  row = {**RUNS[0], 'config': 'x', 'method': 'my_file.py:f(a={"b": 50%})'}
  lines = comparison_table.latex(summary([row], [row['method']])).splitlines()
  assert r'my\_file.py:f(a=\{"b": 50\%\})' in lines[5]


def test_measures_are_those_of_the_tables():
  assert comparison.MEASURES[0] == MEASURE
