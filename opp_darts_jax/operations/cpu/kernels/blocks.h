// Images in blocks of channels: how they are loaded, stored and summed.
//
// A block has as many channels as a vector has lanes. With the padding of a
// convolution around it, inner loops read contiguous vectors, keep their sums
// in registers and know no borders (convolve.h). Rows of results are as long as
// a multiple of 4 pixels; what lies beyond their width is to be ignored.

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

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_BLOCKS_H_
