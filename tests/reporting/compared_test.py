"""What tells the runs of a page apart: what they are of, whatever its name."""

import json
import pathlib
import shutil

import pytest
from run_files import GENOTYPE, write_run, write_trained

from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.reporting import compare_page, compare_parts, compared
from opp_darts_jax.reporting.run_files import read_run

OTHER = {**GENOTYPE, 'normal': [['max_pool_3x3', 1], *GENOTYPE['normal'][1:]]}
FIRST = pathlib.Path(__file__).parents[1] / 'golden' / 'first_house'


def write(folder, name, fields):
  (folder / name).write_text(json.dumps(fields))


def settings(folders):
  """(the settings, in order; what differs; what they came to)."""
  found, differing = compared.compared([read_run(f) for f in folders])
  groups = list(dict.fromkeys(one.group for one in found))
  return groups, differing, compare_parts.summary(found, groups)


def trained(folder, cells):
  """Two trainings of each cell: what the config says, and the cell itself."""
  folders = []
  for number in range(2):
    for place, (text, genotype) in enumerate(cells):
      path = folder / f'{place}-{number}'
      write_trained(path, number, text, 0.25 * (place + 2 * number + 1))
      write(path, 'genotype.json', genotype)
      folders.append(path)
  return folders


PUBLISHED = {n: GENOTYPES[n].to_dict() for n in ('DARTS_V1', 'DARTS_V2')}
FILE = 'cells/mine.json'
WRITTEN_ANEW = 'mine/genotype.json'


@pytest.mark.parametrize(
  ('cells', 'named'),
  [
    pytest.param([*PUBLISHED.items()], True, id='names'),
    # What the files of a run hold does not say which name was given.
    pytest.param([(n, GENOTYPE) for n in PUBLISHED], True, id='names alone'),
    pytest.param(
      [(json.dumps(cell), cell) for cell in PUBLISHED.values()],
      True,
      id='texts of published cells',
    ),
    pytest.param(
      [(json.dumps(cell), cell) for cell in (GENOTYPE, OTHER)],
      False,
      id='texts',
    ),
    pytest.param([(FILE, GENOTYPE), (FILE, OTHER)], False, id='a file'),
    pytest.param(
      [(WRITTEN_ANEW, GENOTYPE), (WRITTEN_ANEW, OTHER)],
      False,
      id='a file of a search that was written anew',
    ),
  ],
)
def test_other_cells_are_other_settings(tmp_path, cells, named):
  folders = trained(tmp_path, cells)
  groups, differing, (one,) = settings(folders)
  first, second = one.rows
  assert (first['seeds'], second['seeds'], second['pairs']) == (2, 2, 2)
  assert (first['mean'], second['mean']) == (0.5, 0.75)
  assert list(differing) == ['genotype']
  names = differing['genotype'][:2]
  assert groups == [f'training of {name}' for name in names]
  if named:
    assert names == ['DARTS_V1', 'DARTS_V2']
  page = compare_page.write(folders, tmp_path / 'all.html').read_text()
  assert 'Nothing but the seeds' not in page


@pytest.mark.parametrize(
  'words',
  [
    ('DARTS_V2', json.dumps(PUBLISHED['DARTS_V2'])),
    ('old/cell.json', 'new/cell.json'),
  ],
)
def test_a_cell_in_other_words_is_the_same(tmp_path, words):
  cells = [(text, PUBLISHED['DARTS_V2']) for text in words]
  groups, differing, (one,) = settings(trained(tmp_path, cells))
  assert (groups, differing) == (['training'], {})
  assert one.rows[0]['seeds'] == 4


def test_a_text_is_of_the_search_on_the_page_that_gave_it(tmp_path):
  folders = []
  for method, cells in {
    'darts': (GENOTYPE, OTHER),
    'gdas': (PUBLISHED['DARTS_V1'], PUBLISHED['DARTS_V2']),
  }.items():
    for number, cell in enumerate(cells):
      search = write_run(tmp_path / f'{method}{number}', method, number, 0.5)
      write(search, 'genotype.json', cell)
      # All with one seed, so that pairs are by that of the search.
      folder = tmp_path / f'{method}{number}-trained'
      write_trained(folder, 0, json.dumps(cell), 0.5)
      write(folder, 'genotype.json', cell)
      folders += [search, folder]
  groups, _, sets = settings(folders)
  assert groups == ['darts', 'training of darts', 'gdas', 'training of gdas']
  rows = sets[-1].rows
  assert [row['seeds'] for row in rows] == [2, 2]
  assert rows[1]['pairs'] == 2


def searched(folder, runs):
  """Searches: (where the images lie, their fingerprint; '' is not known)."""
  folders = []
  for number, (source, digits) in enumerate(runs):
    data = {'source': source, 'data_dir': f'at/{number}'}
    path = folder / f'{number}'
    write_run(path, 'darts', number % 2, 0.5 + number / 10, data=data)
    if digits:
      write(path, 'inputs.json', {'data': {'fingerprint': digits}})
    folders.append(path)
  return folders


ONE, TWO = 'a' * 16, 'b' * 16


@pytest.mark.parametrize(
  ('runs', 'groups', 'sets'),
  [
    pytest.param(
      [('arrays', ONE), ('arrays', ONE), ('arrays', TWO), ('arrays', TWO)],
      ['fingerprint=aaaaaaaa', 'fingerprint=bbbbbbbb'],
      {'arrays (aaaaaaaa)': 2, 'arrays (bbbbbbbb)': 2},
      id='others of one name',
    ),
    pytest.param(
      [('/old/images', ONE), ('/new/images', ONE)],
      ['darts'],
      {'/old/images': 2},
      id='moved',
    ),
    pytest.param(
      [('/old', ONE), ('/old', TWO), ('/new', TWO), ('/new', ONE)],
      ['fingerprint=aaaaaaaa', 'fingerprint=bbbbbbbb'],
      {'/old (aaaaaaaa)': 2, '/old (bbbbbbbb)': 2},
      id='exchanged',
    ),
    pytest.param(
      [('tfds:birds', ONE), ('birds', TWO)],
      ['source=tfds:birds', 'source=birds'],
      {'birds (aaaaaaaa)': 1, 'birds (bbbbbbbb)': 1},
      id='of one name in short',
    ),
    # Earlier releases wrote no fingerprint.
    pytest.param(
      [('digits', ''), ('digits', '')], ['darts'], {'digits': 2}, id='unknown'
    ),
    pytest.param(
      [('digits', ''), ('digits', ONE)],
      ['darts'],
      {'digits': 2},
      id='and known',
    ),
    pytest.param(
      [('one', ''), ('two', ''), ('two', ONE)],
      ['source=one', 'source=two'],
      {'one': 1, 'two': 2},
      id='other names',
    ),
  ],
)
def test_images_are_told_apart_by_content(tmp_path, runs, groups, sets):
  found, _, results = settings(searched(tmp_path, runs))
  assert found == groups
  assert {one.data: sum(r['seeds'] for r in one.rows) for one in results} == (
    sets
  )


def test_other_images_are_told_of(tmp_path):
  folders = searched(tmp_path, [('arrays', ONE), ('arrays', TWO)])
  page = compare_page.write(folders, tmp_path / 'all.html').read_text()
  assert '<td>data.fingerprint</td><td>aaaaaaaa</td><td>bbbbbbbb</td>' in page
  assert 'On arrays (aaaaaaaa), ' in page


def test_a_field_says_more_than_a_fingerprint(tmp_path):
  folders = searched(tmp_path, [('digits', ONE), ('digits', TWO)])
  for number, folder in enumerate(folders):
    config = json.loads((folder / 'config.json').read_text())
    config['data']['max_train'] = 100 * number
    write(folder, 'config.json', config)
  groups, differing, results = settings(folders)
  assert groups == ['max_train=0', 'max_train=100']
  assert list(differing) == ['data.max_train']
  # More or fewer of the same images are compared.
  assert [(one.data, len(one.rows)) for one in results] == [('digits', 2)]


@pytest.mark.parametrize(
  ('tables', 'digests', 'groups'),
  [
    (('old.json', 'new.json'), 'aa', ['darts']),
    (('a.json', 'a.json'), 'ab', ['digest=aaaaaaaa', 'digest=bbbbbbbb']),
  ],
)
def test_tables_of_costs_are_told_apart_by_content(
  tmp_path, tables, digests, groups
):
  folders = []
  for number, (table, digit) in enumerate(zip(tables, digests)):
    cost = {'target': 0.5, 'quantity': 'latency', 'table': table}
    folder = tmp_path / f'{number}'
    folders.append(write_run(folder, 'darts', number, 0.5, cost=cost))
    write(folder, 'inputs.json', {'cost': {'latency': digit * 64}})
  assert settings(folders)[0] == groups


@pytest.mark.parametrize('kind', ['search', 'training'])
def test_a_run_of_an_earlier_release_is_of_the_same_setting(tmp_path, kind):
  fields = {'eval_epochs': 1, 'weights': {'learning_rate': 0.1}}
  folders = []
  for number in range(2):
    folder = tmp_path / f'{number}'
    now = fields if number else {'weights': fields['weights']}
    if kind == 'search':
      write_run(folder, 'darts', number, 0.5, **now)
    else:
      write_trained(folder, number, 'DARTS_V2', 0.5, **now)
    folders.append(folder)
  groups, differing, (one,) = settings(folders)
  assert (len(groups), differing) == (1, {})
  assert one.rows[0]['seeds'] == 2
  # Yet another value than what all had then is another setting.
  write(folders[1], 'config.json', {
    **json.loads((folders[1] / 'config.json').read_text()), 'eval_epochs': 2
  })  # fmt: skip
  groups, differing, _ = settings(folders)
  assert (len(groups), differing) == (2, {'eval_epochs': ['1', '2']})


def test_a_run_of_the_first_release_has_the_names_of_today(tmp_path):
  old = pathlib.Path(shutil.copytree(FIRST / 'whole', tmp_path / 'old'))
  config = json.loads((old / 'config.json').read_text())
  schedule = {**config['schedule'], 'name': 'progressive'}
  del schedule['method']
  fields = {**config, 'schedule': schedule, 'seed': 1}
  now = write_run(tmp_path / 'now', 'darts', 1, 0.5, **fields)
  groups, differing, _ = settings([old, now])
  assert (groups, differing) == (['progressive+darts'], {})


def test_runs_that_have_not_finished_count_in_no_mean(tmp_path):
  folders = [
    write_run(tmp_path / f'{m}{n}', m, n, accuracy)
    for m, n, accuracy in [
      ('darts', 0, 0.5), ('darts', 1, 0.625), ('gdas', 0, 0.75),
      ('gdas', 1, 0.25),
    ]
  ]  # fmt: skip
  page = compare_page.write(folders, tmp_path / 'all.html').read_text()
  assert 'have not finished' not in page
  (folders[3] / 'results.json').unlink()
  found, _ = compared.compared([read_run(folder) for folder in folders])
  assert len({one.group for one in found}) == 2
  (one,) = compare_parts.summary(found, ['darts', 'gdas'])
  assert [(r['seeds'], r['mean']) for r in one.rows] == [(2, 0.5625), (1, 0.75)]
  assert one.rows[1]['pairs'] == 1
  said = compare_parts.sentence(found, [one])
  assert (
    '2 of 2 by darts, 1 of 1 by gdas. 1 of 4 runs have not finished' in said
  )
  # In the table it stands, as far as it is.
  assert compare_parts.row(found[3]).accuracy == 0.25
  for folder in folders[:3]:
    (folder / 'results.json').unlink()
  page = compare_page.write(folders, tmp_path / 'all.html').read_text()
  assert '4 of 4 runs have not finished and count in no mean' in page
  assert 'Judged as collapsed' not in page
  assert 'What they came to' not in page
