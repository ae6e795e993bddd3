// The derivatives of what mixture.cc computes, along a direction, for XLA's FFI
// on CPU: the same on dual numbers.

#include <type_traits>

#include "mixture.h"

namespace opp_darts {
namespace {

// Two arrays of numbers as one of dual numbers.
template <typename Buffer, typename T = std::decay_t<
                               decltype(*std::declval<Buffer>().typed_data())>>
std::vector<Dual<T>> Pairs(const Buffer& values, const Buffer& tangents) {
  std::vector<Dual<T>> pairs(values.element_count());
  for (size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = {values.typed_data()[i], tangents.typed_data()[i]};
  }
  return pairs;
}

// The derivative of the nodes along x_dot and so on, x the source; x_dot is empty
// if it is the state of number `at`. `scratch` is (2, as above).
template <ffi::DataType type>
ffi::Error ForwardTangentHandler(
    ffi::ThreadPool pool, ffi::Buffer<type> x, ffi::Buffer<ffi::S32> at,
    ffi::Buffer<ffi::PRED> active, ffi::Buffer<type> weights,
    ffi::Buffer<type> params, ffi::Buffer<type> states_dot,
    ffi::Buffer<type> x_dot, ffi::Buffer<type> weights_dot,
    ffi::Buffer<type> params_dot, ffi::ResultBuffer<type> to_dot,
    ffi::ResultBuffer<type> scratch, int64_t stride,
    ffi::Span<const int64_t> kinds, ffi::Span<const int64_t> repeats,
    ffi::Span<const int64_t> sizes, ffi::Span<const int64_t> dilations) {
  using T = ffi::NativeType<type>;
  const auto shape = states_dot.dimensions();
  const int64_t size = states_dot.element_count() / shape[0];
  T* source_dot = x_dot.element_count() > 0
                      ? x_dot.typed_data()
                      : to_dot->typed_data() + *at.typed_data() * size;
  const auto all_weights = Pairs(weights, weights_dot);
  const auto all_params = Pairs(params, params_dot);
  const auto edges = MakeEdges<Dual<T>>(
      pool, {stride, kinds, repeats, sizes, dilations}, x.dimensions(),
      {x.typed_data(), source_dot}, active, all_weights.data(),
      all_params.data(), params.dimensions()[1]);
  T* own = scratch->typed_data();
  edges.Forward({to_dot->typed_data() + (shape[0] - edges.count) * size},
                nullptr, 0, {own, own + scratch->element_count() / 2});
  return ffi::Error::Success();
}

// The derivative of the gradients along x_dot and so on; dstates_dot begins as
// g_dot.
template <ffi::DataType type>
ffi::Error BackwardTangentHandler(
    ffi::ThreadPool pool, ffi::Buffer<type> x, ffi::Buffer<ffi::S32> at,
    ffi::Buffer<ffi::PRED> active, ffi::Buffer<type> weights,
    ffi::Buffer<type> params, ffi::Buffer<type> g, ffi::Buffer<type> x_dot,
    ffi::Buffer<type> weights_dot, ffi::Buffer<type> params_dot,
    ffi::Buffer<type> g_dot, ffi::ResultBuffer<type> dstates_dot,
    ffi::ResultBuffer<type> dweights_dot, ffi::ResultBuffer<type> dparams_dot,
    ffi::ResultBuffer<type> dx_dot, ffi::ResultBuffer<type> scratch,
    int64_t stride, ffi::Span<const int64_t> kinds,
    ffi::Span<const int64_t> repeats, ffi::Span<const int64_t> sizes,
    ffi::Span<const int64_t> dilations) {
  using T = ffi::NativeType<type>;
  const auto shape = g.dimensions();
  const int64_t size = g.element_count() / shape[0];
  const auto all_weights = Pairs(weights, weights_dot);
  const auto all_params = Pairs(params, params_dot);
  const auto edges = MakeEdges<Dual<T>>(
      pool, {stride, kinds, repeats, sizes, dilations}, x.dimensions(),
      {x.typed_data(), x_dot.typed_data()}, active, all_weights.data(),
      all_params.data(), params.dimensions()[1]);
  Clear(dx_dot);
  std::vector<Dual<T>> dweights(all_weights.size());
  std::vector<Dual<T>> dparams(dparams_dot->element_count());
  const int64_t fed = (shape[0] - edges.count) * size;
  T *states_dot = dstates_dot->typed_data(), *own = scratch->typed_data();
  edges.Backward({g.typed_data() + fed, states_dot + fed},
                 {dx_dot->element_count() > 0
                      ? dx_dot->typed_data()
                      : states_dot + *at.typed_data() * size},
                 dweights.data(), dparams.empty() ? nullptr : dparams.data(),
                 {own, own + scratch->element_count() / 2});
  auto tangent = [](const Dual<T>& number) { return number.tangent; };
  std::transform(dweights.begin(), dweights.end(), dweights_dot->typed_data(),
                 tangent);
  std::transform(dparams.begin(), dparams.end(), dparams_dot->typed_data(),
                 tangent);
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_jvp_float32,
                              ForwardTangentHandler<ffi::F32>,
                              (SourceBinding<ffi::F32, 6, 2>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_jvp_float64,
                              ForwardTangentHandler<ffi::F64>,
                              (SourceBinding<ffi::F64, 6, 2>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_grad_jvp_float32,
                              BackwardTangentHandler<ffi::F32>,
                              (SourceBinding<ffi::F32, 7, 5>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_grad_jvp_float64,
                              BackwardTangentHandler<ffi::F64>,
                              (SourceBinding<ffi::F64, 7, 5>()));

}  // namespace opp_darts
