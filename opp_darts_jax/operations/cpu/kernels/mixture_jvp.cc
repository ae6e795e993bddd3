// The derivatives of what mixture.cc computes, along a direction, for XLA's FFI
// on CPU: the same on dual numbers.

#include <algorithm>

#include "mixture_call.h"

namespace opp_darts {
namespace {

// Two arrays of numbers as one of dual numbers.
std::vector<Dual<Number>> Pairs(const Buffer& values, const Buffer& tangents) {
  std::vector<Dual<Number>> pairs(values.element_count());
  for (size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = {values.typed_data()[i], tangents.typed_data()[i]};
  }
  return pairs;
}

// The derivative of the nodes along x_dot and so on, x the source; x_dot is
// empty if it is the state of number `at`. `scratch` is (2, as in mixture.h).
ffi::Error ForwardTangentHandler(
    ffi::ThreadPool pool, Buffer x, ffi::Buffer<ffi::S32> at,
    ffi::Buffer<ffi::PRED> active, Buffer weights, Buffer params, Buffer given,
    Buffer states_dot, Buffer x_dot, Buffer weights_dot, Buffer params_dot,
    ResultBuffer to_dot, ResultBuffer scratch, int64_t stride, int64_t images,
    Numbers kinds, Numbers repeats, Numbers sizes, Numbers dilations) {
  const auto shape = states_dot.dimensions();
  const int64_t size = states_dot.element_count() / shape[0];
  Number* source_dot = x_dot.element_count() > 0
                      ? x_dot.typed_data()
                      : to_dot->typed_data() + *at.typed_data() * size;
  const auto all_weights = Pairs(weights, weights_dot);
  const auto all_params = Pairs(params, params_dot);
  Team team(pool);
  const auto edges = MakeEdges<Dual<Number>>(
      team, {stride, images, kinds, repeats, sizes, dilations}, x.dimensions(),
      {x.typed_data(), source_dot}, active, all_weights.data(),
      all_params.data(), given);
  Number* own = scratch->typed_data();
  edges.Forward({to_dot->typed_data() + (shape[0] - edges.count) * size},
                nullptr, {own, own + scratch->element_count() / 2});
  return ffi::Error::Success();
}

// The derivative of the gradients along x_dot and so on; dstates_dot begins as
// g_dot.
ffi::Error BackwardTangentHandler(
    ffi::ThreadPool pool, Buffer x, ffi::Buffer<ffi::S32> at,
    ffi::Buffer<ffi::PRED> active, Buffer weights, Buffer params, Buffer given,
    Buffer g, Buffer x_dot, Buffer weights_dot, Buffer params_dot, Buffer g_dot,
    ResultBuffer dstates_dot, ResultBuffer dweights_dot,
    ResultBuffer dparams_dot, ResultBuffer dx_dot, ResultBuffer scratch,
    int64_t stride, int64_t images, Numbers kinds, Numbers repeats,
    Numbers sizes, Numbers dilations) {
  const auto shape = g.dimensions();
  const int64_t size = g.element_count() / shape[0];
  const auto all_weights = Pairs(weights, weights_dot);
  const auto all_params = Pairs(params, params_dot);
  Team team(pool);
  const auto edges = MakeEdges<Dual<Number>>(
      team, {stride, images, kinds, repeats, sizes, dilations}, x.dimensions(),
      {x.typed_data(), x_dot.typed_data()}, active, all_weights.data(),
      all_params.data(), given);
  Clear(dx_dot);
  std::vector<Dual<Number>> dweights(all_weights.size());
  std::vector<Dual<Number>> dparams(dparams_dot->element_count());
  const int64_t fed = (shape[0] - edges.count) * size;
  Number *states_dot = dstates_dot->typed_data(), *own = scratch->typed_data();
  edges.Backward({g.typed_data() + fed, states_dot + fed},
                 {dx_dot->element_count() > 0
                      ? dx_dot->typed_data()
                      : states_dot + *at.typed_data() * size},
                 dweights.data(), dparams.empty() ? nullptr : dparams.data(),
                 {own, own + scratch->element_count() / 2});
  auto tangent = [](const Dual<Number>& number) { return number.tangent; };
  std::transform(dweights.begin(), dweights.end(), dweights_dot->typed_data(),
                 tangent);
  std::transform(dparams.begin(), dparams.end(), dparams_dot->typed_data(),
                 tangent);
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_jvp, Guarded(ForwardTangentHandler),
                              (SourceBinding<7, 2>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_grad_jvp, Guarded(BackwardTangentHandler),
                              (SourceBinding<8, 5>()));

}  // namespace opp_darts
