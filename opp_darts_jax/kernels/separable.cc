// The unit of unit.h and its gradients, for XLA's FFI on CPU.

#include "unit.h"

namespace opp_darts {
namespace {

template <ffi::DataType type>
Unit<ffi::NativeType<type>> MakeUnit(
    ffi::ThreadPool pool, ffi::Buffer<type>& x, ffi::Buffer<type>& shift,
    ffi::Buffer<type>& scale, ffi::Buffer<type>& kernel,
    ffi::Buffer<type>& pointwise, int64_t stride, int64_t dilation) {
  auto in = x.dimensions();
  int64_t height = (in[1] + stride - 1) / stride;
  int64_t width = (in[2] + stride - 1) / stride;
  Window w{in[1], in[2], height, width, kernel.dimensions()[0],
           stride, dilation};
  return {pool, w, in[0], in[3], pointwise.dimensions()[1],
          x.typed_data(), shift.typed_data(), scale.typed_data(),
          kernel.typed_data(), pointwise.typed_data()};
}

template <ffi::DataType type>
ffi::Error ForwardHandler(ffi::ThreadPool pool, ffi::Buffer<type> x,
                          ffi::Buffer<type> shift, ffi::Buffer<type> scale,
                          ffi::Buffer<type> kernel,
                          ffi::Buffer<type> pointwise,
                          ffi::ResultBuffer<type> y,
                          ffi::ResultBuffer<type> mean,
                          ffi::ResultBuffer<type> var, int64_t stride,
                          int64_t dilation) {
  MakeUnit<type>(pool, x, shift, scale, kernel, pointwise, stride, dilation)
      .Forward(y->typed_data(), mean->typed_data(), var->typed_data());
  return ffi::Error::Success();
}

// dkernel may be empty.
template <ffi::DataType type>
ffi::Error BackwardHandler(
    ffi::ThreadPool pool, ffi::Buffer<type> x, ffi::Buffer<type> shift,
    ffi::Buffer<type> scale, ffi::Buffer<type> kernel,
    ffi::Buffer<type> pointwise, ffi::Buffer<type> mean, ffi::Buffer<type> gy,
    ffi::Buffer<type> gmean, ffi::Buffer<type> gvar,
    ffi::ResultBuffer<type> dx, ffi::ResultBuffer<type> dshift,
    ffi::ResultBuffer<type> dscale, ffi::ResultBuffer<type> dkernel,
    ffi::ResultBuffer<type> dpointwise, int64_t stride, int64_t dilation) {
  auto unit = MakeUnit<type>(pool, x, shift, scale, kernel, pointwise, stride,
                             dilation);
  std::vector<ffi::NativeType<type>> ones(unit.out_channels, 1);
  using T = ffi::NativeType<type>;
  unit.template Backward<T*>(
      mean.typed_data(),
      {gy.typed_data(), ones.data(), gmean.typed_data(), gvar.typed_data()},
      {dx->typed_data(), dshift->typed_data(), dscale->typed_data(),
       dkernel->element_count() > 0 ? dkernel->typed_data() : nullptr,
       dpointwise->typed_data()});
  return ffi::Error::Success();
}

template <ffi::DataType type>
auto ForwardBinding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Attr<int64_t>("stride")
      .template Attr<int64_t>("dilation");
}

template <ffi::DataType type>
auto BackwardBinding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Attr<int64_t>("stride")
      .template Attr<int64_t>("dilation");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(separable_float32, ForwardHandler<ffi::F32>,
                              ForwardBinding<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(separable_float64, ForwardHandler<ffi::F64>,
                              ForwardBinding<ffi::F64>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(separable_grad_float32,
                              BackwardHandler<ffi::F32>,
                              BackwardBinding<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(separable_grad_float64,
                              BackwardHandler<ffi::F64>,
                              BackwardBinding<ffi::F64>());

}  // namespace opp_darts
