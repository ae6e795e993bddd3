// ReLU, depthwise and 1x1 convolution and the moments of what they give, in one
// pass over each image, and their gradients in another.
//
// Of input x (B, H, W, C), shift and scale (C), kernel (k, k, C), pointwise
// (C, D):
//   u = relu((x - shift) * scale),  d = depthwise(u, kernel),
//   y = d @ pointwise,  mean and var over all but D.

#ifndef OPP_DARTS_JAX_KERNELS_UNIT_H_
#define OPP_DARTS_JAX_KERNELS_UNIT_H_

#include "blocks.h"

namespace opp_darts {

// out(pixel) = in(pixel) @ matrix, all in blocks of channels; the number of
// pixels is a multiple of 4.
template <typename T, int kPixels>
void MatMulPixels(const Vector<T>* in, int64_t channels, int64_t pixels,
                  int64_t at, const Vector<T>* matrix, Vector<T>* out) {
  Vector<T> sums[kPixels] = {};
  for (int64_t first = 0; first < channels; first += kLanes<T>) {
    const T* x = reinterpret_cast<const T*>(in + at);
    int64_t lanes = std::min<int64_t>(kLanes<T>, channels - first);
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const Vector<T> row = matrix[first + lane];
      for (int u = 0; u < kPixels; ++u) {
        sums[u] += x[u * kLanes<T> + lane] * row;
      }
    }
    in += pixels;
  }
  for (int u = 0; u < kPixels; ++u) out[at + u] = sums[u];
}

template <typename T>
void MatMul(const Vector<T>* in, int64_t channels, int64_t pixels,
            const Vector<T>* matrix, int64_t out_channels, Vector<T>* out) {
  for (int64_t b = 0; b < NumBlocks<T>(out_channels); ++b) {
    int64_t at = 0;
    for (; at + 8 <= pixels; at += 8) {
      MatMulPixels<T, 8>(in, channels, pixels, at, matrix, out);
    }
    for (; at < pixels; at += 4) {
      MatMulPixels<T, 4>(in, channels, pixels, at, matrix, out);
    }
    matrix += channels;
    out += pixels;
  }
}

// The sums over pixels of the products of a channel of x with a block of g.
template <typename T>
void OuterProducts(const Vector<T>* x, const Vector<T>* g, int64_t pixels,
                   Vector<T>* sums) {
  Vector<T> totals[kLanes<T>] = {};
  const T* value = reinterpret_cast<const T*>(x);
  for (int64_t i = 0; i < pixels; ++i, value += kLanes<T>) {
    for (int lane = 0; lane < kLanes<T>; ++lane) {
      totals[lane] += value[lane] * g[i];
    }
  }
  std::copy(totals, totals + kLanes<T>, sums);
}

template <typename T>
struct Unit {
  ffi::ThreadPool pool;
  Window w;
  int64_t batch, channels, out_channels;
  const T *x, *shift, *scale, *kernel, *pointwise;

  int64_t in_blocks() const { return NumBlocks<T>(channels); }
  int64_t out_blocks() const { return NumBlocks<T>(out_channels); }
  int64_t taps() const { return w.size * w.size; }
  int64_t count() const { return batch * w.out_height * w.out_width; }
  int64_t products() const {
    return count() * channels * (taps() + out_channels);
  }
  const T* image(const T* images, int64_t index) const {
    return images + index * w.height * w.width * channels;
  }
  int64_t out_image(int64_t index) const {
    return index * w.out_height * w.out_width * out_channels;
  }

  // u, padded, and d of an image.
  void Depthwise(int64_t index, const Vector<T>* kernels, Vector<T>* u,
                 Vector<T>* d) const {
    const Vector<T> zero = {};
    for (int64_t b = 0; b < in_blocks(); ++b) {
      int64_t first = b * kLanes<T>;
      const Vector<T> m = Load(shift + first, channels - first);
      const Vector<T> r = Load(scale + first, channels - first);
      LoadBlock(image(x, index), w.height, w.width, channels, b,
                w.padded_row(), u + w.pad() * (w.padded_row() + 1),
                [&](Vector<T> v) {
                  v = (v - m) * r;
                  return v < zero ? zero : v;  // NaN stays.
                });
      ConvBlock<T>(w, u, kernels + b * taps(), d);
      u += w.padded_pixels();
      d += w.out_pixels();
    }
  }

  // The sum of value(pixel) over the pixels of a result.
  template <typename Value>
  Vector<T> SumRows(const Vector<T>* block, Value value) const {
    Vector<T> sum = {};
    for (int64_t row = 0; row < w.out_height; ++row, block += w.out_row()) {
      sum += Sum<T>(w.out_width, [&](int64_t i) { return value(block[i]); });
    }
    return sum;
  }

  void Forward(T* y, T* mean, T* var) const {
    auto kernels = LoadMatrix(kernel, taps(), channels);
    auto matrix = LoadMatrix(pointwise, channels, out_channels);
    // Of each image: the mean, and the sum of squared distances from it.
    std::vector<T> moments(batch * 2 * out_blocks() * kLanes<T>);
    Parallel(pool, batch, products(), [&](int64_t index) {
      auto u = Zeros<T>(in_blocks() * w.padded_pixels());
      auto d = Scratch<T>(in_blocks() * w.out_pixels());
      auto out = Scratch<T>(out_blocks() * w.out_pixels());
      Depthwise(index, kernels.get(), u.get(), d.get());
      MatMul<T>(d.get(), channels, w.out_pixels(), matrix.get(), out_channels,
                out.get());
      const T pixels = w.out_height * w.out_width;
      for (int64_t b = 0; b < out_blocks(); ++b) {
        const Vector<T>* block = out.get() + b * w.out_pixels();
        const Vector<T> centre =
            SumRows(block, [](Vector<T> v) { return v; }) / pixels;
        const Vector<T> squares = SumRows(block, [&](Vector<T> v) {
          v -= centre;
          return v * v;
        });
        T* to = moments.data() + (index * out_blocks() + b) * 2 * kLanes<T>;
        Store(centre, to, kLanes<T>);
        Store(squares, to + kLanes<T>, kLanes<T>);
        StoreBlock(block, w.out_row(), w.out_height, w.out_width,
                   out_channels, b, y + out_image(index));
      }
    });
    for (int64_t c = 0; c < out_channels; ++c) {
      const T* of = moments.data() + c / kLanes<T> * 2 * kLanes<T> +
                    c % kLanes<T>;
      int64_t each = out_blocks() * 2 * kLanes<T>;
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < batch; ++i) sum += of[i * each];
      double centre = sum / batch;
      for (int64_t i = 0; i < batch; ++i) {
        double away = of[i * each] - centre;
        squares += of[i * each + kLanes<T>] / double(count() / batch) +
                   away * away;
      }
      mean[c] = centre;
      var[c] = squares / batch;
    }
  }

  // What reaches y directly is y * factor, channel by channel. What the unit
  // gave, if it was kept, saves computing it anew.
  struct OutputGradients {
    const T *y, *factor, *mean, *var;
    const T* given = nullptr;
  };
  struct Gradients {
    T *x, *shift, *scale, *kernel, *pointwise;
    bool add_to_x = false;
  };

  void Backward(const T* mean, OutputGradients g_out, Gradients out) const {
    auto kernels = LoadMatrix(kernel, taps(), channels);
    std::vector<T> flipped(taps() * channels);
    for (int64_t i = 0; i < taps(); ++i) {
      std::copy(kernel + i * channels, kernel + (i + 1) * channels,
                flipped.data() + (taps() - 1 - i) * channels);
    }
    auto back_kernels = LoadMatrix(flipped.data(), taps(), channels);
    auto matrix = LoadMatrix(pointwise, channels, out_channels);
    std::vector<T> transposed(channels * out_channels);
    for (int64_t i = 0; i < channels * out_channels; ++i) {
      transposed[i % out_channels * channels + i / out_channels] =
          pointwise[i];
    }
    auto back_matrix = LoadMatrix(transposed.data(), out_channels, channels);
    const Window back = w.Transposed();
    // Of each image, in a row: the gradients of kernel, pointwise, shift, scale.
    const int64_t weights =
        (taps() + out_channels + 2) * channels;
    std::vector<T> grads(batch * weights);
    Parallel(pool, batch, 3 * products(), [&](int64_t index) {
      auto u = Zeros<T>(in_blocks() * w.padded_pixels());
      auto d = Scratch<T>(in_blocks() * w.out_pixels());
      auto g = Zeros<T>(out_blocks() * w.out_pixels());
      auto gd = Scratch<T>(in_blocks() * w.out_pixels());
      auto spread = Zeros<T>(back.padded_pixels());
      auto du = Scratch<T>(back.out_pixels());
      auto kernel_grad = Scratch<T>(taps());
      T* to = grads.data() + index * weights;
      Depthwise(index, kernels.get(), u.get(), d.get());
      OutputGradient(index, d.get(), matrix.get(), mean, g_out, g.get());
      PointwiseGradient(d.get(), g.get(), to + taps() * channels);
      MatMul<T>(g.get(), out_channels, w.out_pixels(), back_matrix.get(),
                channels, gd.get());
      for (int64_t b = 0; b < in_blocks(); ++b) {
        const Vector<T>* gb = gd.get() + b * w.out_pixels();
        const Vector<T>* ub = u.get() + b * w.padded_pixels();
        KernelGradBlock<T>(w, ub, gb, kernel_grad.get());
        StoreBlock(kernel_grad.get(), taps(), 1, taps(), channels, b, to);
        for (int64_t row = 0; row < w.out_height; ++row) {
          for (int64_t i = 0; i < w.out_width; ++i) {
            int64_t at = (row * w.stride + back.pad()) * back.padded_row() +
                         i * w.stride + back.pad();
            spread[at] = gb[row * w.out_row() + i];
          }
        }
        ConvBlock<T>(back, spread.get(), back_kernels.get() + b * taps(),
                     du.get());
        InputGradient(b, ub + w.pad() * (w.padded_row() + 1), back, du.get(),
                      const_cast<T*>(image(out.x, index)), out.add_to_x,
                      to + (taps() + out_channels) * channels);
      }
    });
    std::vector<T> total(weights);
    for (int64_t index = 0; index < batch; ++index) {
      for (int64_t i = 0; i < weights; ++i) {
        total[i] += grads[index * weights + i];
      }
    }
    const T* from = total.data();
    for (auto [to, size] : {std::pair(out.kernel, taps()),
                            std::pair(out.pointwise, out_channels),
                            std::pair(out.shift, int64_t{1}),
                            std::pair(out.scale, int64_t{1})}) {
      std::copy(from, from + size * channels, to);
      from += size * channels;
    }
  }

  // What reaches y: directly, and through its mean and variance.
  void OutputGradient(int64_t index, const Vector<T>* d,
                      const Vector<T>* matrix, const T* mean,
                      const OutputGradients& g_out, Vector<T>* g) const {
    auto y = Scratch<T>(out_blocks() * w.out_pixels());
    if (!g_out.given) {
      MatMul<T>(d, channels, w.out_pixels(), matrix, out_channels, y.get());
    }
    const T each = T(1) / count();
    for (int64_t b = 0; b < out_blocks(); ++b) {
      int64_t first = b * kLanes<T>, lanes = out_channels - first;
      const Vector<T> centre = Load(mean + first, lanes);
      const Vector<T> direct = Load(g_out.factor + first, lanes);
      const Vector<T> constant = Load(g_out.mean + first, lanes) * each;
      const Vector<T> slope = Load(g_out.var + first, lanes) * (2 * each);
      Vector<T>* to = g + b * w.out_pixels();
      Vector<T>* block = y.get() + b * w.out_pixels();
      if (g_out.given) {
        LoadBlock(g_out.given + out_image(index), w.out_height, w.out_width,
                  out_channels, b, w.out_row(), block);
      }
      LoadBlock(g_out.y + out_image(index), w.out_height, w.out_width,
                out_channels, b, w.out_row(), to,
                [&](Vector<T> v) { return v * direct; });
      // Beyond a row's width g stays zero.
      for (int64_t row = 0; row < w.out_height; ++row) {
        for (int64_t i = 0; i < w.out_width; ++i) {
          int64_t at = row * w.out_row() + i;
          to[at] += constant + slope * (block[at] - centre);
        }
      }
    }
  }

  void PointwiseGradient(const Vector<T>* d, const Vector<T>* g,
                         T* grad) const {
    Vector<T> sums[kLanes<T>];
    for (int64_t b = 0; b < in_blocks(); ++b) {
      for (int64_t c = 0; c < out_blocks(); ++c) {
        OuterProducts<T>(d + b * w.out_pixels(), g + c * w.out_pixels(),
                         w.out_pixels(), sums);
        int64_t lanes = std::min<int64_t>(kLanes<T>, channels - b * kLanes<T>);
        for (int64_t lane = 0; lane < lanes; ++lane) {
          T* to = grad + (b * kLanes<T> + lane) * out_channels + c * kLanes<T>;
          Store(sums[lane], to, out_channels - c * kLanes<T>);
        }
      }
    }
  }

  // Through the ReLU, the scale and the shift; ends in their two sums.
  void InputGradient(int64_t b, const Vector<T>* u, const Window& back,
                     Vector<T>* du, T* dx, bool add, T* sums) const {
    int64_t first = b * kLanes<T>, lanes = channels - first;
    const Vector<T> r = Load(scale + first, lanes);
    const Vector<T> zero = {};
    Vector<T> sum = {}, product = {};
    for (int64_t row = 0; row < w.height; ++row) {
      const Vector<T>* value = u + row * w.padded_row();
      Vector<T>* g = du + row * back.out_row();
      for (int64_t i = 0; i < w.width; ++i) {
        g[i] = value[i] > zero ? g[i] : zero;
      }
      sum += Sum<T>(w.width, [&](int64_t i) { return g[i]; });
      product += Sum<T>(w.width, [&](int64_t i) { return g[i] * value[i]; });
      for (int64_t i = 0; i < w.width; ++i) g[i] *= r;
    }
    if (add) {
      for (int64_t row = 0; row < w.height; ++row) {
        const T* from = dx + row * w.width * channels + first;
        for (int64_t i = 0; i < w.width; ++i) {
          du[row * back.out_row() + i] += Load(from + i * channels, lanes);
        }
      }
    }
    StoreBlock(du, back.out_row(), w.height, w.width, channels, b, dx);
    // Where the gradient passes, x - shift is u / scale.
    Store<T>(-sum * r, sums + first, lanes);
    Store<T>(r != zero ? product / r : zero, sums + channels + first, lanes);
  }
};

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_UNIT_H_
