// Products of matrices and blocks of channels, and where gradients go.

#ifndef OPP_DARTS_JAX_KERNELS_PRODUCTS_H_
#define OPP_DARTS_JAX_KERNELS_PRODUCTS_H_

#include "blocks.h"

namespace opp_darts {

// out(pixel) = in(pixel) @ matrix, all in blocks of channels; the number of
// pixels is a multiple of 4.
template <typename T, int kPixels>
[[gnu::always_inline]] inline void MatMulPixels(const Vector<T>* in,
                                                int64_t channels,
                                                int64_t pixels,
                                                const Vector<T>* matrix,
                                                Vector<T>* out) {
  Vector<T> sums[kPixels];
#pragma GCC unroll 16
  for (int u = 0; u < kPixels; ++u) sums[u] = Vector<T>{};
  for (int64_t first = 0; first < channels; first += kLanes<T>) {
    const int64_t lanes = std::min<int64_t>(kLanes<T>, channels - first);
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const Vector<T> row = matrix[first + lane];
#pragma GCC unroll 16
      for (int u = 0; u < kPixels; ++u) {
        AddProduct(sums[u], Lane(in + u, lane), row);
      }
    }
    in += pixels;
  }
#pragma GCC unroll 16
  for (int u = 0; u < kPixels; ++u) out[u] = sums[u];
}

template <typename T>
void MatMul(const Vector<T>* in, int64_t channels, int64_t pixels,
            const Vector<T>* matrix, int64_t out_channels, Vector<T>* out) {
  for (int64_t b = 0; b < NumBlocks<T>(out_channels); ++b) {
    int64_t at = 0;
    constexpr int kPixels = Types<T>::kPixels;
    for (; at + kPixels <= pixels; at += kPixels) {
      MatMulPixels<T, kPixels>(in + at, channels, pixels, matrix, out + at);
    }
    if (at < pixels) {
      MatMulPixels<T, 4>(in + at, channels, pixels, matrix, out + at);
    }
    matrix += channels;
    out += pixels;
  }
}

// The sums over pixels of the products of a channel of x with a block of g.
template <typename T>
void OuterProducts(const Vector<T>* x, const Vector<T>* g, int64_t pixels,
                   Vector<T>* sums) {
  Vector<T> totals[kLanes<T>];
#pragma GCC unroll 16
  for (int lane = 0; lane < kLanes<T>; ++lane) totals[lane] = Vector<T>{};
  for (int64_t i = 0; i < pixels; ++i) {
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes<T>; ++lane) {
      AddProduct(totals[lane], Lane(x + i, lane), g[i]);
    }
  }
#pragma GCC unroll 16
  for (int lane = 0; lane < kLanes<T>; ++lane) sums[lane] = totals[lane];
}

// Rows of a gradient, from row `first` on, to where the transposed convolution
// `back` of a window reads them.
template <typename T>
inline void SpreadRows(const Vector<T>* g, const Window& w, const Window& back,
                       int64_t first, int64_t rows, Vector<T>* spread) {
  for (int64_t row = 0; row < rows; ++row) {
    Vector<T>* to = spread + back.pad() +
                    ((first + row) * w.stride + back.pad()) *
                        back.padded_row();
    for (int64_t i = 0; i < w.out_width; ++i) {
      to[i * w.stride] = g[row * w.out_row() + i];
    }
  }
}

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_PRODUCTS_H_
