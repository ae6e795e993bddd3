// Images in blocks of channels, and the loops over them that are convolutions.
//
// A block has as many channels as a vector has lanes. With the padding of a
// convolution around it, inner loops read contiguous vectors, keep their sums
// in registers and know no borders. Rows of results are as long as a multiple
// of 4 pixels; what lies beyond their width is to be ignored.

#ifndef OPP_DARTS_JAX_KERNELS_BLOCKS_H_
#define OPP_DARTS_JAX_KERNELS_BLOCKS_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "dual.h"
#include "team.h"

namespace opp_darts {

template <typename T>
int64_t NumBlocks(int64_t channels) {
  return (channels + kLanes<T> - 1) / kLanes<T>;
}

// Vectors with no value yet, and vectors of zeros.
template <typename T>
std::unique_ptr<Vector<T>[]> Scratch(int64_t size) {
  return std::unique_ptr<Vector<T>[]>(new Vector<T>[size]);
}
template <typename T>
std::unique_ptr<Vector<T>[]> Zeros(int64_t size) {
  auto zeros = Scratch<T>(size);
  std::memset(static_cast<void*>(zeros.get()), 0, size * sizeof(Vector<T>));
  return zeros;
}

// One side of a convolution's geometry.
struct Window {
  int64_t height, width;          // Of the input.
  int64_t out_height, out_width;  // Of the result.
  int64_t size, stride, dilation;
  int64_t step = 1;  // Only every step-th pixel of the input is not zero.

  int64_t pad() const { return dilation * (size - 1) / 2; }
  int64_t out_row() const { return (out_width + 3) / 4 * 4; }
  int64_t out_pixels() const { return out_height * out_row(); }
  int64_t padded_row() const {
    int64_t read = (out_row() - 1) * stride + (size - 1) * dilation + 1;
    return std::max({width + 2 * pad(), read, (width + 3) / 4 * 4 + pad()});
  }
  int64_t padded_pixels() const {
    return (height + 2 * pad()) * padded_row();
  }
  // The convolution that gives a gradient, spread out by the stride, back.
  Window Transposed() const {
    return {height, width, height, width, size, 1, dilation, stride};
  }
};

// The sum of value(i) for i < count, by several sums at a time.
template <typename T, typename Value>
Vector<T> Sum(int64_t count, Value value) {
  Vector<T> sums[4] = {};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (int u = 0; u < 4; ++u) sums[u] += value(i + u);
  }
  for (; i < count; ++i) sums[0] += value(i);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Mean and sum of squared distances from it, lane by lane, of values that come
// in parts.
template <typename T>
struct Spread {
  Vector<T> mean = {}, squares = {};
  Plain<T> count = 0;

  void Add(const Vector<T>& part_mean, const Vector<T>& part_squares,
           Plain<T> part_count) {
    const Vector<T> away = part_mean - mean;
    const Plain<T> total = count + part_count;
    mean += away * (part_count / total);
    squares += part_squares + away * away * (count * part_count / total);
    count = total;
  }

  // Values of `rows` rows of `width`, `row` apart.
  void AddRows(const Vector<T>* values, int64_t rows, int64_t width,
               int64_t row) {
    const Plain<T> n = rows * width;
    Vector<T> sum = {}, part_squares = {};
    for (int64_t i = 0; i < rows; ++i) {
      const Vector<T>* of = values + i * row;
      sum += Sum<T>(width, [&](int64_t j) { return of[j]; });
    }
    const Vector<T> centre = sum / n;
    for (int64_t i = 0; i < rows; ++i) {
      const Vector<T>* of = values + i * row;
      part_squares += Sum<T>(width, [&](int64_t j) {
        const Vector<T> away = of[j] - centre;
        return away * away;
      });
    }
    Add(centre, part_squares, n);
  }
};

// Mean and variance over all images, each of the same number of values, from
// (images, blocks of channels) spreads.
template <typename T>
void MergeMoments(const std::vector<Spread<T>>& spreads, int64_t images,
                  int64_t channels, T* mean, T* var) {
  const int64_t blocks = NumBlocks<T>(channels);
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t block = c / kLanes<T>, lane = c % kLanes<T>;
    auto of = [&](int64_t i) { return &spreads[i * blocks + block]; };
    using Wide = decltype(T{} * 1.0);
    Wide sum = {}, squares = {};
    for (int64_t i = 0; i < images; ++i) sum += Lane(&of(i)->mean, lane) * 1.0;
    const Wide centre = sum / images;
    for (int64_t i = 0; i < images; ++i) {
      const Wide away = Lane(&of(i)->mean, lane) * 1.0 - centre;
      squares += Lane(&of(i)->squares, lane) * 1.0 / of(i)->count + away * away;
    }
    mean[c] = centre;
    var[c] = squares / images;
  }
}

// A matrix (rows, columns) as vectors (blocks of columns, rows).
template <typename T>
std::unique_ptr<Vector<T>[]> LoadMatrix(const T* matrix, int64_t rows,
                                        int64_t columns) {
  auto blocks = Scratch<T>(NumBlocks<T>(columns) * rows);
  for (int64_t b = 0; b < NumBlocks<T>(columns); ++b) {
    for (int64_t row = 0; row < rows; ++row) {
      int64_t first = b * kLanes<T>;
      blocks[b * rows + row] =
          Load(matrix + row * columns + first, columns - first);
    }
  }
  return blocks;
}

// out(row, column) = map(one block of channels of image(row, column)).
template <typename T, typename Map>
void LoadBlock(Array<T> image, int64_t height, int64_t width, int64_t channels,
               int64_t block, int64_t out_row, Vector<T>* out, Map map) {
  int64_t first = block * kLanes<T>;
  for (int64_t row = 0; row < height; ++row) {
    const Array<T> from = image + (row * width * channels + first);
    Vector<T>* to = out + row * out_row;
    for (int64_t i = 0; i < width; ++i) {
      to[i] = map(Load(from + i * channels, channels - first));
    }
  }
}

template <typename T>
void LoadBlock(Array<T> image, int64_t height, int64_t width, int64_t channels,
               int64_t block, int64_t out_row, Vector<T>* out) {
  LoadBlock<T>(image, height, width, channels, block, out_row, out,
               [](const Vector<T>& v) { return v; });
}

template <typename T, typename To>
void StoreBlock(const Vector<T>* block, int64_t block_row, int64_t height,
                int64_t width, int64_t channels, int64_t index, To image) {
  int64_t first = index * kLanes<T>;
  for (int64_t row = 0; row < height; ++row) {
    const To to = image + (row * width * channels + first);
    for (int64_t i = 0; i < width; ++i) {
      Store(block[row * block_row + i], to + i * channels, channels - first);
    }
  }
}

// Adds a block to its channels of an image.
template <typename T, typename To>
void AddBlock(const Vector<T>* block, int64_t block_row, int64_t height,
              int64_t width, int64_t channels, int64_t index, To image) {
  int64_t first = index * kLanes<T>, lanes = channels - first;
  for (int64_t row = 0; row < height; ++row) {
    To to = image + (row * width * channels + first);
    for (int64_t i = 0; i < width; ++i, to += channels) {
      Store(block[row * block_row + i] + Load(to, lanes), to, lanes);
    }
  }
}

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

#endif  // OPP_DARTS_JAX_KERNELS_BLOCKS_H_
