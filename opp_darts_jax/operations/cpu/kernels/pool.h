// 3x3 pools with padding 1, the moments of what they give, and gradients.

#ifndef OPP_DARTS_JAX_KERNELS_POOL_H_
#define OPP_DARTS_JAX_KERNELS_POOL_H_

#include <limits>

#include "blocks.h"

namespace opp_darts {

template <typename T>
struct Pool {
  Team& team;
  Window w;  // Of size 3.
  int64_t batch, channels;
  bool largest;  // The largest pixel, or the mean without the padding.
  Array<T> x;

  int64_t blocks() const { return NumBlocks<T>(channels); }
  int64_t products() const { return 9 * batch * w.out_pixels() * channels; }
  int64_t out_image(int64_t index) const {
    return index * w.out_height * w.out_width * channels;
  }

  // Pixels of the window around one of the result, but for the padding.
  Plain<T> Pixels(int64_t row, int64_t column) const {
    auto of = [](int64_t middle, int64_t size) {
      return std::min(middle + 2, size) - std::max<int64_t>(middle - 1, 0);
    };
    return of(row * w.stride, w.height) * of(column * w.stride, w.width);
  }

  // A block of an image of x, as the padding wants it.
  void LoadX(int64_t index, int64_t block, Vector<T>* padded) const {
    LoadBlock<T>(x + index * w.height * w.width * channels, w.height, w.width,
                 channels, block, w.padded_row(),
                 padded + w.pad() * (w.padded_row() + 1));
  }
  std::unique_ptr<Vector<T>[]> Padded() const {
    auto padded = Zeros<T>(w.padded_pixels());
    if (largest) {
      const Vector<T> least = Vector<T>{} - std::numeric_limits<Plain<T>>::infinity();
      std::fill_n(padded.get(), w.padded_pixels(), least);
    }
    return padded;
  }

  // The result at a pixel whose window begins at `window`.
  Vector<T> At(const Vector<T>* window, int64_t row, int64_t column) const {
    Vector<T> result = *window;
    for (int64_t tap = 1; tap < 9; ++tap) {
      const Vector<T> v = window[tap / 3 * w.padded_row() + tap % 3];
      if (largest) {
        // NaN stays.
        const auto larger = Value(v) > Value(result);
        result = Select(larger | (Value(v) != Value(v)), v, result);
      } else {
        result += v;
      }
    }
    return largest ? result : result / Pixels(row, column);
  }

  // The moments are left out if there is no place for the mean.
  void Forward(Array<T> y, T* mean, T* var) const {
    std::vector<Spread<T>> spreads(batch * blocks());
    team.Run(batch, products(), [&] {
      return [&, padded = Padded(),
              out = Scratch<T>(w.out_pixels())](int64_t index) {
        for (int64_t b = 0; b < blocks(); ++b) {
          LoadX(index, b, padded.get());
          for (int64_t row = 0; row < w.out_height; ++row) {
            for (int64_t i = 0; i < w.out_width; ++i) {
              const Vector<T>* window =
                  padded.get() + (row * w.padded_row() + i) * w.stride;
              out[row * w.out_row() + i] = At(window, row, i);
            }
          }
          if (mean) {
            spreads[index * blocks() + b].AddRows(out.get(), w.out_height,
                                                  w.out_width, w.out_row());
          }
          StoreBlock<T>(out.get(), w.out_row(), w.out_height, w.out_width,
                        channels, b, y + out_image(index));
        }
      };
    });
    if (mean) MergeMoments(spreads, batch, channels, mean, var);
  }

  // Adds to dx what passes through the pool. gradient(image, block, g) fills g
  // (out_height, out_row), what reaches the result.
  template <typename Gradient>
  void Backward(Gradient gradient, Results<T> dx) const {
    team.Run(batch, 3 * products(), [&] {
      return [&, padded = Padded(), g = Scratch<T>(w.out_pixels()),
              grad = Scratch<T>(w.padded_pixels())](int64_t index) {
        const Results<T> to = dx + index * w.height * w.width * channels;
        for (int64_t b = 0; b < blocks(); ++b) {
          gradient(index, b, g.get());
          if (largest) LoadX(index, b, padded.get());
          std::fill_n(grad.get(), w.padded_pixels(), Vector<T>{});
          for (int64_t row = 0; row < w.out_height; ++row) {
            for (int64_t i = 0; i < w.out_width; ++i) {
              const int64_t at = (row * w.padded_row() + i) * w.stride;
              Give(padded.get() + at, row, i, g[row * w.out_row() + i],
                   grad.get() + at);
            }
          }
          AddBlock<T>(grad.get() + w.pad() * (w.padded_row() + 1),
                      w.padded_row(), w.height, w.width, channels, b, to);
        }
      };
    });
  }

  // Gives a pixel's gradient back to its window: the first of the largest
  // takes it, or all the same share.
  void Give(const Vector<T>* window, int64_t row, int64_t column, Vector<T> g,
            Vector<T>* grad) const {
    if (!largest) {
      g = g / Pixels(row, column);
      for (int64_t tap = 0; tap < 9; ++tap) {
        grad[tap / 3 * w.padded_row() + tap % 3] += g;
      }
      return;
    }
    const Vector<T> best = At(window, row, column), zero = {};
    for (int64_t tap = 0; tap < 9; ++tap) {
      const int64_t at = tap / 3 * w.padded_row() + tap % 3;
      const auto taken = Value(window[at]) == Value(best);
      grad[at] += Select(taken, g, zero);
      g = Select(taken, zero, g);
    }
  }
};

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_POOL_H_
