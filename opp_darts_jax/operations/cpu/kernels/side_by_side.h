// Images that lie side by side in the channels of one.
//
// Few channels fill a part of a vector. So several images share one: their
// operations have the same weights, and the moments of a norm are of them all.

#ifndef OPP_DARTS_JAX_KERNELS_SIDE_BY_SIDE_H_
#define OPP_DARTS_JAX_KERNELS_SIDE_BY_SIDE_H_

#include <cstdint>
#include <vector>

#include "dual.h"

namespace opp_darts {

struct SideBySide {
  int64_t images, channels;  // Channels of each of them.

  int64_t width() const { return images * channels; }

  // Rows of an image's channels, the same for each.
  template <typename T>
  std::vector<T> Repeat(const T* rows, int64_t count) const {
    std::vector<T> wide(count * width());
    for (int64_t i = 0; i < count * width(); ++i) {
      wide[i] = rows[i / width() * channels + i % channels];
    }
    return wide;
  }

  // Square matrices of an image's channels, as those of all: they mix no images.
  template <typename T>
  std::vector<T> Repeat2(const T* matrices, int64_t count) const {
    std::vector<T> wide(count * width() * width());
    Matrices(count, [&](int64_t i, int64_t at) { wide[at] = matrices[i]; });
    return wide;
  }

  // What `Repeat` and `Repeat2` make of gradients.
  template <typename T>
  void Sum(const std::vector<T>& wide, int64_t count, T* rows) const {
    std::fill_n(rows, count * channels, T{});
    for (int64_t i = 0; i < count * width(); ++i) {
      rows[i / width() * channels + i % channels] += wide[i];
    }
  }
  template <typename T>
  void Sum2(const std::vector<T>& wide, int64_t count, T* matrices) const {
    std::fill_n(matrices, count * channels * channels, T{});
    Matrices(count, [&](int64_t i, int64_t at) { matrices[i] += wide[at]; });
  }

  // Of each channel the mean over images, for all of them.
  template <typename T>
  void Average(T* values) const {
    const Plain<T> each = Plain<T>(1) / images;
    for (int64_t c = 0; c < channels; ++c) {
      T sum = {};
      for (int64_t i = c; i < width(); i += channels) sum += values[i];
      for (int64_t i = c; i < width(); i += channels) values[i] = sum * each;
    }
  }

  // Of each image's moments those of all images.
  template <typename T>
  void MergeMoments(T* mean, T* var) const {
    std::vector<T> own(mean, mean + width());
    Average(mean);
    for (int64_t i = 0; i < width(); ++i) {
      const T away = own[i] - mean[i];
      var[i] += away * away;
    }
    Average(var);
  }

 private:
  // Calls visit(where in a stack of small matrices, where in one of wide ones).
  template <typename Visit>
  void Matrices(int64_t count, Visit visit) const {
    for (int64_t row = 0; row < count * channels; ++row) {
      const int64_t matrix = row / channels * width() * width();
      for (int64_t i = 0; i < images; ++i) {
        const int64_t first = i * channels;
        for (int64_t c = 0; c < channels; ++c) {
          visit(row * channels + c,
                matrix + (first + row % channels) * width() + first + c);
        }
      }
    }
  }
};

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_SIDE_BY_SIDE_H_
