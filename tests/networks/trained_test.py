"""Tests of the network that training leaves: saved, loaded, called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.data import augment
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.split import Split
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.networks import trained
from opp_darts_jax.networks.network import Network


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A workdir with a network of random weights, and that network."""
  workdir = tmp_path_factory.mktemp('train')
  split = Split(np.zeros((2, 8, 8, 1), np.uint8), np.zeros(2, np.int32))
  images = ImageData(
    'few', split, split, ('zero', 'one', 'two'), (0.4,), (0.3,)
  )
  model = Network(GENOTYPES['DARTS_V2'], 3, 2, 3)
  variables = jax.jit(
    lambda key: model.init(key, jnp.zeros((1, 8, 8, 1)), True)
  )(jax.random.key(3))
  trained.save_network(workdir / 'network.npz', model, variables, images)
  return workdir, model, variables


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


@pytest.mark.parametrize(
  ('images', 'got'),
  [
    (np.zeros((2, 8, 8, 1), np.float32), r'float32 \(2, 8, 8, 1\)'),
    (np.zeros((2, 9, 8, 1), np.uint8), r'uint8 \(2, 9, 8, 1\)'),
    (np.zeros((8, 8, 1), np.uint8), r'uint8 \(8, 8, 1\)'),
  ],
)
def test_other_images_are_refused(saved, images, got):
  network = trained.load_network(saved[0] / 'network.npz')
  with pytest.raises(UserError, match=rf'uint8 images \(n, 8, 8, 1\).*{got}'):
    network(images)


def test_what_holds_no_network_is_refused(saved, tmp_path):
  whole = (saved[0] / 'network.npz').read_bytes()
  with pytest.raises(UserError, match='FileNotFoundError'):
    trained.load_network(tmp_path)
  for content in (b'', b'text', whole[:-100], whole[: len(whole) // 2]):
    (tmp_path / 'network.npz').write_bytes(content)
    with pytest.raises(UserError, match='Expected a trained network'):
      trained.load_network(tmp_path)
  np.savez(tmp_path / 'network.npz', images=np.zeros(3))
  with pytest.raises(UserError, match='KeyError'):
    trained.load_network(tmp_path)


def test_arrays_that_do_not_fit_are_named(saved, tmp_path):
  with np.load(saved[0] / 'network.npz') as file:
    arrays = dict(file)
  del arrays['params/stem/kernel']
  arrays['params/classifier/linear/bias'] = np.zeros(4)
  np.savez(tmp_path / 'network.npz', **arrays)
  sentence = r'params/classifier/linear/bias should be \(3,\) and is \(4,\) \(2'
  with pytest.raises(UserError, match=sentence):
    trained.load_network(tmp_path)
