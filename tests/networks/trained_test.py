"""Tests of the network that training leaves: saved, loaded, called."""

import dataclasses
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genotype_cells import BENCH
from PIL import Image

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import augment
from opp_darts_jax.data.dataset import ImageData, load
from opp_darts_jax.data.split import Split
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.darts_form import darts_genotype
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.published import GENOTYPES, load_genotype
from opp_darts_jax.networks import trained
from opp_darts_jax.networks.export.onnx import export_onnx
from opp_darts_jax.networks.export.torch_weights import (
  network_from_torch,
  network_to_torch,
)
from opp_darts_jax.networks.network import Network, variable_shapes
from opp_darts_jax.operations.operation import Operation, no_weights
from opp_darts_jax.operations.target import Target, traced_for
from opp_darts_jax.runs import load_run
from opp_darts_jax.spaces.darts import DARTS
from opp_darts_jax.spaces.nasbench201 import NASBENCH201

FIRST = pathlib.Path(__file__).parents[1] / 'golden' / 'first_house'
SPLIT = Split(np.zeros((2, 8, 8, 1), np.uint8), np.zeros(2, np.int32))
IMAGES = ImageData('few', SPLIT, SPLIT, ('zero', 'one', 'two'), (0.4,), (0.3,))


def initial(model):
  """Random weights and averages, drawn without a program."""
  rng = np.random.default_rng(3)
  shapes = variable_shapes(model, (8, 8, 1))
  return jax.device_put(
    jax.tree.map(lambda s: rng.uniform(0.5, 1, s.shape).astype(s.dtype), shapes)
  )


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A workdir with a network of random weights, and that network."""
  workdir = tmp_path_factory.mktemp('train')
  model = Network(GENOTYPES['DARTS_V2'], 3, 2, 3)
  variables = initial(model)
  trained.save_network(workdir / 'network.npz', model, variables, IMAGES)
  return workdir, model, variables


@pytest.mark.parametrize(
  ('call', 'sentence'),
  [
    (
      lambda n: n(None),
      r'images to be \(n, H, W\) or \(n, H, W, C\), got \(\)',
    ),
    (lambda n: n([[1, 2]]), r'\(n, H, W, C\), got \(1, 2\)'),
    (lambda n: n(np.zeros((0, 8, 8, 1), np.uint8)), r'but got \(0, 8, 8, 1\)'),
    (lambda n: n(np.full((2, 8, 8), 2.0)), r'to lie in 0\.\.1, got 2\.0'),
    (lambda n: n.read(['gone.png']), 'can be read, got gone.png: .*No such'),
    (
      lambda n: trained.load_network(None),
      'a network as str or PathLike',
    ),
    (lambda n: load_run(5), 'the folder of a run as str or PathLike, got int'),
    (
      lambda n: load_genotype(None),
      'as str or PathLike, got NoneType',
    ),
    (lambda n: Genotype.from_json(None), 'a genotype as str, got NoneType'),
    (lambda n: export_onnx(n.model, 'x'), 'as TrainedNetwork, got Network'),
    (
      lambda n: export_onnx(n, None),
      'a file as str or PathLike, got None',
    ),
    (lambda n: network_to_torch(n, n.model), 'as Mapping, got TrainedNetwork'),
    (lambda n: network_to_torch({}, {}), 'a network as Network, got dict'),
    (lambda n: network_from_torch({}, n), 'as Network, got TrainedNetwork'),
  ],
)
def test_what_is_taken_for_something_else_is_a_sentence(saved, call, sentence):
  with pytest.raises(UserError, match=sentence):
    call(trained.load_network(saved[0]))


def test_a_loaded_network_gives_the_same_logits(saved):
  workdir, model, variables = saved
  network = trained.load_network(workdir)
  assert network.model == model
  assert network.class_names == ('zero', 'one', 'two')
  images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
  x = augment.normalise(jnp.asarray(images), (0.4,), (0.3,))
  want, _ = jax.jit(lambda v, x: model.apply(v, x, False))(variables, x)
  np.testing.assert_allclose(network(images), want, rtol=1e-5, atol=1e-5)
  assert network(images[:2]).shape == (2, 3)


def test_images_are_taken_as_those_that_train(saved):
  network = trained.load_network(saved[0])
  images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
  want = network(images)
  for same in (images[..., 0], images / 255, images.tolist()):
    np.testing.assert_array_equal(network(same), want)


def test_files_are_read_as_those_of_a_folder(saved, tmp_path):
  network = trained.load_network(saved[0])
  numbers = np.random.default_rng(0)
  for name in ('a/1', 'a/2', 'b/1', 'b/2'):
    path = tmp_path / f'{name}.png'
    path.parent.mkdir(exist_ok=True)
    pixels = numbers.integers(0, 256, (12, 15, 4), np.uint8)
    Image.fromarray(pixels).convert('LA').save(path)
  config = DataConfig(source=str(tmp_path), image_size=8, test_fraction=0.5)
  images = load(config)
  assert images.image_shape == network.image_shape
  found = network.read(sorted(tmp_path.glob('*/*')))
  both = np.concatenate([images.train.images, images.test.images])
  assert sorted(map(bytes, found)) == sorted(map(bytes, both))
  one = network.read(tmp_path / 'a' / '1.png')
  np.testing.assert_array_equal(one, found[:1])
  cut = network.read(str(tmp_path / 'a' / '1.png'), centre=True)
  assert cut.shape == one.shape
  assert not np.array_equal(cut, one)


def test_it_is_said_without_its_numbers(saved):
  text = repr(trained.load_network(saved[0]))
  assert 'class_names' in text
  assert 'Array' not in text
  assert 'array' not in text


def test_its_float32_is_float32_on_other_devices(saved):
  network = trained.load_network(saved[0])
  images = np.zeros((2, 8, 8, 1), np.uint8)
  with traced_for(Target('tpu')):
    traced = network._logits.trace(network.variables, images)
    lowered = traced.lower(lowering_platforms=('tpu',)).as_text()
  products = re.findall(r'stablehlo\.(?:dot_general|convolution)\b.*', lowered)
  assert len(products) > 5
  assert [p for p in products if p.count('HIGHEST') != 2] == []


@pytest.mark.parametrize(
  ('images', 'got'),
  [
    (np.zeros((2, 9, 8)), r'\(2, 9, 8\)'),
    (np.zeros((2, 9, 8, 1), np.uint8), r'\(2, 9, 8, 1\)'),
    (np.zeros((8, 8, 1), np.uint8), r'\(8, 8, 1\)'),
  ],
)
def test_other_images_are_refused(saved, images, got):
  network = trained.load_network(saved[0] / 'network.npz')
  with pytest.raises(UserError, match=rf'images \(n, 8, 8, 1\).*{got}'):
    network(images)


def test_what_holds_no_network_is_refused(saved, tmp_path):
  whole = (saved[0] / 'network.npz').read_bytes()
  with pytest.raises(UserError, match='got .*: it is that of no run'):
    trained.load_network(tmp_path)
  with pytest.raises(UserError, match='FileNotFoundError'):
    trained.load_network(tmp_path / 'network.npz')
  for content in (b'', b'text', whole[:-100], whole[: len(whole) // 2]):
    (tmp_path / 'network.npz').write_bytes(content)
    with pytest.raises(UserError, match='Expected a trained network'):
      trained.load_network(tmp_path)


@pytest.mark.parametrize(
  ('arrays', 'got'),
  [
    ({'images': np.zeros(3)}, 'a file without the description of a network'),
    ({'description': np.array('{}')}, "KeyError: 'network'"),
    ({'description': np.array('[]')}, 'TypeError: list indices'),
    ({'description': np.array(3)}, 'TypeError: .int. object'),
    ({'description': np.array('{"network": 1}')}, 'TypeError: '),
    ({'description': np.array('{"network": {}}')}, "KeyError: 'genotype'"),
  ],
)
def test_files_of_others_are_refused_in_a_sentence(tmp_path, arrays, got):
  np.savez(tmp_path / 'network.npz', **arrays)
  sentence = (
    f'Expected a trained network, a network.npz or .*; got .*{got}.*\\.$'
  )
  with pytest.raises(UserError, match=sentence) as error:
    trained.load_network(tmp_path)
  assert '\n' not in str(error.value)


def test_arrays_that_do_not_fit_are_named(saved, tmp_path):
  with np.load(saved[0] / 'network.npz') as file:
    arrays = dict(file)
  del arrays['params/stem/kernel']
  arrays['params/classifier/linear/bias'] = np.zeros(4)
  np.savez(tmp_path / 'network.npz', **arrays)
  sentence = r'params/classifier/linear/bias should be \(3,\) and is \(4,\) \(2'
  with pytest.raises(UserError, match=sentence):
    trained.load_network(tmp_path)


def rewritten(saved, tmp_path, **fields):
  """The file of a network with other fields in its description."""
  with np.load(saved[0] / 'network.npz') as file:
    arrays = dict(file)
  description = json.loads(str(arrays['description']))
  description['network'] |= fields
  arrays['description'] = np.array(json.dumps(description))
  np.savez(tmp_path / 'network.npz', **arrays)
  return tmp_path / 'network.npz'


@pytest.mark.parametrize(
  ('fields', 'sentence'),
  [
    ({'space': 'absent'}, r"search space 'absent'; .*pass the space itself to"),
    ({'space': 'nasbench201'}, r'In .*npz: Expected a genotype of space'),
    ({'genotype': {'cells': 1}}, r'In .*npz: Expected a genotype with'),
    ({'depth': 3, 'a': 1}, 'npz has a, depth, which this version of opp_da'),
    ({'layers': 'three'}, 'Expected a trained network.*; got TypeError'),
    (
      {'layers': 2},
      r'In .*npz: the arrays do not fit the network: .*\(\d+ such',
    ),
    ({'compute': 'float17'}, 'Expected a trained network.*; got TypeError'),
  ],
)
def test_descriptions_that_do_not_hold(saved, tmp_path, fields, sentence):
  path = rewritten(saved, tmp_path, **fields)
  with pytest.raises(UserError, match=sentence):
    trained.load_network(path)


def test_a_network_of_the_first_house():
  """Of a file that says nothing of a space, and of the logits it gave."""
  network = trained.load_network(FIRST)
  assert network.model.space is DARTS
  assert network.model.genotype == darts_genotype(
    [
      *(('skip_connect', 0), ('sep_conv_3x3', 1)),
      *(('sep_conv_3x3', 2), ('sep_conv_3x3', 0)),
    ],
    [2, 3],
    [
      *(('skip_connect', 1), ('sep_conv_3x3', 0)),
      *(('sep_conv_3x3', 1), ('sep_conv_3x3', 2)),
    ],
    [2, 3],
  )
  with np.load(FIRST / 'logits.npz') as file:
    images, want = file['images'], file['logits']
  np.testing.assert_allclose(network(images), want, rtol=1e-5, atol=1e-5)


def test_a_file_says_its_space(tmp_path):
  model = Network(BENCH, 3, 2, 3, space=NASBENCH201)
  variables = initial(model)
  path = tmp_path / 'network.npz'
  # A file beside it that has its name, as that of a config may, is another.
  (tmp_path / 'nasbench201.py').touch()
  trained.save_network(path, model, variables, IMAGES)
  network = trained.load_network(path)
  assert network.model == model
  assert jax.tree.all(
    jax.tree.map(np.array_equal, dict(network.variables), dict(variables))
  )


@pytest.mark.parametrize(
  ('fields', 'got'),
  [
    ({'image_shape': [8, 8]}, r'images of the shape \(8, 8\)'),
    ({'image_shape': ['a', 'b', 'c']}, 'invalid literal'),
    ({'mean': [0.5, 0.5]}, 'images of the shape'),
    ({'class_names': None}, "TypeError: 'NoneType'"),
  ],
)
def test_descriptions_of_other_images(saved, tmp_path, fields, got):
  with np.load(saved[0] / 'network.npz') as file:
    arrays = dict(file)
  description = json.loads(str(arrays['description'])) | fields
  arrays['description'] = np.array(json.dumps(description))
  np.savez(tmp_path / 'network.npz', **arrays)
  with pytest.raises(UserError, match=f'Expected a trained network.*{got}'):
    trained.load_network(tmp_path)


@pytest.mark.parametrize('at', [0.02, 0.3, 0.9])
def test_a_file_with_damage_inside(saved, tmp_path, at):
  content = bytearray((saved[0] / 'network.npz').read_bytes())
  start = int(at * len(content))
  content[start : start + 64] = bytes(255 - b for b in content[start:][:64])
  (tmp_path / 'network.npz').write_bytes(content)
  with pytest.raises(UserError) as error:
    trained.load_network(tmp_path)
  assert '\n' not in str(error.value)


def test_workdirs_without_a_network_say_why(saved, tmp_path):
  def refused(files, why):
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    for name in files:
      (folder / name).parent.mkdir(parents=True, exist_ok=True)
      (folder / name).write_text('{}')
    with pytest.raises(UserError, match=f'got {folder}[:,] .*{why}'):
      trained.load_network(folder)

  refused(['config.json', 'alphas.jsonl'], 'a search; train what it found')
  refused(['config.json', 'metrics.jsonl'], 'has not ended; the same command')
  refused(['seed1/network.npz', 'seed0/network.npz'], 'seed0, .*seed1')


DOUBLE = Operation(
  'double',
  no_weights,
  lambda params, x, norm, stride, key: 2 * x[:, ::stride, ::stride],
)
OWN = dataclasses.replace(
  DARTS, name='own', operations=(*DARTS.operations, DOUBLE)
)


def test_a_space_of_one_s_own_by_name_or_itself(tmp_path):
  cells = darts_genotype(
    *([('double', 0), ('skip_connect', 1)], [2]),
    *([('double', 0), ('max_pool_3x3', 1)], [2]),
  )
  model = Network(cells, 3, 2, 3, space=OWN)
  variables = initial(model)
  path = tmp_path / 'network.npz'
  trained.save_network(path, model, variables, IMAGES)
  with pytest.raises(UserError, match="'own'; .* pass the space itself to"):
    trained.load_network(path)
  assert trained.load_network(path, space=OWN).model == model
  file = tmp_path / 'spaces_of_mine.py'
  file.write_text(
    'import dataclasses\n'
    'from opp_darts_jax.operations.operation import Operation, no_weights\n'
    'from opp_darts_jax.spaces.darts import DARTS\n'
    'def double(params, x, norm, stride, key):\n'
    '  return 2 * x[:, ::stride, ::stride]\n'
    'DOUBLE = Operation("double", no_weights, double)\n'
    'OPERATIONS = (*DARTS.operations, DOUBLE)\n'
    'OWN = dataclasses.replace(DARTS, name="own", operations=OPERATIONS)\n'
  )
  trained.save_network(path, model, variables, IMAGES, f'{file}:OWN')
  images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
  by_name = trained.load_network(path)(images)
  by_itself = trained.load_network(path, space=OWN)(images)
  np.testing.assert_allclose(by_name, by_itself, rtol=1e-5)


def test_the_file_of_a_space_is_found_above_the_network(tmp_path, monkeypatch):
  """As it is when a project is looked at from elsewhere, or was moved."""
  path = tmp_path / 'project' / 'runs' / 'train' / 'network.npz'
  path.parent.mkdir(parents=True)
  model = Network(GENOTYPES['DARTS_V2'], 3, 2, 3)
  variables = initial(model)
  name = 'my_own_space.py:OWN'
  trained.save_network(path, model, variables, IMAGES, name)
  monkeypatch.chdir(tmp_path)
  with pytest.raises(
    UserError,
    match=r'import my_own_space.py, .*network\(path, space=SPACE\)\.$',
  ):
    trained.load_network(path)
  (tmp_path / 'project' / 'my_own_space.py').write_text(
    'from opp_darts_jax.spaces.darts import DARTS as OWN\n'
  )
  assert trained.load_network(path).model.space is DARTS
