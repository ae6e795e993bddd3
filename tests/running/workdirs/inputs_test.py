"""A run knows what it was made of, and a finished one is never written again.

What a config names, files and folders, may hold something else the next time.
"""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from data_sets import save
from genotype_cells import TINY
from tiny_runs import SEARCH, TRAIN, KillError

from opp_darts_jax import files
from opp_darts_jax.config import DataConfig, ScheduleConfig
from opp_darts_jax.data import dataset
from opp_darts_jax.errors import OtherRunError, WorkdirError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.early_stopping import early_stopping
from opp_darts_jax.methods.pc_darts import pc_darts
from opp_darts_jax.methods.progressive import progressive
from opp_darts_jax.methods.with_cost import with_cost
from opp_darts_jax.networks.costs import Costs
from opp_darts_jax.running.searches.search import checked, run_search
from opp_darts_jax.running.trainings.training import run_training
from opp_darts_jax.running.workdirs import inputs
from opp_darts_jax.running.workdirs.workdir import check_workdir, open_workdir
from opp_darts_jax.spaces.robust import S2, S3


def kill(record):
  raise KillError


def snapshot(workdir):
  """Every file, what it holds, and when it was written."""
  return {
    path: (path.read_bytes(), path.stat().st_mtime_ns)
    for path in workdir.rglob('*')
    if path.is_file() and path.name != '.lock'
  }


class Place:
  """A data set and a genotype in files, and runs of them."""

  def __init__(self, folder):
    self.folder = folder
    self.images = folder / 'images'
    self.genotype = folder / 'found.json'
    self.genotype.write_text(TINY.to_json())
    rng = np.random.default_rng(0)
    for name in ('cat', 'dog', 'eel'):
      for number in range(24):
        pixels = rng.integers(0, 256, (8, 8), np.uint8)
        save(self.images / name / f'{number:02}.png', pixels)

  def train(self, workdir='train', **given):
    data = DataConfig(source=str(self.images), crop_padding=1, flip=False)
    config = dataclasses.replace(
      TRAIN, genotype=str(self.genotype), data=data, epochs=1
    )
    return run_training(
      config, self.folder / workdir, signals=False, quiet=True, **given
    )

  def search(self, workdir='search', **given):
    data = DataConfig(source=str(self.images), crop_padding=1, flip=False)
    config = dataclasses.replace(SEARCH, data=data)
    return run_search(
      config, self.folder / workdir, signals=False, quiet=True, **given
    )


@pytest.fixture(scope='module')
def begun(toys, tmp_path_factory):
  """A training and a search that ended within their first epoch."""
  place = Place(tmp_path_factory.mktemp('place'))
  for run in (place.train, place.search):
    with pytest.raises(KillError):
      run(on_epoch=kill)
  return place


@pytest.fixture
def place(begun, tmp_path):
  """The same, where it may be changed; paths are those of the first one."""
  kept = tmp_path / 'kept'
  shutil.copytree(begun.folder, kept)
  yield begun
  shutil.rmtree(begun.folder)
  shutil.copytree(kept, begun.folder)


def rename_a_class(place):
  (place.images / 'cat').rename(place.images / 'zebra')


def swap_two_classes(place):
  (place.images / 'cat').rename(place.images / 'x')
  (place.images / 'dog').rename(place.images / 'cat')
  (place.images / 'x').rename(place.images / 'dog')


def drop_an_image(place):
  (place.images / 'eel' / '07.png').unlink()


def change_a_pixel(place):
  path = place.images / 'eel' / '07.png'
  save(path, np.zeros((8, 8), np.uint8))


def edit_the_genotype(place):
  """The same operations from other nodes."""
  normal, reduce = TINY.cells
  first, second = normal.edges
  edges = (
    first._replace(source=second.source),
    second._replace(source=first.source),
  )
  other = Genotype((dataclasses.replace(normal, edges=edges), reduce))
  assert other != TINY
  place.genotype.write_text(other.to_json())


@pytest.mark.parametrize('run', ['train', 'search'])
@pytest.mark.parametrize(
  ('change', 'name'),
  [
    (rename_a_class, r'data\.class'),
    (swap_two_classes, r'data\.fingerprint'),
    (drop_an_image, r'data\.'),
    (change_a_pixel, r'data\.fingerprint'),
  ],
  ids=lambda value: getattr(value, '__name__', ''),
)
def test_other_images_are_refused(place, run, change, name):
  workdir = place.folder / run
  before = snapshot(workdir)
  change(place)
  with pytest.raises(
    OtherRunError, match=f'a run of other inputs: its .*{name}.* now.*; give'
  ) as error:
    getattr(place, run)()
  assert error.value.exit_code == 5
  assert snapshot(workdir) == before


@pytest.mark.parametrize('older', [False, True])
def test_an_edited_genotype_is_refused(place, older):
  if older:  # Earlier releases kept the genotype of a training, and no inputs.
    (place.folder / 'train' / 'inputs.json').unlink()
  before = snapshot(place.folder / 'train')
  edit_the_genotype(place)
  with pytest.raises(
    OtherRunError, match=r'other inputs: its genotype\.normal'
  ):
    place.train()
  assert snapshot(place.folder / 'train') == before


def test_the_same_inputs_go_on_and_end(place):
  """Wherever they lie, and whenever they were written."""
  for path in place.images.rglob('*.png'):
    path.touch()
  first = place.train()
  before = snapshot(place.folder / 'train')
  assert first['weights_of'] == 'the last epoch'
  # What has finished is never written again, and has nobody called.
  assert place.train(on_epoch=kill) == first
  assert snapshot(place.folder / 'train') == before
  edit_the_genotype(place)
  with pytest.raises(OtherRunError, match=r'its genotype\.normal'):
    place.train()
  assert snapshot(place.folder / 'train') == before


def test_inputs_that_lie_elsewhere_are_the_same_inputs(place, monkeypatch):
  """A run goes on where its files were moved, and says where they lie."""
  for name in ('images', 'genotype'):
    path = getattr(place, name)
    moved = path.rename(path.with_name(f'moved_{path.name}'))
    monkeypatch.setattr(place, name, moved)
  place.train()
  config = json.loads((place.folder / 'train' / 'config.json').read_text())
  assert config['data']['source'] == str(place.images)
  assert config['genotype'] == str(place.genotype)
  # Another genotype is another input wherever it lies.
  edit_the_genotype(place)
  with pytest.raises(OtherRunError, match=r'its genotype\.normal'):
    place.train()


def test_a_finished_search_is_never_written_again(place):
  found = place.search()
  before = snapshot(place.folder / 'search')
  results = json.loads((place.folder / 'search' / 'results.json').read_text())
  assert results['ended_by'] == 'all epochs'
  assert results['epochs'] == 3
  assert results['genotype'] == found.to_dict()
  assert place.search(on_epoch=kill) == found
  assert snapshot(place.folder / 'search') == before


def data_of(*levels):
  images = np.stack([np.full((8, 8), level, np.uint8) for level in levels])
  return dataset.of_arrays(images, np.arange(len(levels)) % 2, DataConfig())


def test_inputs_of_a_search():
  data = data_of(*range(20))
  one = inputs.of_search(data, S3.with_nodes(1), pc_darts(2))
  assert one == inputs.of_search(data, S3.with_nodes(1), pc_darts(2))
  # It went through JSON, as what it is compared with will have.
  assert one == json.loads(json.dumps(one))
  for other in (
    inputs.of_search(data, S3.with_nodes(2), pc_darts(2)),
    inputs.of_search(data, S2.with_nodes(1), pc_darts(2)),
    inputs.of_search(data, S3.with_nodes(1), pc_darts(4)),
    inputs.of_search(data, S3.with_nodes(1), pc_darts(2, 3)),
    inputs.of_search(data_of(*range(1, 21)), S3.with_nodes(1), pc_darts(2)),
  ):
    assert one != other


def test_another_table_of_latency_is_another_input(tmp_path):
  def made_of(seconds):
    rows = ((0.0, 0.0, seconds),) * len(S3.graph.edges)
    tables = tuple((kind, rows) for kind in S3.kinds)
    costs = Costs('latency', S3.names, S3.graph.edges, 0.1, tables)
    held = with_cost(pc_darts(2), costs, target=1.0)
    return inputs.of_search(data_of(*range(20)), S3, held)

  before = made_of(0.25)
  assert before == made_of(0.25)
  files.write_json(tmp_path / 'inputs.json', before)
  check_workdir(tmp_path, SEARCH, before)
  with pytest.raises(OtherRunError, match=r'its cost\.latency was .* now'):
    check_workdir(tmp_path, SEARCH, made_of(0.5))
  # Earlier releases did not write it down.
  older = {name: own for name, own in before.items() if name != 'cost'}
  files.write_json(tmp_path / 'inputs.json', older)
  check_workdir(tmp_path, SEARCH, made_of(0.5))


def test_what_a_release_did_not_write_down_is_not_compared(tmp_path):
  given = {'data': {'num_train': 3, 'new': 1}, 'method': {'partial': 2}}
  config = dataclasses.replace(SEARCH, seed=4)
  (tmp_path / 'inputs.json').write_text('{"data": {"num_train": 3, "old": 1}}')
  with open_workdir(tmp_path, config, given):
    pass
  with pytest.raises(
    OtherRunError, match=r'its data\.num_train was 3 and is 4'
  ):
    check_workdir(tmp_path, config, {'data': {'num_train': 4}})


@pytest.mark.parametrize('content', [b'{"data"', b'', b'\xff\xfe', b'[]'])
def test_damaged_inputs(tmp_path, content):
  (tmp_path / 'inputs.json').write_bytes(content)
  with pytest.raises(
    WorkdirError, match='must be a folder that can be written'
  ):
    check_workdir(tmp_path, SEARCH, {'data': {}})


def test_a_method_that_is_given_brings_its_schedule_into_the_config():
  """So that another one is another run, and pages tell what was done."""
  own = ScheduleConfig(stage_epochs=1, selection='random', cosine='reanchored')

  def schedule(method):
    return checked(SEARCH, None, method)[0].schedule

  assert schedule(progressive(darts(), own)) == own
  assert schedule(early_stopping(progressive(darts(), own), own)) == own
  plain = dataclasses.replace(SEARCH.schedule, name='plain')
  assert schedule(darts()) == schedule(early_stopping(darts(), own)) == plain
  assert schedule(None) == SEARCH.schedule != plain
