// The depthwise convolution and its kernel's gradient, for XLA's FFI on CPU.

#include "call.h"
#include "convolve.h"

namespace opp_darts {
namespace {

void Conv(
    Team& team, const Window& w, int64_t batch, int64_t channels, Number* x,
    const Number* kernel, Number* out) {
  auto kernels = LoadMatrix(kernel, w.size * w.size, channels);
  int64_t products =
      batch * w.out_pixels() * channels * w.size * w.size;
  team.Run(batch, products, [&] {
    // Only the middle is written again: what surrounds it stays zero.
    return [&, block = Zeros<Number>(w.padded_pixels()),
            y = Scratch<Number>(w.out_pixels())](int64_t image) {
      for (int64_t b = 0; b < NumBlocks<Number>(channels); ++b) {
        LoadBlock<Number>(x + image * w.height * w.width * channels, w.height,
                          w.width, channels, b, w.padded_row(),
                          block.get() + w.pad() * (w.padded_row() + 1));
        ConvBlock<Number>(w, block.get(), kernels.get() + b * w.size * w.size,
                     y.get());
        StoreBlock<Number>(y.get(), w.out_row(), w.out_height, w.out_width,
                           channels, b,
                           out + image * w.out_height * w.out_width * channels);
      }
    };
  });
}

void KernelGrad(
    Team& team, const Window& w, int64_t batch, int64_t channels, Number* x,
    Number* g, Number* out) {
  int64_t taps = w.size * w.size, weights = taps * channels;
  // One sum for each image: the result does not depend on the threads.
  std::vector<Number> grads(batch * weights);
  int64_t products = batch * w.out_pixels() * weights;
  team.Run(batch, products, [&] {
    return [&, block = Zeros<Number>(w.padded_pixels()),
            g_block = Scratch<Number>(w.out_pixels()),
            grad = Scratch<Number>(taps)](int64_t image) {
      for (int64_t b = 0; b < NumBlocks<Number>(channels); ++b) {
        LoadBlock<Number>(x + image * w.height * w.width * channels, w.height,
                          w.width, channels, b, w.padded_row(),
                          block.get() + w.pad() * (w.padded_row() + 1));
        LoadBlock<Number>(g + image * w.out_height * w.out_width * channels,
                          w.out_height, w.out_width, channels, b, w.out_row(),
                          g_block.get());
        KernelGradBlock<Number>(w, block.get(), g_block.get(), w.out_row(), 1,
                                grad.get());
        StoreBlock<Number>(grad.get(), taps, 1, taps, channels, b,
                           grads.data() + image * weights);
      }
    };
  });
  std::fill(out, out + weights, Number(0));
  for (int64_t image = 0; image < batch; ++image) {
    for (int64_t i = 0; i < weights; ++i) out[i] += grads[image * weights + i];
  }
}

ffi::Error ConvHandler(
    ffi::ThreadPool pool, Buffer x, Buffer kernel, ResultBuffer out,
    int64_t stride, int64_t dilation) {
  auto in = x.dimensions(), to = out->dimensions();
  Window w{in[1], in[2], to[1], to[2], kernel.dimensions()[0],
           stride, dilation};
  Team team(pool);
  Conv(team, w, in[0], in[3], x.typed_data(), kernel.typed_data(),
       out->typed_data());
  return ffi::Error::Success();
}

ffi::Error KernelGradHandler(
    ffi::ThreadPool pool, Buffer x, Buffer g, ResultBuffer out, int64_t stride,
    int64_t dilation) {
  auto in = x.dimensions(), to = g.dimensions();
  Window w{in[1], in[2], to[1], to[2], out->dimensions()[0],
           stride, dilation};
  Team team(pool);
  KernelGrad(team, w, in[0], in[3], x.typed_data(), g.typed_data(),
             out->typed_data());
  return ffi::Error::Success();
}

auto Binding() {
  return WithResults<1>(WithArgs<2>(Call()))
      .Attr<int64_t>("stride")
      .Attr<int64_t>("dilation");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(depthwise_conv, Guarded(ConvHandler), Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(depthwise_kernel_grad, Guarded(KernelGradHandler),
                              Binding());

}  // namespace opp_darts
