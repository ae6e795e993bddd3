"""How kernels are written here: in Pallas, for GPUs by way of Triton.

On a CPU they are interpreted: slow, and for tests alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from opp_darts_jax.operations.target import current

# Triton multiplies matrices of at least so many rows and columns.
_LEAST_PRODUCT = 16
# Pixels of a program, as many as keep programs enough for a large GPU.
_PIXELS = (128, 64, 32, 16)
_ENOUGH_TILES = 256
# Programs that keep a large GPU busy, several on each of its processors.
_ENOUGH_PROGRAMS = 2048


def call(
  kernel: Callable[..., None],
  grid: tuple[int, ...],
  shapes: Any,
  *args: Any,
) -> Any:
  """Runs a kernel: each place of the grid is a program of its own.

  Args:
    kernel: of references to the arguments and, after them, to the results.
    grid: how many programs there are.
    shapes: of the results, a pytree of `jax.ShapeDtypeStruct`.
    *args: pytrees of arrays, whose references the kernel gets likewise.
  """
  options: dict[str, Any] = {}
  if current().platform == 'cpu':
    options['interpret'] = True
  else:
    options['compiler_params'] = triton.CompilerParams(num_warps=4)
  leaves, tree = jax.tree.flatten(args)
  out_leaves, out_tree = jax.tree.flatten(shapes)

  def on_leaves(*refs: Any) -> None:
    given = jax.tree.unflatten(tree, refs[: len(leaves)])
    kernel(*given, jax.tree.unflatten(out_tree, refs[len(leaves) :]))

  run = pl.pallas_call(
    on_leaves,
    grid=grid,
    out_shape=out_leaves,
    name=name_of(kernel),
    **options,
  )
  return jax.tree.unflatten(out_tree, run(*leaves))


def name_of(kernel: Callable[..., None]) -> str:
  """What profiles call a kernel: the function that it is written in."""
  return kernel.__qualname__.split('.')[0]


def padded(size: int) -> int:
  """The least that is a power of two and can be multiplied."""
  return max(_LEAST_PRODUCT, 1 << (size - 1).bit_length())


def load(ref: Any, index: tuple[Any, ...], mask: Any) -> jax.Array:
  """What is there; 0 where the mask is False."""
  shape = jnp.broadcast_shapes(*map(jnp.shape, index))
  at = ref.at[index]
  return triton.load(at, mask=jnp.broadcast_to(mask, shape), other=0)


def store(
  ref: Any, index: tuple[Any, ...], value: jax.Array, mask: Any
) -> None:
  """Writes what is not masked."""
  mask = jnp.broadcast_to(mask, value.shape)
  triton.store(ref.at[index], value.astype(ref.dtype), mask=mask)


def dot(x: jax.Array, y: jax.Array, precision: str | None) -> jax.Array:
  """The product of matrices; float32 or more, whatever they are."""
  wide = jnp.promote_types(x.dtype, jnp.float32)
  return jnp.dot(x, y, precision=precision, preferred_element_type=wide)


def loop(count: Any, body: Callable[[Any, Any], Any], first: Any) -> Any:
  """`lax.fori_loop` from 0 on; a number of turns may be a condition."""
  if hasattr(count, 'dtype') and count.dtype == jnp.bool:
    count = count.astype(jnp.int32)
  return lax.fori_loop(0, count, body, first)


def divide(x: jax.Array, by: int) -> tuple[jax.Array, jax.Array]:
  """Quotient and remainder of integers that are not negative."""
  if by == 1:  # Triton's dialect fails on it.
    return x, jnp.zeros_like(x)
  divisor = jnp.full_like(x, by)
  return lax.div(x, divisor), lax.rem(x, divisor)


def parts_of(tiles: int, count: int) -> tuple[int, int]:
  """How sums over the tiles of `count` rows are divided among programs.

  A program goes through its tiles one by one, and waits for each: with too few
  programs that is all the time there is.

  Returns:
    Parts of each row's sum, and the tiles of each of them.
  """
  each = max(1, tiles * count // _ENOUGH_PROGRAMS)
  return -(-tiles // each), each


class Grid:
  """Pixels of images (B, H, W), counted from 0 through all of them.

  Attributes:
    shape: (B, H, W).
    total: pixels of all images.
    pixels: of a tile, which a program takes at once.
    tiles: of all images.
  """

  def __init__(self, shape: Sequence[int]) -> None:
    self.shape = tuple(shape)
    batch, height, width = shape
    self.total = batch * height * width
    self.pixels = next(
      (p for p in _PIXELS if self.total // p >= _ENOUGH_TILES), _PIXELS[-1]
    )
    self.tiles = -(-self.total // self.pixels)

  def tile(self, number: Any) -> tuple[jax.Array, jax.Array]:
    """The pixels of a tile, and which of them exist."""
    at = number * self.pixels + jnp.arange(self.pixels)
    return at, at < self.total

  def split(self, pixel: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Image, row and column of pixels."""
    line, column = divide(pixel, self.shape[2])
    image, row = divide(line, self.shape[1])
    return image, row, column

  def join(
    self, image: Any, row: Any, column: Any
  ) -> tuple[jax.Array, jax.Array]:
    """The pixels at places, and whether these are inside of an image."""
    _, height, width = self.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return (image * height + row) * width + column, inside

  def rows(self, count: int, channels: int, dtype: Any) -> jax.ShapeDtypeStruct:
    """Of all pixels, as a kernel writes them: (count, pixels, C)."""
    return jax.ShapeDtypeStruct((count, self.total, channels), dtype)

  def images(self, rows: jax.Array) -> jax.Array:
    """(n, pixels, C) -> (n, B, H, W, C)."""
    return rows.reshape(len(rows), *self.shape, rows.shape[-1])


def channel_block(channels: int) -> tuple[jax.Array, jax.Array]:
  """The channels of a block, whose size is a power of two; which exist."""
  block = jnp.arange(padded(channels))
  return block, block < channels


def flat(x: jax.Array) -> jax.Array:
  """(n, B, H, W, C) -> (n, pixels, C)."""
  return x.reshape(len(x), -1, x.shape[-1])
