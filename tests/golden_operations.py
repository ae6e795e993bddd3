"""The published operations, one by one, and their gradients."""

import functools

import jax
import numpy as np
from golden_files import GRADIENT, OUTPUT, arrays, files, group, nhwc

from opp_darts_jax.networks.cell import EdgeOperation
from opp_darts_jax.networks.export import torch_weights
from opp_darts_jax.operations import entries
from opp_darts_jax.operations.catalogue import OPERATIONS


@functools.cache
def operation_program(name, channels, stride):
  record = OPERATIONS[name].in_network
  operation = EdgeOperation(record, channels, stride)

  def gradients(variables, x, r):
    def product(params, x):
      y, _ = operation.apply(
        {**variables, 'params': params}, x, train=True, mutable='batch_stats'
      )
      return (y * r).sum(), y

    return jax.value_and_grad(product, (0, 1), has_aux=True)(
      variables['params'], x
    )

  return operation, jax.jit(gradients)


@files('primitives_*.npz')
def test_primitives(path, close):
  data = arrays(path)
  cases = sorted({tuple(name.split('/')[:3]) for name in data})
  assert cases
  for name, stride, norms in cases:
    case = group(data, f'{name}/{stride}/{norms}/')
    x, r = nhwc(case['x']), nhwc(case['r'])
    operation, program = operation_program(name, x.shape[-1], int(stride[1:]))
    shapes = jax.eval_shape(
      functools.partial(operation.init, train=True), jax.random.key(0), x
    )
    shapes = {'params': {}, 'batch_stats': {}} | shapes
    record, stride = operation.operation, operation.stride
    own = list(entries.operation_entries(record, stride))
    params = group(case, 'param/')
    if norms == 'plain':  # Scale 1 and bias 0 are as good as none.
      for i, entry in enumerate(own):
        if entry.path[0] == 'params' and entry.path[-1] in ('scale', 'bias'):
          value = float(entry.path[-1] == 'scale')
          params[entry.name] = np.full(x.shape[-1], value, np.float32)
    variables, faults = torch_weights.load(own, shapes, params)
    assert not faults
    (_, y), (grads, grad_x) = program(variables, x, r)
    close('output', y, nhwc(case['y']), OUTPUT)
    close('input gradient', grad_x, nhwc(case['grad_x']), GRADIENT)
    grads = torch_weights.dump(own, {'params': grads})
    for param, grad in group(case, 'grad/').items():
      close('weight gradient', grads[param], grad, GRADIENT)
