"""Tests of the depthwise convolution, against plain loops in float64."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.operations import depthwise
from opp_darts_jax.operations.depthwise import depthwise_conv
from opp_darts_jax.operations.target import Target, traced_for

STRIDES_AND_DILATIONS = tuple(itertools.product((1, 2), (1, 2)))
close = functools.partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-5)


def reference(x, kernel, g, stride, dilation):
  """The output, and the gradients of its product with g."""
  x, kernel, g = (np.asarray(a, np.float64) for a in (x, kernel, g))
  border = dilation * (len(kernel) - 1) // 2
  y, x_grad, kernel_grad = (np.zeros_like(a) for a in (g, x, kernel))
  for row, column in np.ndindex(y.shape[1:3]):
    for i, j in np.ndindex(kernel.shape[:2]):
      at = row * stride + i * dilation - border
      across = column * stride + j * dilation - border
      if 0 <= at < x.shape[1] and 0 <= across < x.shape[2]:
        y[:, row, column] += x[:, at, across] * kernel[i, j]
        x_grad[:, at, across] += g[:, row, column] * kernel[i, j]
        kernel_grad[i, j] += (g[:, row, column] * x[:, at, across]).sum(0)
  return y, x_grad, kernel_grad


def arrays(shape, size, stride, dilation, copies=(), batch=2):
  """An input, a kernel and a cotangent; PyTorch's formula gives its size."""
  border = dilation * (size - 1) // 2
  out = [
    (n + 2 * border - dilation * (size - 1) - 1) // stride + 1 for n in shape
  ]
  rng = np.random.default_rng(0)
  shapes = (batch, *shape, 3), (size, size, 3), (batch, *out, 3)
  return [np.float32(rng.standard_normal((*copies, *s))) for s in shapes]


@functools.partial(jax.jit, static_argnums=(3, 4))
def conv_and_gradients(x, kernel, g, stride, dilation):
  conv = functools.partial(depthwise_conv, stride=stride, dilation=dilation)
  y, vjp = jax.vjp(conv, x, kernel)
  return y, *vjp(g)


@pytest.mark.parametrize(
  ('size', 'stride', 'dilation'),
  [(size, *both) for size in (3, 5) for both in STRIDES_AND_DILATIONS]
  + [(7, 1, 1), (7, 2, 2)],
)
def test_forward_and_gradients_are_those_of_the_loops(size, stride, dilation):
  x, kernel, g = arrays((7, 8), size, stride, dilation)
  got = conv_and_gradients(x, kernel, g, stride, dilation)
  close(got, reference(x, kernel, g, stride, dilation))


@pytest.mark.parametrize('shape', [(1, 1), (2, 3), (6, 5)])
def test_images_smaller_than_the_kernel(shape):
  x, kernel, g = arrays(shape, 3, 2, 2)
  close(conv_and_gradients(x, kernel, g, 2, 2), reference(x, kernel, g, 2, 2))


def test_outside_of_jit():
  x, kernel, g = jax.device_put(arrays((4, 5), 3, 1, 1))
  close(depthwise_conv(x, kernel), reference(x, kernel, g, 1, 1)[0])


def test_type_of_the_result():
  x, kernel, _ = arrays((5, 5), 3, 2, 1)
  conv = functools.partial(depthwise_conv, stride=2)
  for dtype in (jnp.float32, jnp.bfloat16):
    y = jax.eval_shape(conv, x.astype(dtype), kernel.astype(dtype))
    assert (y.shape, y.dtype) == ((2, 3, 3, 3), dtype)


def test_jvp_is_the_product_rule():
  stride, dilation = 2, 1
  x, kernel, g = arrays((5, 6), 3, stride, dilation)
  x_dot, kernel_dot = x[::-1] + 1, kernel[::-1] - 1
  conv = functools.partial(depthwise_conv, stride=stride, dilation=dilation)
  y, y_dot = jax.jit(functools.partial(jax.jvp, conv))(
    (x, kernel), (x_dot, kernel_dot)
  )
  value, *_ = reference(x, kernel, g, stride, dilation)
  by_x, *_ = reference(x_dot, kernel, g, stride, dilation)
  by_kernel, *_ = reference(x, kernel_dot, g, stride, dilation)
  close((y, y_dot), (value, by_x + by_kernel))


@pytest.mark.parametrize(('stride', 'dilation'), STRIDES_AND_DILATIONS)
def test_derivatives_of_gradients_are_those_of_the_library(stride, dilation):
  x, kernel, _ = arrays((4, 5), 3, stride, dilation)
  along = (np.cos(3 * x), np.sin(3 * kernel))

  @functools.partial(jax.jit, static_argnums=0)
  def products(conv):
    def gradient(*args):
      def loss(*args):
        y = conv(*args, stride=stride, dilation=dilation)
        return (jnp.sin(y) * y).sum()

      return jax.grad(loss, (0, 1))(*args)

    forward = jax.jvp(gradient, (x, kernel), along)[1]
    return forward, jax.vjp(gradient, x, kernel)[1](along)

  forward, backward = products(depthwise_conv)
  assert min(np.abs(part).max() for part in jax.device_get(forward)) > 1
  chex.assert_trees_all_close(
    (forward, backward), products(depthwise._library_conv), rtol=1e-4, atol=1e-4
  )
  # A Hessian is symmetric.
  chex.assert_trees_all_close(forward, backward, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
  ('axes', 'out_axis'),
  [
    ((0, None, None), 0),
    ((None, 0, None), 0),
    ((None, None, 0), 1),
    ((0, 0, 0), 0),
    ((4, 2, 1), 3),
  ],
)
def test_vmap_is_a_loop(axes, out_axis):
  copies, (stride, dilation) = 3, (2, 1)
  stacks = arrays((5, 4), 3, stride, dilation, copies=(copies,))
  args = [
    stack[0] if axis is None else np.moveaxis(stack, 0, axis)
    for stack, axis in zip(stacks, axes)
  ]
  mapped = jax.vmap(
    lambda *args: conv_and_gradients(*args, stride, dilation),
    axes,
    out_axis,
  )
  expected = [
    reference(
      *(s[0 if axis is None else i] for s, axis in zip(stacks, axes)),
      stride,
      dilation,
    )
    for i in range(copies)
  ]
  close(
    tuple(mapped(*args)),
    tuple(np.stack(parts, out_axis) for parts in zip(*expected)),
  )


def test_inside_a_scan():
  xs, kernels, gs = arrays((4, 4), 3, 1, 1, copies=(3,))
  x, g = xs[0], gs[0]

  @jax.jit
  def scanned(x, kernels):
    return jax.lax.scan(
      lambda x, kernel: (depthwise_conv(x, kernel), None), x, kernels
    )[0]

  y, vjp = jax.vjp(scanned, x, kernels)
  got = (y, *vjp(g))
  inputs = [x]
  for kernel in kernels:
    inputs.append(reference(inputs[-1], kernel, g, 1, 1)[0])
  grads = []
  for before, kernel in zip(inputs[-2::-1], kernels[::-1]):
    _, g, grad = reference(before, kernel, g, 1, 1)
    grads.insert(0, grad)
  want = (inputs[-1], g, np.stack(grads))
  chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
  ('size', 'stride', 'dilation', 'shape', 'channels'),
  [(3, *both, (6, 7), 3) for both in STRIDES_AND_DILATIONS]
  # Sizes that have code of their own, and one that has not.
  + [(5, 1, 2, (9, 17), 11), (7, 2, 1, (5, 4), 8), (9, 3, 1, (10, 11), 9)],
)
def test_all_implementations_agree(size, stride, dilation, shape, channels):
  rng = np.random.default_rng(1)
  x = jax.device_put(np.float32(rng.standard_normal((3, *shape, channels))))
  kernel = jax.device_put(
    np.float32(rng.standard_normal((size, size, channels)))
  )
  params = {'stride': stride, 'dilation': dilation}
  out = jax.eval_shape(functools.partial(depthwise_conv, **params), x, kernel)
  g = jax.device_put(np.float32(rng.standard_normal(out.shape)))
  for functions, args in (
    (depthwise.CONVS, (x, kernel)),
    (depthwise.KERNEL_GRADS, (x, g)),
  ):
    sizes = {'size': size} if args[1] is g else {}
    results = {
      name: jax.jit(functools.partial(function, **params, **sizes))(*args)
      for name, function in functions.items()
    }
    for name, result in results.items():
      np.testing.assert_allclose(
        result, results['library'], rtol=1e-4, atol=1e-4, err_msg=name
      )


def test_kernels_in_float64_and_on_several_threads():
  rng = np.random.default_rng(2)
  with jax.enable_x64(True):
    x = jax.device_put(rng.standard_normal((6, 30, 31, 5)))
    kernel = jax.device_put(rng.standard_normal((5, 5, 5)))
    params = {'stride': 1, 'dilation': 2}
    grad = functools.partial(depthwise._native_kernel_grad, size=5, **params)
    got = depthwise._native_conv(x, kernel, **params), jax.jit(grad)(x, x)
    plain = (
      functools.partial(depthwise._shifted_conv, **params),
      functools.partial(depthwise._scanned_kernel_grad, size=5, **params),
    )
    want = tuple(jax.jit(f)(x, b) for f, b in zip(plain, (kernel, x)))
  assert got[0].dtype == jnp.float64
  chex.assert_trees_all_close(got, want, rtol=1e-12, atol=1e-11)


@functools.partial(jax.jit, static_argnums=2)
def summed_gradients(x, kernel, implementation=None):
  def total(x, kernel):
    return depthwise_conv(x, kernel, implementation=implementation).sum()

  return jax.grad(total, (0, 1))(x, kernel)


def test_what_is_traced_for_another_platform_is_compiled_anew():
  x, kernel, _ = arrays((4, 5), 3, 1, 1)

  def text(target, platform):
    with traced_for(target):
      traced = summed_gradients.trace(x, kernel)
    return traced.lower(lowering_platforms=(platform,)).as_text()

  here, there = (text(Target(name), 'cpu') for name in ('cpu', 'tpu'))
  assert 'convolution' not in here
  assert there.count('stablehlo.convolution') == 2
  # What has been traced for a CPU is not called elsewhere.
  assert 'custom_call' not in text(Target('cpu'), 'tpu')
  # Several CPUs have no kernels.
  assert 'custom_call' not in text(Target('cpu', devices=2), 'cpu')


def test_an_implementation_may_be_asked_for():
  x, kernel, _ = arrays((4, 5), 3, 1, 1)
  library = depthwise.Implementation('library', 'library')
  text = summed_gradients.lower(x, kernel, library).as_text()
  assert text.count('stablehlo.convolution') == 2
  close(
    summed_gradients(x, kernel, library),
    summed_gradients(x, kernel, depthwise.WITHOUT_KERNELS),
  )
