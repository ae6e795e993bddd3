"""Counts of compiled programs, on short ones as the compilers write them."""

import pytest

from opp_darts_jax.running.accelerators import counts, hlo
from opp_darts_jax.running.accelerators.counts import Counts, Lowered

GPU = """HloModule jit_f, is_scheduled=true, entry_computation_layout={()->()}

FileNames
1 "f.py"

%fused_transpose (p.1: f32[8,4]) -> f32[4,8] {
  %p.1 = f32[8,4]{1,0} parameter(0)
  ROOT %transpose.1 = f32[4,8]{1,0} transpose(%p.1), dimensions={1,0}
}

%fused_slice (p.2: f32[100,10], p.3: s32[]) -> f32[1,10] {
  %p.2 = f32[100,10]{1,0} parameter(0)
  %p.3 = s32[] parameter(1)
  %zero.1 = s32[] constant(0)
  ROOT %slice.1 = f32[1,10]{1,0} dynamic-slice(%p.2, %p.3, %zero.1), dynamic_slice_sizes={1,10}
}

%fused_update (p.4: f32[100,10], p.5: f32[1,10], p.6: s32[]) -> f32[100,10] {
  %p.4 = f32[100,10]{1,0} parameter(0)
  %p.5 = f32[1,10]{1,0} parameter(1)
  %p.6 = s32[] parameter(2)
  %zero.2 = s32[] constant(0)
  ROOT %update.1 = f32[100,10]{1,0} dynamic-update-slice(%p.4, %p.5, %p.6, %zero.2)
}

%cheap (a.1: (f32[8,4])) -> (f32[8,4]) {
  %a.1 = (f32[8,4]{1,0}) parameter(0)
  ROOT %cheap.1 = (f32[8,4]{1,0}) bitcast(%a.1)
}

%dear (a.2: (f32[8,4])) -> (f32[8,4]) {
  %a.2 = (f32[8,4]{1,0}) parameter(0)
  %a.3 = f32[8,4]{1,0} get-tuple-element(%a.2), index=0
  %copy.7 = f32[8,4]{1,0} copy(%a.3)
  ROOT %dear.1 = (f32[8,4]{1,0}) tuple(%copy.7)
}

%body (s.1: (s32[], f32[100,10])) -> (s32[], f32[100,10]) {
  %s.1 = (s32[], f32[100,10]{1,0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%s.1), index=0
  %x.1 = f32[100,10]{1,0} get-tuple-element(%s.1), index=1
  %row = f32[1,10]{1,0} fusion(%x.1, %i.1), kind=kLoop, calls=%fused_slice
  %new = f32[100,10]{1,0} fusion(%x.1, %row, %i.1), kind=kLoop, calls=%fused_update
  ROOT %s.2 = (s32[], f32[100,10]{1,0}) tuple(%i.1, %new)
}

%condition (s.3: (s32[], f32[100,10])) -> pred[] {
  %s.3 = (s32[], f32[100,10]{1,0}) parameter(0)
  %i.2 = s32[] get-tuple-element(%s.3), index=0
  %five = s32[] constant(5)
  ROOT %less = pred[] compare(%i.2, %five), direction=LT
}

ENTRY %main (x: f32[8,4], w: f32[4,6], big: f32[100,10], go: pred[]) -> f32[4,8] {
  %x = f32[8,4]{1,0} parameter(0)
  %w = f32[4,6]{1,0} parameter(1)
  %big = f32[100,10]{1,0} parameter(2)
  %go = pred[] parameter(3)
  %zero = s32[] constant(0)
  %gemm = (f32[8,6]{1,0}, s8[33554432]{0}) custom-call(%x, %w), custom_call_target="__cublas$lt$matmul", backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  %own = f32[8,4]{1,0} custom-call(%x), custom_call_target="__gpu$xla.gpu.triton", backend_config={grid_x = 1 : i32}
  %given = (f32[8,4]{1,0}) tuple(%own)
  %which = (f32[8,4]{1,0}) conditional(%go, %given, %given), true_computation=%dear, false_computation=%cheap
  %start = (s32[], f32[100,10]{1,0}) tuple(%zero, %big)
  %loop = (s32[], f32[100,10]{1,0}) while(%start), condition=%condition, body=%body, LOOP
  ROOT %turned = f32[4,8]{1,0} fusion(%own), kind=kInput, calls=%fused_transpose
}
"""  # noqa: E501
# As of a series, that has converged before it has as many terms.
INNER = GPU.replace(
  'ENTRY %main',
  """%until (s.4: (s32[], f32[100,10])) -> pred[] {
  %s.4 = (s32[], f32[100,10]{1,0}) parameter(0)
  %i.4 = s32[] get-tuple-element(%s.4), index=0
  %many = s32[] constant(2000)
  %few = pred[] compare(%i.4, %many), direction=LT
  %far = pred[] compare(%i.4, %i.4), direction=NE
  ROOT %more = pred[] and(%few, %far)
}

%outer (s.5: (s32[], f32[100,10])) -> (s32[], f32[100,10]) {
  %s.5 = (s32[], f32[100,10]{1,0}) parameter(0)
  ROOT %s.6 = (s32[], f32[100,10]) while(%s.5), condition=%until, body=%body
}

ENTRY %main""",
).replace('condition=%condition, body=%body', 'condition=%until, body=%outer')
KNOWN = GPU.replace(
  'LOOP', 'backend_config={"known_trip_count":{"n":"7"},"known_init_step":{}}'
)

TPU = """HloModule jit_f, is_scheduled=true

%product (p.1: bf16[16,20], p.2: bf16[20,8]) -> f32[16,8] {
  %p.1 = bf16[16,20]{1,0:T(8,128)(2,1)} parameter(0)
  %p.2 = bf16[20,8]{1,0:T(8,128)(2,1)S(1)} parameter(1)
  ROOT %c.1 = f32[16,8]{1,0:T(8,128)} convolution(%p.1, %p.2), dim_labels=bf_io->bf
}

ENTRY %main (x: bf16[16,20], w: bf16[20,8], n: s32[]) -> f32[16,8] {
  %x = bf16[16,20]{1,0:T(8,128)(2,1)} parameter(0)
  %w = bf16[20,8]{1,0:T(8,128)(2,1)} parameter(1)
  %n = s32[]{:T(128)} parameter(2)
  %more = s32[]{:T(128)} add(%n, %n)
  %copy-start = (bf16[20,8]{1,0:T(8,128)(2,1)S(1)}, bf16[20,8]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%w)
  %copy-done = bf16[20,8]{1,0:T(8,128)(2,1)S(1)} copy-done(%copy-start)
  ROOT %fusion.1 = f32[16,8]{1,0:T(8,128)} fusion(%x, %copy-done), kind=kOutput, calls=%product
}
"""  # noqa: E501


def test_kernels_of_a_gpu_by_kind():
  found = counts.count(KNOWN)
  assert found._replace(read=0, written=0) == Counts(
    library_calls=1,
    fusions=14,  # Two in each of seven turns.
    copies=1,  # Of the dearer branch.
    transposes=1,
    custom_kernels=1,
    conditionals=1,
    operations=2 * 8 * 6 * 4,
  )
  assert found.kernels == 18


def test_bytes_are_those_of_slices_and_without_scratch():
  found = counts.count(KNOWN)
  row, small = 40, 4 * 8 * 4
  # A turn reads a row and twice where it is, and the row again to write it.
  turn_read, turn_written = row + 4 + row + 4, row + row
  assert found.read == small + 4 * 6 * 4 + 3 * small + 7 * turn_read
  assert found.written == 4 * 8 * 6 + 3 * small + 7 * turn_written
  assert found.moved == found.read + found.written


KERNEL = """HloModule jit_f

ENTRY %main (x: f32[2,64], taps: s8[64], table: s32[6]) -> f32[64] {
  %x = f32[2,64]{1,0} parameter(0)
  %taps = s8[64]{0} parameter(1)
  %table = s32[6]{0} parameter(2)
  %flat = f32[128]{0} bitcast(%x)
  %pallas = (f32[64]{0}, s8[64]{0}) custom-call(%table, %taps, %table, %table, %table, /*index=5*/%flat), custom_call_target="__gpu$xla.gpu.triton", backend_config={grid_x = 1 : i32}
  %sum = f32[64]{0} get-tuple-element(%pallas), index=0
  %which = s8[64]{0} get-tuple-element(%pallas), index=1
  ROOT %out = f32[64]{0} custom-call(%sum, %which), custom_call_target="__gpu$xla.gpu.triton", backend_config={grid_x = 1 : i32}
}
"""  # noqa: E501


def test_a_kernels_own_bytes_are_data():
  found = counts.count(KERNEL)
  # What is taken several times is read once; so is a number of 8 bits.
  first = 6 * 4 + 64 + 128 * 4, 64 * 4 + 64
  assert found == Counts(
    custom_kernels=2,
    read=first[0] + 64 * 4 + 64,
    written=first[1] + 64 * 4,
  )


@pytest.mark.parametrize(
  ('text', 'turns', 'fusions'),
  [
    (KNOWN, 3, 14),
    (GPU, 3, 10),  # The condition says it: five.
    (GPU.replace('LT', 'NE'), 3, 6),
    (GPU.replace('LT', 'NE'), 1, 2),
    (INNER, 3, 6),  # The inner one turns once.
  ],
)
def test_turns_of_loops(text, turns, fusions):
  assert counts.count(text, turns).fusions == fusions


def test_a_tpu_pads_and_copies_beside_its_kernels():
  found = counts.count(TPU)
  padded = 24 * 128 * 2  # w in tiles of 8 x 128.
  assert found == Counts(
    fusions=1,
    async_copies=1,
    read=padded + 16 * 128 * 2,  # What lies on the chip is not read.
    written=16 * 128 * 4,
    operations_16=2 * 16 * 8 * 20,
  )


@pytest.mark.parametrize(
  ('inner', 'found'),
  [
    (
      'dynamic-slice(%p, %i), dynamic_slice_sizes={2}',
      Counts(async_copies=1, read=2 * 512 + 512, written=512),
    ),
    ('custom-call(%p, %i), custom_call_target="tpu_custom_call"', None),
  ],
)
def test_what_runs_beside_the_kernels(inner, found):
  one = 'f32[2]{0:T(128)}'
  text = f"""
%wrapped (p: f32[999], i: s32[]) -> f32[2] {{
  %p = f32[999]{{0:T(128)}} parameter(0)
  %i = s32[]{{:T(128)}} parameter(1)
  ROOT %r = {one} {inner}
}}

ENTRY %main (a: f32[999], i: s32[]) -> f32[2] {{
  %a = f32[999]{{0:T(128)}} parameter(0)
  %i = s32[]{{:T(128)}} parameter(1)
  %begun = ((f32[999]{{0:T(128)}}, s32[]{{:T(128)}}), {one}, u32[]{{:S(2)}}) async-start(%a, %i), calls=%wrapped
  ROOT %done = {one} async-done(%begun)
}}
"""  # noqa: E501
  counted = counts.count(text)
  if found is None:
    assert (counted.kernels, counted.custom_kernels) == (1, 1)
  else:
    assert counted._replace(read=0) == found._replace(read=0)
    assert counted.read <= found.read


def test_collectives_by_kind():
  text = """
ENTRY %main (a: f32[8], b: f32[2]) -> f32[2] {
  %a = f32[8]{0} parameter(0)
  %b = f32[2]{0} parameter(1)
  %begun = f32[8]{0} all-reduce-start(%a), to_apply=%add
  %sum = f32[8]{0} all-reduce-done(%begun)
  %gathered = f32[8]{0} all-gather(%b), dimensions={0}
  %moved = f32[2]{0} collective-permute(%b)
  ROOT %own = f32[2]{0} reduce-scatter(%gathered), to_apply=%add
}
"""
  found = counts.count(text)
  assert (found.kernels, found.collectives) == (4, 4)
  each = found.all_reduces, found.all_gathers, found.reduce_scatters
  assert each == (1, 1, 1)
  assert found.exchanged == 32 + 32 + 8 + 32


@pytest.mark.parametrize(
  ('target', 'shapes'),
  [
    ('Forward', ('x', 'k', 'y')),
    ('BackwardInput', ('y', 'k', 'x')),
    ('BackwardFilter', ('x', 'y', 'k')),
  ],
)
def test_a_convolution_and_its_gradients_multiply_as_often(target, shapes):
  sizes = {'x': '2,8,8,3', 'k': '5,3,3,3', 'y': '2,8,8,5'}
  a, b, result = (f'f32[{sizes[name]}]' for name in shapes)
  text = f"""
ENTRY %main (a: {a}, b: {b}) -> {result} {{
  %a = {a} parameter(0)
  %b = {b} parameter(1)
  ROOT %c = ({result}, u8[999]) custom-call(%a, %b), window={{size=3x3}}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$conv{target}"
}}
"""  # noqa: E501
  found = counts.count(text)
  assert found.operations == 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3)
  assert found.library_calls == 1
  assert found.written < 4 * 2 * 8 * 8 * 6


def test_a_kernel_may_tell_what_it_multiplies():
  text = """
ENTRY %main (a: f32[8]) -> f32[8] {
  %a = f32[8]{0:T(128)} parameter(0)
  ROOT %k = f32[8]{0:T(128)} custom-call(%a), custom_call_target="tpu_custom_call", backend_config={"custom_call_config":{"body":"x","cost_estimate":{"flops":"1234","bytes_accessed":"9"}}}
}
"""  # noqa: E501
  found = counts.count(text)
  assert (found.custom_kernels, found.operations) == (1, 1234)


def test_text_of_a_lowered_program():
  text = """module @jit_f {
  %0 = "stablehlo.case"(%a) ({
  %1 = stablehlo.if %b
  %2 = "stablehlo.scatter"(%c) <{#stablehlo.scatter<update_window_dims = []>}>
  %3 = "stablehlo.select_and_scatter"(%c, %d, %e)
}
"""
  assert counts.count_lowered(text) == Lowered(6, 2, 1)


@pytest.mark.parametrize(
  ('shape', 'size'),
  [
    ('f32[2,3]{1,0}', 24),
    ('(bf16[4]{0}, pred[3]{0}, token[])', 11),
    ('f32[]', 4),
    ('s4[8]{0}', 4),
    ('f8e4m3fn[8]{0}', 8),
    ('f32[3,16,5]{1,2,0:T(8,128)}', 4 * 3 * 8 * 128),
    ('f32[300]{0:T(128)}', 4 * 384),
    ('f32[300]{0:T(128)S(1)}', 0),
  ],
)
def test_bytes_of_a_shape(shape, size):
  assert sum(array.bytes for array in hlo.arrays(shape)) == size
