// Operations on edges, and what they give.

#ifndef OPP_DARTS_JAX_KERNELS_OPERATION_H_
#define OPP_DARTS_JAX_KERNELS_OPERATION_H_

#include <vector>

#include "side_by_side.h"
#include "unit.h"

namespace opp_darts {

constexpr double kEpsilon = 1e-5;  // As in norm.py.

enum Kind : int64_t { kSeparable, kMaxPool, kAvgPool, kIdentity };

inline int64_t Norms(int64_t kind, int64_t repeats) {
  return kind == kSeparable ? repeats : kind != kIdentity;
}

// Kind and geometry of an operation, and the weights of a separable one:
// depthwise (repeats, k, k, C), pointwise (repeats, C, C). Its norms take their
// own moments, or given ones: means (norms, C), then variances.
template <typename T>
struct Operation {
  int64_t kind, repeats, size, dilation;
  const T *depthwise, *pointwise;
  const Plain<T>* given;

  int64_t norms() const { return Norms(kind, repeats); }
};

// An edge on which an operation is active.
template <typename T>
struct Edge {
  Array<T> g;  // What reaches the node that it feeds.
  T weight;
  T* dweight;
};

// What an operation gives, before its weight: (y - shift) * scale, the last of
// its norms' shifts and scales. The first ones, 0 and 1, are of the input.
template <typename T>
struct Pass {
  std::vector<T> kernels, matrices;  // Of the units.
  std::vector<Unit<T>> units;
  std::vector<Array<T>> units_y;
  Array<T> y;
  std::vector<T> mean, var;     // (norms, C) each.
  std::vector<T> shift, scale;  // (norms + 1, C) each.

  int64_t last() const { return mean.size(); }
};

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_OPERATION_H_
