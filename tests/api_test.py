"""Searching and training from Python, as in a notebook."""

import dataclasses
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_supernet
from sklearn.datasets import load_digits
from tiny_runs import (
  DATA,
  SEARCH,
  TRAIN,
  KillError,
  contents,
)

import opp_darts_jax as odj
from opp_darts_jax.errors import OtherRunError
from opp_darts_jax.running.runs.interruption import SIGNALS


@pytest.fixture(scope='module')
def arrays():
  """About a hundred digits, (n, 8, 8) from 0 to 1, and their labels."""
  digits = load_digits()
  return digits.images[:120] / 16, digits.target[:120]


def fields_of(config):
  """A config as the keyword arguments of a call, but for what is default."""
  default = type(config)()
  return {
    field.name: getattr(config, field.name)
    for field in dataclasses.fields(config)
    if getattr(config, field.name) != getattr(default, field.name)
  }


@pytest.fixture(scope='module')
def found(arrays):
  """A search of arrays, in a folder of its own."""
  fields = fields_of(SEARCH) | {'schedule': {'stage_epochs': 1}}
  return odj.search(*arrays, **fields, quiet=True)


def test_a_search_of_arrays(found):
  assert isinstance(found, odj.SearchRun)
  data = dataclasses.replace(DATA, source='arrays')
  assert found.config == dataclasses.replace(SEARCH, data=data)
  assert [line['epoch'] for line in found.epochs] == [0, 1, 2]
  assert len(found.stages) == len(found.alphas) == 3
  assert found.genotype.kinds == ('normal', 'reduce')
  assert set(found.genotype.operations) <= set(odj.SPACES['s3'].names)
  assert odj.load_run(found.workdir) == found
  space = json.loads((found.workdir / 'space.json').read_text())
  assert space['cells'] == {'normal': 0, 'reduce': SEARCH.layers}


def test_the_same_call_in_the_same_folder_does_nothing_more(
  arrays, found, capfd
):
  before = contents(found.workdir)
  again = odj.search(
    *arrays, workdir=found.workdir, config=found.config, quiet=True
  )
  assert again == found
  assert contents(found.workdir) == before
  assert capfd.readouterr() == ('', '')


def test_a_config_and_a_folder_by_place(arrays, found, tmp_path, capsys):
  """A run that is cut off goes on, as whatever is given says the same."""
  images = odj.of_arrays(*arrays, DATA)
  handlers = []

  def look(record):
    handlers.append([signal.getsignal(number) for number in SIGNALS])
    if record.epoch == 1:
      raise KillError

  before = [signal.getsignal(number) for number in SIGNALS]
  with pytest.raises(KillError):
    odj.search(SEARCH, tmp_path, data=images, on_epoch=look, space='s3')
  assert handlers == [before] * 2
  handlers.clear()

  def look_again(record):
    handlers.append([signal.getsignal(number) for number in SIGNALS])

  run = odj.search(
    config=SEARCH,
    workdir=str(tmp_path),
    data=arrays,
    on_epoch=[look_again],
    method='darts',
    signals=True,
  )
  assert run.genotype == found.genotype
  assert len(handlers) == 2
  assert all(now != was for h in handlers for now, was in zip(h, before))
  assert [signal.getsignal(number) for number in SIGNALS] == before
  assert contents(tmp_path) == contents(found.workdir)
  said = capsys.readouterr().out
  assert f'Search in {tmp_path}\n' in said
  assert f'Search in {tmp_path}, going on after step 3\n' in said
  assert 'stage 2, epoch 2: enters skip_connect' in said


# An operation, a space and a method of a user's own.
def _init_scale(key, copies, channels, stride):
  del key, stride
  return {'scale': jnp.ones((*copies, channels))}


def _apply_scale(params, x, norm, stride, key):
  del norm, key
  return x[:, ::stride, ::stride] * params['scale'].astype(x.dtype)


SCALE = odj.Operation('scale', _init_scale, _apply_scale, parametric=True)
MINE = odj.Space(
  'mine', (odj.OPERATIONS['skip_connect'], SCALE), odj.CellGraph(nodes=2)
)


def sharp(temperature):
  """DARTS, but colder."""

  def weights(space, params, mask, draw):
    colder = {kind: params[kind] / temperature for kind in space.kinds}
    return odj.darts().weights(space, colder, mask, draw)

  return odj.darts()._replace(name=f'sharp {temperature}', weights=weights)


@pytest.fixture(scope='module')
def own(arrays, tmp_path_factory):
  """A search with all of them, and what its watcher was given."""
  records = []
  with toy_supernet.in_place_of_supernets(check=True):
    run = odj.search(
      dataclasses.replace(SEARCH, epochs=2, nodes=1),
      tmp_path_factory.mktemp('own'),
      data=arrays,
      space=MINE,
      method=sharp(0.5),
      on_epoch=records.append,
      quiet=True,
    )
  return run, records


def test_a_space_an_operation_and_a_method_of_ones_own(own):
  run, records = own
  assert (run.config.space, run.config.method) == ('mine', 'sharp 0.5')
  assert [record.epoch for record in records] == [0, 1]
  assert isinstance(records[0], odj.EpochRecord)
  # No schedule is around a method that is passed.
  assert [stage.entered for stage in run.stages] == [('skip_connect', 'scale')]
  assert run.alphas[0]['operations'] == ['skip_connect', 'scale']
  # The config's number of nodes holds for a space that is passed, too.
  assert len(run.alphas[0]['normal']) == 2
  assert set(run.genotype.operations) <= {'skip_connect', 'scale'}


@pytest.mark.parametrize(
  ('changed', 'names'),
  [
    ({'space': dataclasses.replace(MINE, name='other')}, 'space'),
    ({'method': sharp(0.25)}, 'method'),
    ({'space': 's3', 'method': 'darts'}, 'method, space'),
  ],
)
def test_a_run_of_another_space_or_method_is_refused(
  arrays, own, changed, names
):
  run, _ = own
  given = {'space': MINE, 'method': sharp(0.5)} | changed
  config = dataclasses.replace(SEARCH, epochs=2, nodes=1)
  if given['method'] == 'darts':
    config = dataclasses.replace(config, schedule=odj.ScheduleConfig('plain'))
    names = 'method, schedule.stage_epochs, space'
  before = contents(run.workdir)
  with pytest.raises(OtherRunError, match=f'differs in {names};'):
    odj.search(config, run.workdir, data=arrays, quiet=True, **given)
  assert contents(run.workdir) == before


@pytest.fixture(scope='module')
def trained(arrays, own):
  """A training of what was found in the user's space."""
  records = []
  run = odj.train(
    *arrays,
    **fields_of(TRAIN),
    genotype=own[0].genotype,
    space=MINE,
    on_epoch=records.append,
    quiet=True,
  )
  return run, records


def test_training_what_was_found(arrays, own, trained):
  run, records = trained
  assert isinstance(run, odj.TrainRun)
  assert run.genotype == own[0].genotype
  assert [record.epoch for record in records] == [0, 1]
  assert isinstance(records[0], odj.TrainRecord)
  assert records[1].workdir == run.workdir
  last = records[1].metrics
  assert last['test_accuracy'] == run.results['test_accuracy']
  assert run.results['epochs'] == len(run.epochs) == 2
  images = np.uint8(np.round(arrays[0] * 255))[..., None]
  logits = run.network(images)
  assert logits.shape == (120, 10)
  # By hand: the space itself is passed, as no name finds it.
  network = odj.load_network(run.workdir, MINE)
  np.testing.assert_array_equal(network(images), logits)
  again = odj.load_run(run.workdir, MINE)
  assert again.results == run.results
  np.testing.assert_array_equal(again.network(images), logits)
  with pytest.raises(odj.UserError, match="search space 'mine'.* or pass the"):
    odj.load_network(run.workdir)


def test_a_finished_training_does_nothing_more(arrays, own, trained, capfd):
  run, _ = trained
  before = contents(run.workdir, ('metrics.jsonl', 'results.json'))
  records = []
  again = odj.train(
    TRAIN,
    run.workdir,
    data=arrays,
    genotype=own[0].genotype.to_json(),
    space=MINE,
    on_epoch=records.append,
    quiet=True,
  )
  assert again.results == run.results
  assert records == []
  assert contents(run.workdir, tuple(before)) == before
  assert capfd.readouterr() == ('', '')


def test_without_a_folder_each_call_has_its_own(found, trained):
  assert found.workdir != trained[0].workdir
  for run in (found, trained[0]):
    assert run.workdir.name.startswith('opp_darts_')


ONE = np.zeros((4, 8, 8), np.uint8)


@pytest.mark.parametrize(
  ('given', 'fields', 'sentence'),
  [
    ((ONE,), {}, 'images and labels, or a SearchConfig and a workdir, got nd'),
    ((ONE, [0] * 4, 'x'), {}, 'got ndarray, list, str; each of them once'),
    ((ONE, [0] * 4), {'data': (ONE, [0])}, 'got ndarray, list; each of them'),
    ((SEARCH, 'x'), {'workdir': 'y'}, 'got SearchConfig, str; each of them'),
    ((SEARCH, 'x'), {'config': SEARCH}, 'got SearchConfig, str; each of'),
    ((TRAIN, 'x'), {}, 'Expected a SearchConfig, got a TrainConfig'),
    ((), {'config': {'epochs': 3}}, 'Expected a SearchConfig, got a dict'),
    ((ONE, [0, 1, 0]), {}, '4 images and 3 labels'),
    ((ONE, [0] * 4), {}, 'at least two classes|at least 2 classes'),
    ((), {'workdir': 3}, 'Expected workdir as text or a path, got int'),
    ((), {'data': ONE}, r'Expected data as \(images, labels\), or what of_arr'),
    ((), {'data': (ONE,)}, r'Expected data as .* got a tuple of 1'),
    ((), {'space': 3}, 'Expected space as a Space or text, got int'),
    ((), {'space': 's9'}, "Unknown search space 's9'"),
    ((), {'method': odj.darts}, r'a Method or text, got function \(call it'),
    ((), {'method': 'nope'}, "Unknown method 'nope'"),
    ((), {'method': 'pc_darts(x=3)'}, 'pc_darts takes: partial, warmup_epochs'),
    (
      (),
      {'schedule': {'name': 'no'}},
      "Unknown schedule 'no'; valid are: plain",
    ),
    ((), {'on_epoch': 3}, 'on_epoch as a function .* got int'),
    ((), {'on_epoch': [print, 3]}, 'on_epoch as a function .* got int'),
    ((), {'epoch': 3}, 'Unknown config field epoch; valid are: seed, '),
    ((), {'epochs': '3'}, "epochs must be of type int; got '3'"),
    ((), {'schedule': 3}, 'schedule must be a group of fields; got 3'),
    ((), {'schedule': {'x': 3}}, r'Unknown config field schedule\.x'),
    (
      (),
      {'epochs': 3},
      'epochs must be at least 15 for the 8 operations',
    ),
    (
      (),
      {'space': 's3', 'schedule': {'selection': 'fixed', 'order': ('none',)}},
      "must list each operation of space 's3' once .* got none",
    ),
    (
      (),
      {'space': 's1', 'nodes': 3},
      "nodes=4, which the cells of space 's1' are made for, got nodes=3",
    ),
    ((), {'method': 'pc_darts(partial=3)'}, 'channels must be a multiple of 3'),
  ],
  ids=lambda value: str(value).split(' at 0x')[0][:40],
)
def test_wrong_arguments_of_a_search(tmp_path, given, fields, sentence):
  if not given or isinstance(given[0], np.ndarray):
    fields = {'workdir': tmp_path / 'run', **fields}
  with pytest.raises(odj.UserError, match=sentence) as error:
    odj.search(*given, quiet=True, **fields)
  assert '\n' not in str(error.value)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('call', [odj.search, odj.train])
@pytest.mark.parametrize(
  ('field', 'value'),
  [
    ('image_size', 16),
    ('background', 'black'),
    ('test_fraction', 0.5),
    ('held_out', 0.1),
    ('max_train', 20),
    ('max_test', 5),
    ('mean', (0.5,)),
    ('std', (0.5,)),
  ],
)
def test_ready_images_are_not_made_again(arrays, tmp_path, call, field, value):
  """A field that would come too late is not passed over."""
  own = odj.of_arrays(*arrays)
  sentence = (
    f'data.{field} as the data set .arrays. was made, .*, got .*{value}.*; give'
  )
  with pytest.raises(odj.UserError, match=sentence):
    call(
      config=dataclasses.replace(
        SEARCH if call is odj.search else TRAIN,
        data=odj.DataConfig(**{field: value}),
      ),
      data=own,
      workdir=tmp_path / 'run',
    )
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('fields', 'sentence'),
  [
    ({'genotype': 3}, 'Expected genotype as a Genotype or text, got int'),
    (
      {'genotype': 'nope'},
      "'nope' is neither a readable file nor the text of a genotype",
    ),
    ({'config': SEARCH}, 'Expected a TrainConfig, got a SearchConfig'),
    ({'on_epoch': 3}, 'on_epoch as a function .* got int'),
    (
      {'space': 'nasbench201'},
      "genotype of space 'nasbench201', with the cells cell, got one with",
    ),
  ],
  ids=lambda value: str(value)[:40],
)
def test_wrong_arguments_of_a_training(tmp_path, fields, sentence):
  given = {'data': DATA, 'workdir': tmp_path / 'run', **fields}
  if 'config' in given:
    del given['data']
  with pytest.raises(odj.UserError, match=sentence):
    odj.train(quiet=True, **given)
  assert not list(tmp_path.iterdir())


def test_groups_of_fields_may_be_given_whole(arrays):
  # Refused for what was given, so that nothing has to run.
  schedule = odj.ScheduleConfig(selection='fixed', order=('none',))
  with pytest.raises(odj.UserError, match='each operation .* got none'):
    odj.search(*arrays, schedule=schedule, quiet=True)


@pytest.mark.parametrize('name', ['config.json', 'genotype.json'])
def test_what_is_no_run_is_refused(found, tmp_path, name):
  for file in {'config.json', 'genotype.json'} - {name}:
    (tmp_path / file).write_bytes((found.workdir / file).read_bytes())
  sentence = f'a run that has ended an epoch, with its {name}; in {tmp_path} it'
  for text in (None, '{"epo', '\x00'):
    if text:
      (tmp_path / name).write_text(text)
    with pytest.raises(odj.UserError, match=sentence):
      odj.load_run(tmp_path)
  (tmp_path / name).write_text('[]')
  with pytest.raises(odj.UserError, match='Expected an object'):
    odj.load_run(tmp_path)


def test_jax_is_left_as_it_was(arrays, found):
  before = dict(jax.config.values)
  odj.search(*arrays, config=found.config, workdir=found.workdir, quiet=True)
  assert dict(jax.config.values) == before


def test_the_images_part_of_a_config_by_its_own_name(arrays, tmp_path):
  # Refused for what was given, so that nothing has to run.
  for data in ({'max_train': 20}, odj.DataConfig(max_train=20)):
    with pytest.raises(
      odj.UserError, match='at most 10, the number of images of arrays'
    ):
      odj.search(
        *arrays, data=data, space='s3', workdir=tmp_path / 'run', quiet=True
      )
