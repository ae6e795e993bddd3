"""Tests of the evaluation network: structure, drop-path, auxiliary head.

Its numbers are tested in golden_test.py.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genotype_cells import BENCH

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes import published
from opp_darts_jax.genotypes.darts_form import darts_genotype
from opp_darts_jax.networks import network
from opp_darts_jax.networks.cell import (
  Draws,
  EdgeOperation,
  NetworkCell,
  drop_path_factors,
)
from opp_darts_jax.networks.network import Network
from opp_darts_jax.networks.stack import equal_parts
from opp_darts_jax.operations.catalogue import OPERATIONS
from opp_darts_jax.spaces import darts_skeleton
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.spaces.darts import DARTS
from opp_darts_jax.spaces.skeleton import Part

AVG = 'avg_pool_3x3'
SKIP = 'skip_connect'
KEYS = {name: jax.random.key(0) for name in ('params', 'noise', 'drop_path')}


def genotype(*normal):
  """One node; the reduction cell has pools only."""
  return darts_genotype(normal, (2,), ((AVG, 0), (AVG, 1)), (2,))


def small(*normal, **options):
  return Network(genotype(*normal), layers=3, channels=2, classes=3, **options)


def images(size=8, batch=4):
  return jax.random.normal(jax.random.key(0), (batch, size, size, 3))


def shapes(model, size=32, **options):
  return jax.eval_shape(
    functools.partial(model.init_with_output, train=True, **options),
    KEYS,
    images(size),
  )


@pytest.mark.parametrize('name', published.GENOTYPES)
def test_published_genotypes_build(name):
  cells = published.GENOTYPES[name]
  model = Network(cells, layers=4, channels=4, classes=7, auxiliary=True)
  (logits, auxiliary), variables = shapes(model, drop_path=0.2)
  assert logits.shape == auxiliary.shape == (4, 7)
  # Two reduction cells have doubled the channels twice.
  width = 16 * len(cells['normal'].output)
  kernel = variables['params']['classifier']['linear']['kernel']
  assert kernel.shape == (width, 7)


@pytest.mark.parametrize('name', ['NASNet', 'AmoebaNet'])
def test_cells_concatenate_their_concat(name):
  cells = published.GENOTYPES[name]
  x = jnp.zeros((2, 9, 9, 12))
  for kind, size in (('normal', 9), ('reduce', 5)):
    part = Part('cell0', kind, 8, reduction=kind == 'reduce')
    cell = NetworkCell(cells[kind], part, DARTS)
    init = functools.partial(cell.init_with_output, train=False)
    y, _ = jax.eval_shape(init, jax.random.key(0), (x, x))
    assert y.shape == (2, size, size, 8 * len(cells[kind].output))


def test_same_operation_twice_has_weights_of_its_own():
  _, variables = shapes(small(('sep_conv_3x3', 0), ('sep_conv_3x3', 0)))
  edges = variables['params']['cell0']
  assert edges['edge0']['weights']['depthwise'].shape == (2, 3, 3, 2)
  assert edges['edge1']['weights']['depthwise'].shape == (2, 3, 3, 2)
  assert edges['edge0']['norm1']['scale'].shape == (2,)


def test_init_does_not_depend_on_training():
  model = small((AVG, 0), (SKIP, 1), auxiliary=True)
  _, variables = shapes(model)
  # That is without training.
  assert variables == network.variable_shapes(model, (32, 32, 3))
  assert 'auxiliary_head' in variables['params']


def test_drop_path_factors():
  draw = functools.partial(drop_path_factors, jax.random.key(1))
  np.testing.assert_array_equal(draw(0.0, (50,)), np.ones(50))
  factors = np.asarray(draw(0.3, (100_000,)))
  np.testing.assert_allclose(np.unique(factors), [0, 1 / 0.7], rtol=1e-6)
  # Five standard deviations of the mean: sqrt(0.3 / 0.7 / 100000) each.
  assert abs(factors.mean() - 1) < 0.011
  np.testing.assert_array_equal(factors, draw(0.3, (100_000,)))


def test_drop_path_spares_identities_alone():
  x = images()[..., :2]
  drop = Draws(jnp.zeros(len(x)))

  def dropped(operation, stride):
    module = EdgeOperation(OPERATIONS[operation].in_network, 2, stride)
    run = jax.jit(functools.partial(module.init_with_output, train=True))
    return not np.any(run(jax.random.key(0), x, draws=drop)[0])

  skip = EdgeOperation(OPERATIONS[SKIP], 2, 1)
  np.testing.assert_array_equal(
    skip.apply({'params': {'weights': {}}}, x, True, drop), x
  )
  assert dropped(SKIP, stride=2)
  assert dropped(AVG, stride=1)


def test_drop_path_in_a_network():
  model = small((AVG, 0), (SKIP, 1))
  variables, x = fixed(model, images())

  @jax.jit
  def logits(rate, seed):
    (y, _), _ = model.apply(
      variables,
      x,
      train=True,
      drop_path=rate,
      rngs={'drop_path': jax.random.key(seed)},
      mutable=['batch_stats'],
    )
    return y

  # As a number, 0 draws nothing and asks for no stream.
  plain_apply = functools.partial(
    model.apply, train=True, mutable=['batch_stats']
  )
  (plain, _), _ = jax.jit(plain_apply)(variables, x)
  np.testing.assert_allclose(logits(0.0, 0), plain, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(logits(0.5, 0), logits(0.5, 0))
  assert np.abs(logits(0.5, 0) - logits(0.5, 1)).max() > 1e-3
  # Nor is anything dropped in evaluation.
  evaluate = functools.partial(model.apply, train=False, drop_path=0.5)
  jax.eval_shape(evaluate, variables, x)


def test_auxiliary_logits_are_for_training():
  with_head = small((AVG, 0), (SKIP, 1), auxiliary=True)
  without = small((AVG, 0), (SKIP, 1))
  for model, train, expected in (
    (with_head, True, (4, 3)),
    (with_head, False, None),
    (without, True, None),
  ):
    _, variables = shapes(model)
    apply = functools.partial(model.apply, train=train, mutable=['batch_stats'])
    (_, auxiliary), _ = jax.eval_shape(apply, variables, images(32))
    assert (auxiliary and auxiliary.shape) == expected
  # Nothing but the head is added.
  whole, without = (
    shapes(model)[1]['params'] for model in (with_head, without)
  )
  assert without == {k: v for k, v in whole.items() if k != 'auxiliary_head'}


@pytest.mark.parametrize('size', [29, 32, 64])
def test_auxiliary_head_takes_larger_images(size):
  (_, auxiliary), variables = shapes(
    small((AVG, 0), (SKIP, 1), auxiliary=True), size
  )
  assert auxiliary.shape == (4, 3)
  head = variables['params']['auxiliary_head']
  assert head['conv1']['kernel'].shape == (2, 2, 128, 768)
  assert network.count_weights({'params': head}) == sum(
    (8 * 128 + 2 * 128, 4 * 128 * 768 + 2 * 768, 768 * 3 + 3)
  )


def test_auxiliary_head_refuses_smaller_images():
  model = small((AVG, 0), (SKIP, 1), auxiliary=True)
  with pytest.raises(UserError, match=r'8 x 8 .* got 7 x 7; set auxiliary=F'):
    shapes(model, size=28)
  shapes(small((AVG, 0), (SKIP, 1)), size=8)


def test_noise_and_none():
  cells = genotype(('noise', 0), ('none', 1))
  cell = NetworkCell(cells['normal'], Part('cell0', 'normal', 2), DARTS)
  x = images()[..., :2]

  @jax.jit
  def output(seed):
    draws = Draws(key=jax.random.split(jax.random.key(seed), 2))
    # Its own weights are those of the inputs, the same for every seed.
    init = functools.partial(cell.init_with_output, train=False, draws=draws)
    return init(jax.random.key(0), (x, x))[0]

  np.testing.assert_array_equal(output(0), output(0))
  assert np.abs(output(0) - output(1)).max() > 0.1
  none = EdgeOperation(OPERATIONS['none'], 2, 2)
  assert not np.any(none.apply({'params': {'weights': {}}}, x, False))


def test_noise_is_another_in_every_cell():
  model = small(('noise', 0), ('none', 1))
  draws = model.apply(
    {}, 4, False, 0.0, method='_draws', rngs={'noise': jax.random.key(0)}
  )
  assert draws.factors is None
  keys = jax.random.key_data(draws.key).reshape(3 * 2, -1)
  assert len(np.unique(keys, axis=0)) == 6


def groups(layers, inputs, outputs, imagenet=False, channels=5):
  """The numbers of the cells of each group, for inputs of these channels."""
  plan = darts_skeleton.DARTS.plan(layers, channels, imagenet)
  sizes = (64, 32) if imagenet else (32, 32)
  shapes = tuple((size, size, c) for size, c in zip(sizes, inputs))
  kinds = dict(zip(('normal', 'reduce'), outputs))
  found = equal_parts(plan, shapes, kinds)
  return [[int(part.name[4:]) for part in group] for group in found]


def test_equal_cells():
  found = groups(20, (108, 108), (4, 4), channels=36)
  assert [group for group in found if len(group) > 1] == [
    [2, 3, 4, 5],
    [8, 9, 10, 11, 12],
    [15, 16, 17, 18, 19],
  ]
  assert sum(found, []) == list(range(20))
  # The first two get as many channels from the stem as they give; the last has
  # one input from a reduction cell, which gives fewer.
  assert groups(5, (15, 15), (3, 2)) == [[0], [1], [2], [3], [4]]
  assert groups(6, (15, 15), (3, 2)) == [[0, 1], [2], [3], [4], [5]]
  # Of large images, the first cell's inputs differ in resolution.
  assert groups(8, (5, 5), (1, 1)) == [[0, 1], [2], [3], [4], [5], [6], [7]]
  large = groups(8, (6, 6), (1, 1), imagenet=True, channels=6)
  assert large[:2] == [[0], [1]]


# Operations of every kind, and cells that concatenate different numbers of
# nodes.
MIXED = darts_genotype(
  (
    *(('dil_conv_3x3', 0), ('noise', 1)),
    *((SKIP, 0), ('max_pool_3x3', 1)),
    *((AVG, 2), (SKIP, 3)),
  ),
  (2, 3, 4),
  (
    *((SKIP, 0), (AVG, 1)),
    *(('none', 0), ('noise', 2)),
    *(('max_pool_3x3', 1), (SKIP, 3)),
  ),
  (3, 4),
)


NOISE_KEYS = {name: jax.random.key(7) for name in ('drop_path', 'noise')}


def in_training(model, variables, x):
  """Logits, and what has changed."""
  (logits, _), changed = model.apply(
    variables,
    x,
    train=True,
    drop_path=0.3,
    mutable=['batch_stats'],
    rngs=NOISE_KEYS,
  )
  return logits, changed


def results(model):
  """Logits, 'batch_stats' and gradients in training; logits in evaluation."""
  variables, x = fixed(model, images(batch=3))

  def loss(params):
    logits, changed = in_training(model, {**variables, 'params': params}, x)
    # Of each image another, or norms would cancel most of the gradient.
    pull = jnp.cos(jnp.arange(logits.size)).reshape(logits.shape)
    return (pull * logits).sum(), (logits, changed)

  @jax.jit
  def compute(params):
    evaluated, _ = model.apply(variables, x, train=False, rngs=NOISE_KEYS)
    return evaluated, jax.grad(loss, has_aux=True)(params)

  return compute(variables['params'])


def of_cells(normal, reduce=0):
  """The space of DARTS with a skeleton of so many cells of both kinds."""

  def plan(layers, channels, imagenet):
    del layers, imagenet
    kinds = ['normal'] * normal + ['reduce'] * reduce
    return tuple(
      Part(f'cell{i}', kind, channels, reduction=kind == 'reduce')
      for i, kind in enumerate(kinds)
    )

  skeleton = DARTS.skeleton._replace(plan=plan)
  return dataclasses.replace(DARTS, skeleton=skeleton)


def test_stack_and_remat_change_no_number():
  model = Network(MIXED, 3, 2, 3, space=of_cells(2, 1))
  outputs = {kind: len(MIXED[kind].output) for kind in ('normal', 'reduce')}
  found = equal_parts(model.plan, ((8, 8, 6), (8, 8, 6)), outputs)
  assert [len(group) for group in found] == [2, 1]
  want = results(model.clone(stack=False))
  # The stack by itself is in spaces_test.py.
  assert_same(results(model.clone(remat=True)), want)


def test_the_auxiliary_head_is_after_its_cell_among_equal_ones():
  # The third of four: one after the other they look at another.
  cells = genotype((AVG, 0), (SKIP, 1))
  model = Network(cells, 4, 2, 3, auxiliary=True, space=of_cells(4))
  variables, x = fixed(model, images())

  def auxiliary(model):
    (_, logits), _ = model.apply(variables, x, True, mutable=['batch_stats'])
    return logits

  want = auxiliary(model.clone(stack=False))
  np.testing.assert_allclose(auxiliary(model), want, rtol=1e-3, atol=1e-4)


def assert_same(got, want):
  assert jax.tree.structure(got) == jax.tree.structure(want)
  for (path, a), b in zip(
    jax.tree.leaves_with_path(got), jax.tree.leaves(want)
  ):
    largest = 1e-4 * np.abs(b).max()
    np.testing.assert_allclose(a, b, 1e-3, largest, err_msg=str(path))


def test_draws_are_those_of_the_first_networks():
  """A training that the first house began goes on to the bit in this one."""
  model = Network(MIXED, 6, 2, 3)
  variables, x = fixed(model, images(batch=3))
  logits, _ = jax.jit(functools.partial(in_training, model))(variables, x)
  np.testing.assert_allclose(
    logits,
    [
      [43.761364, 42.089424, 42.672447],
      [10.517403, 9.308051, 11.019565],
      [50.44496, 47.283554, 47.880165],
    ],
    rtol=1e-5,
  )


def fixed(model, x):
  """Weights and averages that differ from cell to cell, and the images."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(functools.partial(model.init, train=True), KEYS, x)
  return jax.tree.map(
    lambda leaf: jax.device_put(
      rng.uniform(0.5, 1, leaf.shape).astype(leaf.dtype)
    ),
    shapes,
  ), x


def test_stack_shortens_the_program_and_remat_repeats_cells():
  # The first two take other numbers of channels.
  model = Network(genotype((SKIP, 0), (AVG, 1)), 9, 2, 3, space=of_cells(9))
  x = images(8)
  variables = jax.eval_shape(functools.partial(model.init, train=True), KEYS, x)

  def lines(model):
    def loss(params, variables):
      variables = {**variables, 'params': params}
      return model.apply(variables, x, False)[0].sum()

    lowered = jax.jit(jax.grad(loss)).lower(variables['params'], variables)
    return lowered.as_text().count('\n')

  stacked = lines(model)
  assert stacked < 0.85 * lines(model.clone(stack=False))
  assert stacked < lines(model.clone(remat=True))


@pytest.mark.parametrize(
  ('space', 'layers', 'channels', 'size', 'options', 'sentence'),
  [
    ('darts', 1, 1, 1, {}, ''),
    ('darts', 2, 1, 3, {}, ''),
    ('darts', 3, 2, 1, {'imagenet': True}, ''),
    ('darts', 14, 15, 32, {'imagenet': True}, 'even number of .*, got 15'),
    ('darts', 1, 1, 32, {'imagenet': True}, 'even number of .*, got 1'),
    ('darts', 3, 2, 9, {'auxiliary': True}, 'head .* at least 8 x 8 .* 3 x 3'),
    ('nasbench201', 1, 1, 4, {}, ''),
    ('nasbench201', 3, 2, 1, {}, 'multiples of 4 .*, got 1 x 1 pixels to'),
    ('nasbench201', 3, 2, 5, {}, 'multiples of 4 .*, got 5 x 5 pixels to'),
    ('nasbench201', 3, 2, 6, {}, 'multiples of 4 .*, got 3 x 3 pixels to'),
  ],
)
def test_odd_numbers_give_a_network_or_a_sentence(
  space, layers, channels, size, options, sentence
):
  cells = BENCH if space == 'nasbench201' else published.GENOTYPES['DARTS_V1']
  images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)

  def shapes():
    model = Network(cells, layers, channels, 5, space=SPACES[space], **options)
    init = functools.partial(model.init_with_output, train=True)
    return jax.eval_shape(init, jax.random.key(0), images)

  if sentence:
    with pytest.raises(UserError, match=sentence):
      shapes()
  else:
    (logits, _), _ = shapes()
    assert logits.shape == (2, 5)
