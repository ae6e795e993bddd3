// The unit of unit.h and its gradients, for XLA's FFI on CPU.

#include "call.h"
#include "unit.h"

namespace opp_darts {
namespace {

Unit<Number> MakeUnit(
    Team& team, Buffer& x, Buffer& shift, Buffer& scale, Buffer& kernel,
    Buffer& pointwise, int64_t stride, int64_t dilation) {
  auto in = x.dimensions();
  int64_t height = (in[1] + stride - 1) / stride;
  int64_t width = (in[2] + stride - 1) / stride;
  Window w{in[1], in[2], height, width, kernel.dimensions()[0],
           stride, dilation};
  return {team, w, in[0], in[3], pointwise.dimensions()[1],
          x.typed_data(), shift.typed_data(), scale.typed_data(),
          kernel.typed_data(), pointwise.typed_data()};
}

ffi::Error ForwardHandler(
    ffi::ThreadPool pool, Buffer x, Buffer shift, Buffer scale, Buffer kernel,
    Buffer pointwise, ResultBuffer y, ResultBuffer mean, ResultBuffer var,
    int64_t stride, int64_t dilation) {
  Team team(pool);
  MakeUnit(team, x, shift, scale, kernel, pointwise, stride, dilation)
      .Forward(y->typed_data(), mean->typed_data(), var->typed_data());
  return ffi::Error::Success();
}

// dkernel may be empty.
ffi::Error BackwardHandler(
    ffi::ThreadPool pool, Buffer x, Buffer shift, Buffer scale, Buffer kernel,
    Buffer pointwise, Buffer mean, Buffer gy, Buffer gmean, Buffer gvar,
    ResultBuffer dx, ResultBuffer dshift, ResultBuffer dscale,
    ResultBuffer dkernel, ResultBuffer dpointwise, int64_t stride,
    int64_t dilation) {
  Team team(pool);
  auto unit = MakeUnit(team, x, shift, scale, kernel, pointwise, stride,
                             dilation);
  std::vector<Number> ones(unit.out_channels, 1);
  unit.Backward<Number*>(
      mean.typed_data(),
      {gy.typed_data(), ones.data(), gmean.typed_data(), gvar.typed_data()},
      {dx->typed_data(), dshift->typed_data(), dscale->typed_data(),
       dkernel->element_count() > 0 ? dkernel->typed_data() : nullptr,
       dpointwise->typed_data()});
  return ffi::Error::Success();
}

template <int kArgs, int kResults>
auto Binding() {
  return WithResults<kResults>(WithArgs<kArgs>(Call()))
      .template Attr<int64_t>("stride")
      .template Attr<int64_t>("dilation");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(separable, Guarded(ForwardHandler),
                              (Binding<5, 3>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(separable_grad, Guarded(BackwardHandler),
                              (Binding<9, 5>()));

}  // namespace opp_darts
