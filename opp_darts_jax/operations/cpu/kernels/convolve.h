// Convolutions of blocks of channels, and the gradients of their kernels.

#ifndef OPP_DARTS_JAX_KERNELS_CONVOLVE_H_
#define OPP_DARTS_JAX_KERNELS_CONVOLVE_H_

#include "blocks.h"

namespace opp_darts {

// What a convolution gives for some neighbouring pixels; 0 for a size, stride
// or dilation that is not known when this is compiled.
template <typename T, int kSize, int kStride, int kDilation, int kPixels>
[[gnu::always_inline]] inline void ConvPixels(const Window& w, int64_t x_row,
                                              const Vector<T>* x,
                                              const Vector<T>* kernel,
                                              int64_t row, Vector<T>* out) {
  const int64_t size = kSize ? kSize : w.size;
  const int64_t stride = kStride ? kStride : w.stride;
  const int64_t dilation = kDilation ? kDilation : w.dilation;
  Vector<T> sums[kPixels];
#pragma GCC unroll 16
  for (int u = 0; u < kPixels; ++u) sums[u] = Vector<T>{};
#pragma GCC unroll 5
  for (int64_t i = 0; i < size; ++i, x += dilation * x_row) {
    if (w.step > 1 && (row + i * dilation - w.pad()) % w.step) continue;
#pragma GCC unroll 5
    for (int64_t j = 0; j < size; ++j) {
      const Vector<T> tap = kernel[i * size + j];
#pragma GCC unroll 16
      for (int u = 0; u < kPixels; ++u) {
        AddProduct(sums[u], x[u * stride + j * dilation], tap);
      }
    }
  }
#pragma GCC unroll 16
  for (int u = 0; u < kPixels; ++u) out[u] = sums[u];
}

template <typename T, int kSize, int kStride, int kDilation>
void ConvRowsOf(const Window& w, const Vector<T>* block,
                const Vector<T>* kernel, int64_t first, int64_t last,
                Vector<T>* out) {
  const int64_t stride = kStride ? kStride : w.stride;
  const int64_t x_row = w.padded_row(), columns = w.out_row();
  for (int64_t row = first * stride; row < last * stride; row += stride) {
    const Vector<T>* x = block + row * x_row;
    int64_t column = 0;
    constexpr int kPixels = Types<T>::kPixels;
    for (; column + kPixels <= columns; column += kPixels) {
      ConvPixels<T, kSize, kStride, kDilation, kPixels>(
          w, x_row, x + column * stride, kernel, row, out + column);
    }
    if (column < columns) {
      ConvPixels<T, kSize, kStride, kDilation, 4>(
          w, x_row, x + column * stride, kernel, row, out + column);
    }
    out += columns;
  }
}

// Convolves a padded block (height + 2 pad, padded_row): rows of the result
// from `first` to before `last`, (last - first, out_row).
template <typename T>
void ConvRows(const Window& w, const Vector<T>* block, const Vector<T>* kernel,
              int64_t first, int64_t last, Vector<T>* out) {
  auto conv = ConvRowsOf<T, 0, 0, 0>;
  if (w.size < 10 && w.dilation < 10) {
    switch (w.stride * 100 + w.size * 10 + w.dilation) {
      case 111: conv = ConvRowsOf<T, 1, 1, 1>; break;
      case 131: conv = ConvRowsOf<T, 3, 1, 1>; break;
      case 132: conv = ConvRowsOf<T, 3, 1, 2>; break;
      case 151: conv = ConvRowsOf<T, 5, 1, 1>; break;
      case 152: conv = ConvRowsOf<T, 5, 1, 2>; break;
      case 231: conv = ConvRowsOf<T, 3, 2, 1>; break;
      case 232: conv = ConvRowsOf<T, 3, 2, 2>; break;
      case 251: conv = ConvRowsOf<T, 5, 2, 1>; break;
      case 252: conv = ConvRowsOf<T, 5, 2, 2>; break;
    }
  }
  conv(w, block, kernel, first, last, out);
}

template <typename T>
void ConvBlock(const Window& w, const Vector<T>* block,
               const Vector<T>* kernel, Vector<T>* out) {
  ConvRows<T>(w, block, kernel, 0, w.out_height, out);
}

// The gradient of kRows x kTaps neighbouring taps of a kernel, from `grad` on;
// `block` is where the first of them begins. As many as there are registers.
template <typename T, int kRows, int kTaps>
void KernelGradTaps(const Window& w, const Vector<T>* block,
                    const Vector<T>* g, int64_t g_row, int64_t g_step,
                    Vector<T>* grad) {
  const int64_t x_row = w.padded_row();
  const int64_t stride = w.stride, dilation = w.dilation;
  Vector<T> sums[kRows * kTaps];
#pragma GCC unroll 15
  for (int tap = 0; tap < kRows * kTaps; ++tap) sums[tap] = Vector<T>{};
  for (int64_t row = 0; row < w.out_height; ++row) {
    const Vector<T>*x = block + row * stride * x_row, *from = g + row * g_row;
    for (int64_t column = 0; column < w.out_width; ++column) {
      const Vector<T> gradient = *from;
#pragma GCC unroll 15
      for (int tap = 0; tap < kRows * kTaps; ++tap) {
        const int64_t at = dilation * (tap / kTaps * x_row + tap % kTaps);
        AddProduct(sums[tap], x[at], gradient);
      }
      x += stride;
      from += g_step;
    }
  }
#pragma GCC unroll 15
  for (int tap = 0; tap < kRows * kTaps; ++tap) {
    grad[tap / kTaps * w.size + tap % kTaps] = sums[tap];
  }
}

// The kernel's gradient, (size, size): of a padded block and g, pixels g_step
// apart in rows g_row apart.
template <typename T>
void KernelGradBlock(const Window& w, const Vector<T>* block,
                     const Vector<T>* g, int64_t g_row, int64_t g_step,
                     Vector<T>* grad) {
  auto add = [&](auto taps, int64_t row, int64_t column) {
    taps(w, block + w.dilation * (row * w.padded_row() + column), g, g_row,
         g_step, grad + row * w.size + column);
  };
  if (w.size == 3) {
    add(KernelGradTaps<T, 3, 3>, 0, 0);
  } else if (w.size == 5) {
    add(KernelGradTaps<T, 3, 5>, 0, 0);
    add(KernelGradTaps<T, 2, 5>, 3, 0);
  } else if (w.size == 7) {
    for (int64_t row : {0, 2, 4}) add(KernelGradTaps<T, 2, 7>, row, 0);
    add(KernelGradTaps<T, 1, 7>, 6, 0);
  } else {
    for (int64_t i = 0; i < w.size * w.size; ++i) {
      add(KernelGradTaps<T, 1, 1>, i / w.size, i % w.size);
    }
  }
}

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_CONVOLVE_H_
