"""Tests of the page that compares runs."""

import json

import pytest
from launched import launch
from pages import Page
from run_files import write_run, write_trained

from opp_darts_jax import errors
from opp_darts_jax.reporting import (
  compare_page,
  compare_parts,
  compared,
  run_files,
)


@pytest.fixture
def folders(tmp_path):
  accuracies = {('darts', 0): 0.5, ('darts', 1): 0.6, ('gdas', 0): 0.75,
                ('gdas', 1): 0.8}  # fmt: skip
  return [
    write_run(tmp_path / 'runs' / f'{m}{s}', m, s, accuracy)
    for (m, s), accuracy in accuracies.items()
  ]


def test_a_file_that_is_no_page_is_kept(folders):
  results = folders[0] / 'results.json'
  before = results.read_bytes()
  with pytest.raises(
    errors.UserError, match=r'a page, \.html, .*results\.json'
  ):
    compare_page.write(folders, results)
  assert results.read_bytes() == before


def test_what_differs_comes_first(folders, tmp_path):
  path = compare_page.write(folders, tmp_path / 'sub' / 'compare.html')
  page = Page(path)
  assert page.text.index('What differs') < page.text.index('What they came to')
  assert 'field darts gdas method darts gdas' in page.text
  assert '4 runs, 2 settings' in page.text
  # Two kinds of cells of each run.
  graphs = [
    a for t, a in page.elements if t == 'svg' and a.get('class') == 'graph'
  ]
  assert len(graphs) == 8
  sortable = [a for t, a in page.elements if t == 'th' and 'aria-sort' in a]
  assert len(sortable) == 21


def test_the_legend_is_of_what_the_spaces_say(folders, tmp_path):
  # By its name it would be a skip connection.
  told = {'name': 'skip_connect', 'drawn': 'gate'}
  for folder in folders:
    (folder / 'space.json').write_text(json.dumps({'operations': [told]}))
  page = Page(compare_page.write(folders, tmp_path / 'compare.html'))
  assert 'separable convolution dilated convolution gate' in page.text
  assert 'dilated convolution skip connection' not in page.text


def test_numbers_and_tests_are_of_all_seeds(folders, tmp_path):
  page = Page(compare_page.write(folders, tmp_path / 'compare.html'))
  assert 'darts 2 0.5500 0.0707 0.5000 0.6000' in page.text
  assert 'gdas 2 0.7750 0.0354 0.7500 0.8000 +0.2250 0.500 0.500 +1.00' in (
    page.text
  )
  assert 'no difference can be significant' in page.text
  assert (
    'On digits, gdas has the highest accuracy of the supernet on D_val, 0.7750 '
    '(2 seeds); no difference from darts is significant. Judged as collapsed: '
    '2 of 2 by darts, 2 of 2 by gdas.' in page.text
  )
  for row in ('darts0 darts 0 0.5000 – 0.25', 'gdas1 gdas 1 0.8000 – 0.25'):
    assert row in page.text


def test_curves_are_means_with_what_seeds_span(folders):
  runs = [run_files.read_run(folder) for folder in folders]
  found, differing = compared.compared(runs)
  assert list(differing) == ['method']
  groups = ['darts', 'gdas']
  chart = compare_parts.charts_of(found, groups)[0]
  darts = chart.lines[0].series
  assert darts.points == [
    (1.0, pytest.approx(0.45)),
    (2.0, pytest.approx(0.55)),
  ]
  assert darts.band[1] == (2.0, 0.5, 0.6)


def test_groups_are_named_by_what_differs(tmp_path):
  runs = [
    run_files.read_run(write_run(tmp_path / name, 'darts', 0, 0.5, **fields))
    for name, fields in {
      'a': {},
      'b': {'schedule': {'name': 'progressive', 'stage_epochs': 2}},
      'c': {'space': 's3'},
      'd': {'seed': 3},
    }.items()
  ]
  found, differing = compared.compared(runs)
  assert [one.group for one in found] == [
    'darts space=darts',
    'progressive+darts space=darts',
    'darts space=s3',
    'darts space=darts',
  ]
  assert [one.name for one in found] == ['a', 'b', 'c', 'd']
  assert list(differing) == ['schedule.name', 'space']


def test_what_follows_from_another_field_names_no_group(tmp_path):
  runs = [
    run_files.read_run(write_run(tmp_path / name, 'darts', 0, 0.5, **fields))
    for name, fields in {
      'a': {'space': 's3', 'layers': 8},
      'b': {'space': 's4', 'layers': 5},
    }.items()
  ]
  found, differing = compared.compared(runs)
  assert list(differing) == ['space', 'layers']
  assert [one.group for one in found] == ['space=s3', 'space=s4']
  # Yet a field of the schedule tells apart what nothing else does.
  runs = [
    run_files.read_run(
      write_run(
        tmp_path / f'of{stage_epochs}', 'darts', 0, 0.5,
        schedule={'name': 'progressive', 'stage_epochs': stage_epochs},
      )
    )
    for stage_epochs in (2, 3)
  ]  # fmt: skip
  found, _ = compared.compared(runs)
  assert [one.group for one in found] == ['stage_epochs=2', 'stage_epochs=3']


def test_trainings_are_told_apart_by_what_searched_their_cells(tmp_path):
  tested = {'darts': (0.25, 0.5), 'gdas': (0.75, 1.0)}
  for method, accuracies in tested.items():
    for seed, accuracy in enumerate(accuracies):
      folder = tmp_path / 'sweep' / method / f'seed{seed}'
      write_run(folder / 'search', method, seed, 0.5)
      # The paths are those of where the sweep ran.
      found = f'elsewhere/{method}/seed{seed}/search/genotype.json'
      write_trained(folder / 'train', seed, found, accuracy)
  runs = compared.read([tmp_path / 'sweep'])
  found, _ = compared.compared(runs)
  groups = list(dict.fromkeys(one.group for one in found))
  assert groups == ['darts', 'training of darts', 'gdas', 'training of gdas']
  searched, trained = compare_parts.summary(found, groups)
  assert [row['method'] for row in searched.rows] == ['darts', 'gdas']
  assert 'networks trained here' in trained.measure
  means = {row['method']: (row['seeds'], row['mean']) for row in trained.rows}
  assert means == {
    'training of darts': (2, 0.375),
    'training of gdas': (2, 0.875),
  }
  alone, _ = compared.compared([run for run in runs if not run.is_search])
  assert {one.group for one in alone} == {
    'training of elsewhere/darts/seed/search',
    'training of elsewhere/gdas/seed/search',
  }
  of_one, _ = compared.compared(compared.read([tmp_path / 'sweep' / 'gdas']))
  assert [one.group for one in of_one] == ['gdas', 'training'] * 2


@pytest.mark.parametrize(
  'shown',
  [
    pytest.param('*', id='with searches'),
    pytest.param('*/*/train', id='without searches'),
  ],
)
def test_trainings_with_one_seed_of_cells_of_several_searches(tmp_path, shown):
  tested = {'darts': (0.25, 0.5, 0.75), 'gdas': (0.5, 0.5, 1.0)}
  for method, accuracies in tested.items():
    for seed, accuracy in enumerate(accuracies):
      folder = tmp_path / 'sweep' / method / f'seed{seed}'
      write_run(folder / 'search', method, seed, 0.5)
      found = f'{folder}/search/genotype.json'
      write_trained(folder / 'train', 0, found, accuracy)
  runs = compared.read(sorted((tmp_path / 'sweep').glob(shown)))
  found, _ = compared.compared(runs)
  groups = list(dict.fromkeys(one.group for one in found))
  darts, gdas = compare_parts.summary(found, groups)[-1].rows
  assert (darts['seeds'], darts['mean'], darts['std']) == (3, 0.5, 0.25)
  assert (gdas['seeds'], gdas['least'], gdas['largest']) == (3, 0.5, 1.0)
  assert (gdas['pairs'], gdas['difference']) == (3, pytest.approx(0.5 / 3))


def test_a_cell_of_no_search_makes_pairs_by_the_seed_of_the_training(tmp_path):
  for seed in range(2):
    for name in ('runs/seed0/genotype.json', 'DARTS_V2'):
      folder = tmp_path / name / f'train{seed}'
      write_trained(folder, seed, name, 0.5 + seed / 4)
  found, _ = compared.compared(compared.read([tmp_path]))
  groups = list(dict.fromkeys(one.group for one in found))
  first, second = compare_parts.summary(found, groups)[0].rows
  assert first['seeds'] == second['seeds'] == second['pairs'] == 2


def test_launcher_takes_folders_of_runs(tmp_path):
  out = tmp_path / 'all.html'
  write_run(tmp_path / 'runs' / 'a', 'darts', 0, 0.5)
  write_run(tmp_path / 'runs' / 'b', 'gdas', 1, 0.5)  # No pair, no test.
  done = launch('report', f'--workdirs={tmp_path / "runs"}', f'--out={out}')
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == [str(out)]
  assert '2 runs, 2 settings' in Page(out).text


def test_a_folder_in_other_words_is_the_same(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  folder = write_run(tmp_path / 'runs' / 'a', 'darts', 0, 0.5)
  (tmp_path / 'link').symlink_to(tmp_path / 'runs')
  given = ['runs/a', folder, 'runs/../runs', 'link', tmp_path / 'link' / 'a']
  (run,) = compared.read(given)
  assert str(run.workdir) == 'runs/a'


def test_what_cannot_be_compared(folders, tmp_path):
  out = tmp_path / 'all.html'
  with pytest.raises(errors.UserError, match='at least two runs .* got 1'):
    compare_page.write(folders[:1], out)
  with pytest.raises(errors.UserError, match='nowhere does not exist'):
    compare_page.write([*folders, tmp_path / 'nowhere'], out)
  assert not out.exists()
  # The one whose files do not fit is named, not the first.
  alphas = folders[2] / 'alphas.jsonl'
  lines = alphas.read_text().splitlines()
  line = json.loads(lines[-1]) | {'operations': None}
  alphas.write_text('\n'.join([*lines[:-1], json.dumps(line)]))
  sentence = rf'one run in {folders[2]}, but they do not fit together: TypeE'
  with pytest.raises(errors.UserError, match=sentence):
    compare_page.write(folders, out)
  assert not out.exists()
