"""Tests of exported networks: ONNX Runtime must give the network's logits."""

import dataclasses
import json
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genotype_cells import BENCH

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.darts_form import darts_genotype
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype
from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.networks.export.onnx import export_onnx
from opp_darts_jax.networks.network import Network, variable_shapes
from opp_darts_jax.networks.trained_network import TrainedNetwork
from opp_darts_jax.operations.catalogue import OPERATIONS
from opp_darts_jax.operations.cpu import native
from opp_darts_jax.operations.operation import Operation, no_weights
from opp_darts_jax.operations.torch_names import TorchNames, TorchWeight
from opp_darts_jax.spaces.darts import DARTS
from opp_darts_jax.spaces.nasbench201 import NASBENCH201

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

# Every operation that can be exported: at stride 1 in the normal cell and at
# stride 2 in the reduction cells.
EXPORTED = [name for name, o in OPERATIONS.items() if o.in_network.onnx]
ALL = tuple((name, i % 2) for i, name in enumerate(EXPORTED))
EVERYTHING = darts_genotype(ALL, (2, 3, 4, 5, 6), ALL, (2, 3, 4, 5, 6))
SMALL = darts_genotype(
  (('sep_conv_3x3', 0), ('skip_connect', 1)),
  (2,),
  (('max_pool_3x3', 0), ('skip_connect', 1)),
  (2,),
)
NOISY = darts_genotype(
  (('sep_conv_3x3', 0), ('skip_connect', 1)),
  (2,),
  (('none', 0), ('noise', 1)),
  (2,),
)


def trained(genotype, image_shape=(8, 8, 3), layers=3, **options):
  """A network whose weights and running averages are all different."""
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    if path[-1].key in ('scale', 'var'):
      return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
    # Deep in the network the images must still matter more than the biases.
    kernel = leaf.ndim > 1
    spread = (2 / math.prod(leaf.shape[:-1])) ** 0.5 if kernel else 0.02
    return (rng.standard_normal(leaf.shape) * spread).astype(np.float32)

  model = Network(genotype, layers, channels=4, classes=5, **options)
  shapes = variable_shapes(model, image_shape)
  channels = slice(image_shape[-1])
  return TrainedNetwork(
    model,
    jax.tree_util.tree_map_with_path(draw, shapes),
    ('cat', 'dog', 'élan', 'owl', 'yak'),
    image_shape,
    (0.5, 0.4, 0.3)[channels],
    (0.2, 0.3, 0.25)[channels],
  )


def assert_same_logits(path, network):
  """Of single images and several, which must differ from each other."""
  onnx.checker.check_model(str(path), full_check=True)
  session = onnxruntime.InferenceSession(path)
  brightest = np.array([64, 128, 256]).reshape(3, 1, 1, 1)
  shape = (3, *network.image_shape)
  images = np.random.default_rng(1).integers(0, brightest, shape, np.uint8)
  want = np.asarray(network(images))
  scale = np.abs(want).max()
  assert np.ptp(want, axis=0).max() > 0.05 * scale
  for some in (slice(None), slice(1, 2)):
    (found,) = session.run(['logits'], {'images': images[some]})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want[some], 1e-4, 1e-4 * scale)


@pytest.mark.parametrize(
  ('imagenet', 'image_shape'), [(False, (9, 7, 1)), (True, (57, 70, 3))]
)
def test_every_operation_at_both_strides(imagenet, image_shape, tmp_path):
  network = trained(EVERYTHING, image_shape, imagenet=imagenet)
  export_onnx(network, tmp_path / 'network.onnx')
  assert_same_logits(tmp_path / 'network.onnx', network)


@pytest.mark.parametrize(
  ('name', 'layers', 'image_shape', 'options'),
  [
    ('NASNet', 3, (8, 12, 3), {}),
    ('AmoebaNet', 3, (64, 40, 3), {'imagenet': True}),
    # Their normal cells, too, follow reduction cells.
    ('DARTS_V1', 5, (8, 11, 3), {}),
    # The maps of its cells are single pixels.
    ('DARTS_V2', 3, (8, 8, 3), {'imagenet': True}),
    ('OPP_DARTS', 3, (33, 64, 3), {'imagenet': True}),
    ('OPP_DARTS_REPOSITORY', 3, (32, 32, 1), {'auxiliary': True}),
  ],
)
def test_published_cells(name, layers, image_shape, options, tmp_path):
  network = trained(GENOTYPES[name], image_shape, layers, **options)
  path = tmp_path / 'network.onnx'
  export_onnx(network, path)
  if name in ('AmoebaNet', 'DARTS_V1', 'DARTS_V2'):
    assert_same_logits(path, network)
  else:  # They have nothing that those and the tests above have not.
    onnx.checker.check_model(str(path), full_check=True)


def test_nodes_of_any_number_of_edges(tmp_path):
  # One, none and three edges; a node alone as output.
  normal = (
    Edge('sep_conv_3x3', 1, 2),
    *(Edge('skip_connect', 0, 4), Edge('avg_pool_3x3', 2, 4)),
    Edge('dil_conv_3x3', 3, 4),
  )
  reduce = Edge('skip_connect', 0, 2), Edge('max_pool_3x3', 1, 2)
  genotype = Genotype(
    (Cell('normal', 2, normal, (3, 4)), Cell('reduce', 2, reduce, (3, 2)))
  )
  network = trained(genotype, layers=4)
  export_onnx(network, tmp_path / 'network.onnx')
  assert_same_logits(tmp_path / 'network.onnx', network)


def test_nas_bench_201(tmp_path):
  # All five operations; one edge twice.
  (bench,) = BENCH.cells
  edges = (*bench.edges, Edge('nor_conv_1x1', 1, 2))
  cell = dataclasses.replace(bench, edges=edges)
  network = trained(Genotype((cell,)), (8, 16, 3), space=NASBENCH201)
  export_onnx(network, tmp_path / 'network.onnx')
  assert_same_logits(tmp_path / 'network.onnx', network)


def test_all_but_noise_are_exported():
  assert set(OPERATIONS) - set(EXPORTED) == {'noise'}


def test_published_cells_are_all_tested():
  (cases,) = (
    mark.args[1]
    for mark in test_published_cells.pytestmark
    if mark.name == 'parametrize'
  )
  assert [name for name, *_ in cases] == list(GENOTYPES)


@pytest.mark.skipif(native.compiler() is None, reason='there is no compiler')
def test_kernels_for_cpu_compute_the_network_but_not_the_export(
  tmp_path, monkeypatch
):
  network = trained(SMALL)
  with monkeypatch.context() as patch:
    for function in ('available', 'supports', 'call'):
      patch.delattr(native, function)
    export_onnx(network, tmp_path / 'network.onnx')
  images = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.uint8)
  program = network._logits.lower(network.variables, images).as_text()
  assert 'separable_float32' in program
  assert_same_logits(tmp_path / 'network.onnx', network)


def test_what_is_in_the_file(tmp_path):
  network = trained(SMALL, (32, 32, 3), auxiliary=True)
  export_onnx(network, tmp_path / 'network.onnx')
  model = onnx.load(tmp_path / 'network.onnx')
  assert {node.domain for node in model.graph.node} == {''}
  operators = [node.op_type for node in model.graph.node]
  # The stem and 3 x 2 inputs, one of which follows a reduction; 1 separable
  # convolution and 2 skip connections of stride 2.
  assert operators.count('Conv') == 1 + 6 + 4 + 2
  assert operators.count('BatchNormalization') == 1 + 6 + 2 + 2
  assert operators.count('MaxPool') == 2
  assert operators.count('Add') == operators.count('Concat') == 3
  # Cell outputs and stem are rectified once, though two cells take them.
  inputs = [n.input[0] for n in model.graph.node if n.op_type == 'Relu']
  assert len(inputs) == len(set(inputs))
  names = [array.name for array in model.graph.initializer]
  assert 'cells.0._ops.0.op.5.weight' in names
  assert not [name for name in names if name.startswith('auxiliary_head')]


def test_a_session_tells_what_it_takes_and_gives(tmp_path):
  export_onnx(trained(SMALL, (9, 7, 1)), str(tmp_path / 'network.onnx'))
  session = onnxruntime.InferenceSession(tmp_path / 'network.onnx')
  (images,), (logits,) = session.get_inputs(), session.get_outputs()
  assert (images.name, images.type) == ('images', 'tensor(uint8)')
  assert images.shape == ['n', 9, 7, 1]
  assert (logits.name, logits.type) == ('logits', 'tensor(float)')
  assert logits.shape == ['n', 5]
  metadata = session.get_modelmeta().custom_metadata_map
  names = ['cat', 'dog', 'élan', 'owl', 'yak']
  assert json.loads(metadata['class_names']) == names


def test_lower_precision_is_exported_as_float32(tmp_path):
  files = []
  for compute in ('', 'bfloat16'):
    export_onnx(trained(SMALL, compute=compute), tmp_path / 'network.onnx')
    files.append((tmp_path / 'network.onnx').read_bytes())
  assert files[0] == files[1]


def test_noise_is_refused(tmp_path):
  with pytest.raises(UserError, match="'noise' cannot be exported to ONNX"):
    export_onnx(trained(NOISY), tmp_path / 'network.onnx')
  assert not list(tmp_path.iterdir())


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'onnx', None)
  sentence = r"needs the package onnx: pip install 'opp_darts_jax\[onnx\]'\.$"
  with pytest.raises(UserError, match=sentence):
    export_onnx(trained(SMALL), tmp_path / 'network.onnx')


def test_a_path_that_cannot_be_written_is_named(tmp_path):
  path = tmp_path / 'absent' / 'network.onnx'
  with pytest.raises(UserError, match=f'to write to, got {path}: No such'):
    export_onnx(trained(SMALL), path)
  with pytest.raises(UserError, match=f'got {tmp_path}: Is a directory'):
    export_onnx(trained(SMALL), tmp_path)
  # Nothing half written stays beside it.
  assert not list(tmp_path.parent.glob(f'.{tmp_path.name}*'))


def test_what_is_unknown_to_onnx_is_refused(tmp_path):
  double = Operation(
    'double', no_weights, lambda params, x, norm, stride, key: 2 * x
  )
  space = dataclasses.replace(DARTS, operations=(*DARTS.operations, double))
  cells = darts_genotype(
    *((('double', 0), ('skip_connect', 1)), (2,)),
    *((('none', 0), ('skip_connect', 1)), (2,)),
  )
  with pytest.raises(UserError, match="'double' cannot be exported to ONNX"):
    export_onnx(trained(cells, space=space), tmp_path / 'network.onnx')
  skeleton = DARTS.skeleton._replace(export=None)
  space = dataclasses.replace(DARTS, name='other', skeleton=skeleton)
  with pytest.raises(UserError, match="'other' cannot be exported to ONNX"):
    export_onnx(trained(SMALL, space=space), tmp_path / 'network.onnx')


def test_other_inputs_there_than_cells_have_are_refused(tmp_path):
  export = DARTS.skeleton.export._replace(
    input_nodes=lambda graph, prefix, part, outputs: [*outputs, outputs[-1]]
  )
  skeleton = DARTS.skeleton._replace(export=export)
  space = dataclasses.replace(DARTS, name='other', skeleton=skeleton)
  with pytest.raises(UserError, match=r'nodes\) of .* 2 inputs, got 3'):
    export_onnx(trained(SMALL, space=space), tmp_path / 'network.onnx')


@pytest.mark.parametrize(
  ('reads', 'sentence'),
  [
    ((), 'no node reads the weight cells.0._ops.0.own; what an operation'),
    (('own', 'other'), 'no cells.0._ops.0.other, which a node reads'),
  ],
)
def test_a_weight_that_no_node_reads_is_never_left_out(
  tmp_path, reads, sentence
):
  def init(key, copies, channels, stride):
    return {'scale': jnp.ones((*copies, channels))}

  def apply(params, x, norm, stride, key):
    return x[:, ::stride, ::stride] * params['scale']

  def nodes(graph, name, x, stride):
    return graph.add(name, 'Sum', x, *(f'{name}.{leaf}' for leaf in reads))

  own = Operation(
    'own',
    init,
    apply,
    torch=lambda stride: TorchNames((TorchWeight('own', 'scale'),)),
    onnx=nodes,
  )
  space = dataclasses.replace(DARTS, operations=(*DARTS.operations, own))
  edges = (('own', 0), ('skip_connect', 1)), (2,)
  network = trained(darts_genotype(*edges, *edges), space=space)
  with pytest.raises(UserError, match=sentence):
    export_onnx(network, tmp_path / 'network.onnx')


def test_a_convolution_without_its_weight_is_named(tmp_path):
  def nodes(graph, name, x, stride):
    return graph.conv(x, f'{name}.op')

  own = Operation(
    'own',
    no_weights,
    lambda params, x, norm, stride, key: x[:, ::stride, ::stride],
    torch=lambda stride: TorchNames(),
    onnx=nodes,
  )
  space = dataclasses.replace(DARTS, operations=(*DARTS.operations, own))
  edges = (('own', 0), ('skip_connect', 1)), (2,)
  network = trained(darts_genotype(*edges, *edges), space=space)
  sentence = "'own' cannot be .*: it reads 'cells.0._ops.0.op.weight' there"
  with pytest.raises(UserError, match=sentence):
    export_onnx(network, tmp_path / 'network.onnx')
