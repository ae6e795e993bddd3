// The edges of mixture.h and their gradients, for XLA's FFI on CPU.

#include "mixture.h"

namespace opp_darts {
namespace {

// Of a node that is a state or one of its own: states (N, B, H, W, C), the last
// D of which are what the edges feed; source, a number among the states or the
// node (B, H', W', C). The states that come in are those that go out. What is
// computed between lies in `scratch`, which XLA keeps from call to call.
template <ffi::DataType type>
ffi::Error ForwardHandler(
    ffi::ThreadPool pool, ffi::Buffer<type> states, ffi::AnyBuffer source,
    ffi::Buffer<ffi::PRED> active, ffi::Buffer<type> weights,
    ffi::Buffer<type> params, ffi::ResultBuffer<type> to,
    ffi::ResultBuffer<type> moments, ffi::ResultBuffer<type> scratch,
    int64_t stride, ffi::Span<const int64_t> kinds,
    ffi::Span<const int64_t> repeats, ffi::Span<const int64_t> sizes,
    ffi::Span<const int64_t> dilations) {
  using T = ffi::NativeType<type>;
  const auto shape = states.dimensions();
  const bool inside = source.element_type() == ffi::S32;
  const int64_t size = states.element_count() / shape[0];
  T* x = inside ? to->typed_data() +
                      *static_cast<int32_t*>(source.untyped_data()) * size
                : static_cast<T*>(source.untyped_data());
  const auto edges = MakeEdges<T>(
      pool, {stride, kinds, repeats, sizes, dilations},
      inside ? shape : source.dimensions(), x, active, weights.typed_data(),
      params.typed_data(), params.dimensions()[1]);
  Clear(moments);
  edges.Forward(to->typed_data() + (shape[0] - edges.count) * size,
                moments->typed_data(), moments->dimensions()[1],
                scratch->typed_data());
  return ffi::Error::Success();
}

// g and dstates (N, B, H, W, C), what reaches the states that go out and those
// that come in; dx what reaches the source if it is an own node, else it is
// empty, and that is added to dstates at the number `at`. dparams may be empty.
template <ffi::DataType type>
ffi::Error BackwardHandler(
    ffi::ThreadPool pool, ffi::Buffer<type> x, ffi::Buffer<ffi::S32> at,
    ffi::Buffer<ffi::PRED> active, ffi::Buffer<type> weights,
    ffi::Buffer<type> params, ffi::Buffer<type> g,
    ffi::ResultBuffer<type> dstates, ffi::ResultBuffer<type> dweights,
    ffi::ResultBuffer<type> dparams, ffi::ResultBuffer<type> dx,
    ffi::ResultBuffer<type> scratch, int64_t stride,
    ffi::Span<const int64_t> kinds, ffi::Span<const int64_t> repeats,
    ffi::Span<const int64_t> sizes, ffi::Span<const int64_t> dilations) {
  using T = ffi::NativeType<type>;
  const auto shape = g.dimensions();
  const int64_t size = g.element_count() / shape[0];
  const auto edges = MakeEdges<T>(
      pool, {stride, kinds, repeats, sizes, dilations}, x.dimensions(),
      x.typed_data(), active, weights.typed_data(), params.typed_data(),
      params.dimensions()[1]);
  Clear(dx);
  Clear(dweights);
  Clear(dparams);
  T* states = dstates->typed_data();
  edges.Backward(
      states + (shape[0] - edges.count) * size,
      dx->element_count() > 0 ? dx->typed_data()
                              : states + *at.typed_data() * size,
      dweights->typed_data(),
      dparams->element_count() > 0 ? dparams->typed_data() : nullptr,
      scratch->typed_data());
  return ffi::Error::Success();
}

template <ffi::DataType type>
auto ForwardBinding() {
  return WithArgs<type, 2, 3>(ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .template Arg<ffi::Buffer<type>>()
                                  .template Arg<ffi::AnyBuffer>()
                                  .template Arg<ffi::Buffer<ffi::PRED>>());
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_float32, ForwardHandler<ffi::F32>,
                              ForwardBinding<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_float64, ForwardHandler<ffi::F64>,
                              ForwardBinding<ffi::F64>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_grad_float32, BackwardHandler<ffi::F32>,
                              (SourceBinding<ffi::F32, 3, 5>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_grad_float64, BackwardHandler<ffi::F64>,
                              (SourceBinding<ffi::F64, 3, 5>()));

}  // namespace opp_darts
