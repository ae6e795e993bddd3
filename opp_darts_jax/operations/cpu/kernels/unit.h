// ReLU, depthwise and 1x1 convolution and the moments of what they give, in one
// pass over each image, and their gradients in another.
//
// Of input x (B, H, W, C), shift and scale (C), kernel (k, k, C), pointwise
// (C, D):
//   u = relu((x - shift) * scale),  d = depthwise(u, kernel),
//   y = d @ pointwise,  mean and var over all but D.

#ifndef OPP_DARTS_JAX_KERNELS_UNIT_H_
#define OPP_DARTS_JAX_KERNELS_UNIT_H_

#include "convolve.h"
#include "products.h"

namespace opp_darts {
template <typename T>
struct Unit {
  Team& team;
  Window w;
  int64_t batch, channels, out_channels;
  Array<T> x;
  const T *shift, *scale, *kernel, *pointwise;

  int64_t in_blocks() const { return NumBlocks<T>(channels); }
  int64_t out_blocks() const { return NumBlocks<T>(out_channels); }
  int64_t taps() const { return w.size * w.size; }
  int64_t count() const { return batch * w.out_height * w.out_width; }
  int64_t products() const {
    return count() * channels * (taps() + out_channels);
  }
  int64_t image(int64_t index) const {
    return index * w.height * w.width * channels;
  }
  int64_t out_image(int64_t index) const {
    return index * w.out_height * w.out_width * out_channels;
  }

  // u of an image, into what lies within its padding.
  void Rectified(int64_t index, Vector<T>* u) const {
    const Vector<T> zero = {};
    for (int64_t b = 0; b < in_blocks(); ++b, u += w.padded_pixels()) {
      int64_t first = b * kLanes<T>;
      const Vector<T> m = Load(shift + first, channels - first);
      const Vector<T> r = Load(scale + first, channels - first);
      LoadBlock<T>(x + image(index), w.height, w.width, channels, b,
                   w.padded_row(), u + w.pad() * (w.padded_row() + 1),
                   [&](Vector<T> v) {
                     v = (v - m) * r;
                     // NaN stays.
                     return Select(Value(v) <= Value(zero), zero, v);
                   });
    }
  }

  // Rows of d from `first` to before `last`, of u: (blocks, rows, out_row).
  void Depthwise(const Vector<T>* u, const Vector<T>* kernels, int64_t first,
                 int64_t last, Vector<T>* d) const {
    for (int64_t b = 0; b < in_blocks(); ++b) {
      ConvRows<T>(w, u + b * w.padded_pixels(), kernels + b * taps(), first,
                  last, d + b * (last - first) * w.out_row());
    }
  }

  // So many rows at a time stay in the first cache, from d to y.
  int64_t strip() const {
    return std::max<int64_t>(1, 64 / w.out_row());
  }

  // The moments are left out if there is no place for the mean.
  void Forward(Array<T> y, T* mean, T* var) const {
    auto kernels = LoadMatrix(kernel, taps(), channels);
    auto matrix = LoadMatrix(pointwise, channels, out_channels);
    std::vector<Spread<T>> spreads(batch * out_blocks());
    team.Run(batch, products(), [&] {
      return [&, u = Zeros<T>(in_blocks() * w.padded_pixels()),
              d = Scratch<T>(in_blocks() * strip() * w.out_row()),
              out = Scratch<T>(out_blocks() * strip() * w.out_row())](
                 int64_t index) {
        Rectified(index, u.get());
        for (int64_t first = 0; first < w.out_height; first += strip()) {
          const int64_t rows = std::min(strip(), w.out_height - first);
          Depthwise(u.get(), kernels.get(), first, first + rows, d.get());
          MatMul<T>(d.get(), channels, rows * w.out_row(), matrix.get(),
                    out_channels, out.get());
          for (int64_t b = 0; b < out_blocks(); ++b) {
            const Vector<T>* block = out.get() + b * rows * w.out_row();
            if (mean) {
              spreads[index * out_blocks() + b].AddRows(
                  block, rows, w.out_width, w.out_row());
            }
            StoreBlock<T>(block, w.out_row(), rows, w.out_width, out_channels,
                          b,
                          y + (out_image(index) +
                               first * w.out_width * out_channels));
          }
        }
      };
    });
    if (mean) MergeMoments(spreads, batch, out_channels, mean, var);
  }

  // What reaches y directly is y * factor, channel by channel. What the unit
  // gave, if it was kept, saves computing it anew.
  struct OutputGradients {
    Array<T> y;
    const T *factor, *mean, *var;
    Array<T> given = {};
  };
  // The weights' may be left out.
  template <typename To>
  struct Gradients {
    To x;
    T *shift, *scale, *kernel, *pointwise;
    bool add_to_x = false;
  };

  template <typename To>
  void Backward(const T* mean, OutputGradients g_out,
                Gradients<To> out) const {
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
    const int64_t weights = (taps() + out_channels + 2) * channels;
    const int64_t size = strip() * w.out_row();
    std::vector<T> grads(batch * weights);
    team.Run(batch, 3 * products(), [&] {
      return [&, u = Zeros<T>(in_blocks() * w.padded_pixels()),
              d = Scratch<T>(in_blocks() * size),
              g = Scratch<T>(out_blocks() * size), y = Scratch<T>(size),
              gd = Scratch<T>(in_blocks() * size),
              spread = Zeros<T>(in_blocks() * back.padded_pixels()),
              du = Scratch<T>(back_strip() * back.out_row()),
              kernel_grad = Scratch<T>(taps())](int64_t index) {
        T* to = grads.data() + index * weights;
        Rectified(index, u.get());
        for (int64_t first = 0; first < w.out_height; first += strip()) {
          const int64_t rows = std::min(strip(), w.out_height - first);
          const int64_t pixels = rows * w.out_row();
          Depthwise(u.get(), kernels.get(), first, first + rows, d.get());
          OutputGradient(index, first, rows, d.get(), matrix.get(), mean, g_out,
                         y.get(), g.get());
          if (out.pointwise) {
            AddPointwiseGradient(d.get(), g.get(), pixels,
                                 to + taps() * channels);
          }
          MatMul<T>(g.get(), out_channels, pixels, back_matrix.get(), channels,
                    gd.get());
          for (int64_t b = 0; b < in_blocks(); ++b) {
            SpreadRows<T>(gd.get() + b * pixels, w, back, first, rows,
                          spread.get() + b * back.padded_pixels());
          }
        }
        for (int64_t b = 0; b < in_blocks(); ++b) {
          const Vector<T>* ub = u.get() + b * w.padded_pixels();
          const Vector<T>* gb = spread.get() + b * back.padded_pixels();
          if (out.kernel) {
            KernelGradBlock<T>(w, ub, gb + back.pad() * (back.padded_row() + 1),
                               w.stride * back.padded_row(), w.stride,
                               kernel_grad.get());
            StoreBlock<T>(kernel_grad.get(), taps(), 1, taps(), channels, b,
                          to);
          }
          InputGradient(index, b, ub, gb, back,
                        back_kernels.get() + b * taps(), du.get(), out.x,
                        out.add_to_x, to + (taps() + out_channels) * channels);
        }
      };
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
      if (to) std::copy(from, from + size * channels, to);
      from += size * channels;
    }
  }

  // What reaches y: directly, and through its mean and variance; rows of it, and
  // zeros beyond their width. `y` is scratch for a block of them.
  void OutputGradient(int64_t index, int64_t first_row, int64_t rows,
                      const Vector<T>* d, const Vector<T>* matrix,
                      const T* mean, const OutputGradients& g_out, Vector<T>* y,
                      Vector<T>* g) const {
    const Plain<T> each = Plain<T>(1) / count();
    const int64_t at =
        out_image(index) + first_row * w.out_width * out_channels;
    for (int64_t b = 0; b < out_blocks(); ++b, g += rows * w.out_row()) {
      int64_t first = b * kLanes<T>, lanes = out_channels - first;
      const Vector<T> centre = Load(mean + first, lanes);
      const Vector<T> direct = Load(g_out.factor + first, lanes);
      const Vector<T> constant = Load(g_out.mean + first, lanes) * each;
      const Vector<T> slope = Load(g_out.var + first, lanes) * (2 * each);
      auto fill = [&](auto y_of) {
        Array<T> from = g_out.y + (at + first);
        for (int64_t row = 0; row < rows; ++row) {
          Vector<T>* to = g + row * w.out_row();
          for (int64_t i = 0; i < w.out_width; ++i, from += out_channels) {
            to[i] = Load(from, lanes) * direct +
                    (constant + slope * (y_of(row, i) - centre));
          }
          std::fill(to + w.out_width, to + w.out_row(), Vector<T>{});
        }
      };
      if (g_out.given) {
        const Array<T> given = g_out.given + (at + first);
        fill([&](int64_t row, int64_t i) {
          return Load(given + (row * w.out_width + i) * out_channels, lanes);
        });
      } else {
        MatMul<T>(d, channels, rows * w.out_row(), matrix + b * channels,
                  kLanes<T>, y);
        fill([&](int64_t row, int64_t i) { return y[row * w.out_row() + i]; });
      }
    }
  }

  void AddPointwiseGradient(const Vector<T>* d, const Vector<T>* g,
                            int64_t pixels, T* grad) const {
    Vector<T> sums[kLanes<T>];
    for (int64_t b = 0; b < in_blocks(); ++b) {
      for (int64_t c = 0; c < out_blocks(); ++c) {
        OuterProducts<T>(d + b * pixels, g + c * pixels, pixels, sums);
        int64_t lanes = std::min<int64_t>(kLanes<T>, channels - b * kLanes<T>);
        for (int64_t lane = 0; lane < lanes; ++lane) {
          T* to = grad + (b * kLanes<T> + lane) * out_channels + c * kLanes<T>;
          const int64_t others = out_channels - c * kLanes<T>;
          Store(Load(to, others) + sums[lane], to, others);
        }
      }
    }
  }

  int64_t back_strip() const {
    return std::max<int64_t>(1, 64 / w.Transposed().out_row());
  }

  // Of a block, from the spread gradient through the convolution, the ReLU, the
  // scale and the shift; ends in their two sums. `du` is scratch for some rows.
  template <typename To>
  void InputGradient(int64_t index, int64_t b, const Vector<T>* u,
                     const Vector<T>* spread, const Window& back,
                     const Vector<T>* back_kernel, Vector<T>* du, To dx,
                     bool add, T* sums) const {
    int64_t channel = b * kLanes<T>, lanes = channels - channel;
    const Vector<T> r = Load(scale + channel, lanes);
    const Vector<T> zero = {};
    Vector<T> sums_g[4] = {}, sums_gu[4] = {};
    auto put = add ? AddBlock<T, To> : StoreBlock<T, To>;
    for (int64_t first = 0; first < w.height; first += back_strip()) {
      const int64_t rows = std::min(back_strip(), w.height - first);
      ConvRows<T>(back, spread, back_kernel, first, first + rows, du);
      for (int64_t row = 0; row < rows; ++row) {
        // What is beyond the width is padding, where u is 0.
        const Vector<T>* value =
            u + (first + row + w.pad()) * w.padded_row() + w.pad();
        Vector<T>* g = du + row * back.out_row();
        for (int64_t i = 0; i < back.out_row(); i += 4) {
#pragma GCC unroll 4
          for (int64_t j = 0; j < 4; ++j) {
            const Vector<T> v = value[i + j];
            const Vector<T> passed =
                Select(Value(v) > Value(zero), g[i + j], zero);
            sums_g[j] += passed;
            AddProduct(sums_gu[j], passed, v);
            g[i + j] = passed * r;
          }
        }
      }
      put(du, back.out_row(), rows, w.width, channels, b,
          dx + (image(index) + first * w.width * channels));
    }
    const Vector<T> sum = (sums_g[0] + sums_g[1]) + (sums_g[2] + sums_g[3]);
    const Vector<T> product =
        (sums_gu[0] + sums_gu[1]) + (sums_gu[2] + sums_gu[3]);
    Store(-sum * r, sums + channel, lanes);
    // Where the gradient passes, x - shift is u / scale.
    Store(Quotient(product, r), sums + channels + channel, lanes);
  }
};

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_UNIT_H_
