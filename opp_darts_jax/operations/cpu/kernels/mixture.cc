// The edges of mixture.h and their gradients, for XLA's FFI on CPU.

#include "mixture_call.h"

namespace opp_darts {
namespace {

// Of a node that is a state or one of its own: states (N, B, H, W, C), the last
// D of which are what the edges feed; source, a number among the states or the
// node (B, H', W', C). The states that come in are those that go out. Moments
// that are not given are filled; the others are empty. What is computed between
// lies in `scratch`, which XLA keeps from call to call.
ffi::Error ForwardHandler(
    ffi::ThreadPool pool, Buffer states, ffi::AnyBuffer source,
    ffi::Buffer<ffi::PRED> active, Buffer weights, Buffer params, Buffer given,
    ResultBuffer to, ResultBuffer moments, ResultBuffer scratch, int64_t stride,
    int64_t images, Numbers kinds, Numbers repeats, Numbers sizes,
    Numbers dilations) {
  const auto shape = states.dimensions();
  const bool inside = source.element_type() == ffi::S32;
  const int64_t size = states.element_count() / shape[0];
  Number* x = inside ? to->typed_data() +
                      *static_cast<int32_t*>(source.untyped_data()) * size
                : static_cast<Number*>(source.untyped_data());
  Team team(pool);
  const auto edges = MakeEdges<Number>(
      team, {stride, images, kinds, repeats, sizes, dilations},
      inside ? shape : source.dimensions(), x, active, weights.typed_data(),
      params.typed_data(), given);
  Clear(moments);
  edges.Forward(to->typed_data() + (shape[0] - edges.count) * size,
                edges.given ? nullptr : moments->typed_data(),
                scratch->typed_data());
  return ffi::Error::Success();
}

// g and dstates (N, B, H, W, C), what reaches the states that go out and those
// that come in; dx what reaches the source if it is an own node, else it is
// empty, and that is added to dstates at the number `at`. dparams may be empty.
ffi::Error BackwardHandler(
    ffi::ThreadPool pool, Buffer x, ffi::Buffer<ffi::S32> at,
    ffi::Buffer<ffi::PRED> active, Buffer weights, Buffer params, Buffer given,
    Buffer g, ResultBuffer dstates, ResultBuffer dweights, ResultBuffer dparams,
    ResultBuffer dx, ResultBuffer scratch, int64_t stride, int64_t images,
    Numbers kinds, Numbers repeats, Numbers sizes, Numbers dilations) {
  const auto shape = g.dimensions();
  const int64_t size = g.element_count() / shape[0];
  Team team(pool);
  const auto edges = MakeEdges<Number>(
      team, {stride, images, kinds, repeats, sizes, dilations}, x.dimensions(),
      x.typed_data(), active, weights.typed_data(), params.typed_data(), given);
  Clear(dx);
  Clear(dweights);
  Clear(dparams);
  Number* states = dstates->typed_data();
  edges.Backward(
      states + (shape[0] - edges.count) * size,
      dx->element_count() > 0 ? dx->typed_data()
                              : states + *at.typed_data() * size,
      dweights->typed_data(),
      dparams->element_count() > 0 ? dparams->typed_data() : nullptr,
      scratch->typed_data());
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    mixture, Guarded(ForwardHandler),
    WithAttributes(WithResults<3>(
        WithArgs<3>(Call()
                        .Arg<Buffer>()
                        .Arg<ffi::AnyBuffer>()
                        .Arg<ffi::Buffer<ffi::PRED>>()))));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_grad, Guarded(BackwardHandler),
                              (SourceBinding<4, 5>()));

}  // namespace opp_darts
