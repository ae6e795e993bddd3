// The edges that leave a node, with the operations that are active on them.

#ifndef OPP_DARTS_JAX_KERNELS_EDGES_H_
#define OPP_DARTS_JAX_KERNELS_EDGES_H_

#include <vector>

#include "mixture.h"
#include "xla/ffi/api/ffi.h"

namespace opp_darts {

// The K operations of every edge, and where among an edge's weights and moments
// those of each begin.
struct Operations {
  ffi::Span<const int64_t> kinds, repeats, sizes, dilations;
  int64_t channels;
  std::vector<int64_t> params, moments;
  int64_t edge_params = 0, edge_moments = 0;

  Operations(ffi::Span<const int64_t> kinds, ffi::Span<const int64_t> repeats,
             ffi::Span<const int64_t> sizes,
             ffi::Span<const int64_t> dilations, int64_t channels)
      : kinds(kinds), repeats(repeats), sizes(sizes), dilations(dilations),
        channels(channels) {
    for (int64_t k = 0; k < count(); ++k) {
      params.push_back(edge_params);
      moments.push_back(edge_moments);
      edge_params += depthwise(k) + repeats[k] * channels * channels;
      edge_moments += 2 * channels * Norms(kinds[k], repeats[k]);
    }
  }

  int64_t count() const { return kinds.size(); }
  bool shared(int64_t k) const { return kinds[k] != kSeparable; }
  int64_t depthwise(int64_t k) const {
    return repeats[k] * sizes[k] * sizes[k] * channels;
  }
  template <typename T>
  Operation<T> Get(int64_t k, int64_t d, const T* all_params,
                   const Plain<T>* given) const {
    const T* own = all_params + d * edge_params + params[k];
    if (given) given += d * edge_moments + moments[k];
    return {kinds[k], repeats[k], sizes[k], dilations[k], own,
            own + depthwise(k), given};
  }
};

// Edges that leave a node, D of them: active (D, K), weights (D, K), params (D,
// all the operations' weights), given (D, all their norms' moments) or nothing.
// Moments of what the edges share are those at the first one.
template <typename T>
struct Edges {
  Mixture<T> mixture;
  Operations all;
  int64_t count;
  const bool* active;
  const T *weights, *params;
  const Plain<T>* given;

  int64_t size() const { return mixture.out_size(); }
  bool used(int64_t d, int64_t k) const {
    return active[d * all.count() + k];
  }
  Operation<T> operation(int64_t d, int64_t k) const {
    return all.Get(k, d, params, given);
  }

  // Adds what they carry to the nodes that they feed, (D, B, H, W, C). Fills
  // moments, as those given, where they are asked for. `scratch` holds an
  // output, and one more for each operation that is shared.
  void Forward(Results<T> nodes, T* moments, Array<T> scratch) const {
    auto run = [&](int64_t d, int64_t k, Array<T> y) {
      auto pass = mixture.Run(operation(d, k), y, 0);
      if (moments) {
        T* to = moments + d * all.edge_moments + all.moments[k];
        // Those of the first image are those of all.
        for (const auto* of : {&pass.mean, &pass.var}) {
          for (size_t i = 0; i < of->size(); i += mixture.channels) {
            to = std::copy_n(of->data() + i, all.channels, to);
          }
        }
      }
      return pass;
    };
    // What an edge has alone is added while it is in the caches, from one
    // place; what all of them share is kept.
    Array<T> kept = scratch;
    std::vector<Pass<T>> shared(all.count());
    for (int64_t k = 0; k < all.count(); ++k) {
      bool anywhere = false;
      for (int64_t d = 0; d < count; ++d) anywhere |= used(d, k);
      if (all.shared(k) && anywhere) shared[k] = run(0, k, kept += size());
    }
    for (int64_t d = 0; d < count; ++d) {
      const Results<T> sum = nodes + d * size();
      const T* weight = weights + d * all.count();
      std::vector<std::pair<const Pass<T>*, T>> terms;
      for (int64_t k = 0; k < all.count(); ++k) {
        if (all.shared(k) && used(d, k)) {
          terms.push_back({&shared[k], weight[k]});
        }
      }
      mixture.AddSum(terms, sum);
      for (int64_t k = 0; k < all.count(); ++k) {
        if (all.shared(k) || !used(d, k)) continue;
        const auto pass = run(d, k, scratch);
        mixture.AddSum({{&pass, weight[k]}}, sum);
      }
    }
  }

  // Of g, what reaches the nodes that they feed: adds what reaches the source to
  // dx, and adds to dweights and, where they are asked for, dparams. `scratch`
  // holds an output for each norm of an operation.
  void Backward(Array<T> g, Results<T> dx, T* dweights, T* dparams,
                Array<T> scratch) const {
    for (int64_t k = 0; k < all.count(); ++k) {
      std::vector<Edge<T>> sharing;
      for (int64_t d = 0; d < count; ++d) {
        const int64_t i = d * all.count() + k;
        if (!used(d, k)) continue;
        const Edge<T> edge{g + d * size(), weights[i], dweights + i};
        if (all.shared(k)) {
          sharing.push_back(edge);
          continue;
        }
        T* own =
            dparams ? dparams + d * all.edge_params + all.params[k] : nullptr;
        mixture.Backward(operation(d, k), {edge}, dx, own,
                         own ? own + all.depthwise(k) : nullptr, scratch);
      }
      if (!sharing.empty()) {
        mixture.Backward(operation(0, k), sharing, dx, nullptr, nullptr,
                         scratch);
      }
    }
  }
};

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_EDGES_H_
