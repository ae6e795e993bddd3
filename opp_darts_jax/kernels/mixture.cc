// Weighted sums of operations on the edges that leave a node, added to the
// nodes that they feed, and their gradients, for XLA's FFI on CPU.
//
// What an operation gives is normalised by its own moments; one that is not
// active costs nothing. Separable operations, units of unit.h one after the
// other, have weights of their own on every edge; pools and identities are the
// same on all of them. The gradients compute all of it anew: nothing but the
// node is kept.

#include <cmath>

#include "pool.h"
#include "unit.h"

namespace opp_darts {
namespace {

constexpr double kEpsilon = 1e-5;  // As in norm.py.

enum Kind : int64_t { kSeparable, kMaxPool, kAvgPool, kIdentity };

int64_t Norms(int64_t kind, int64_t repeats) {
  return kind == kSeparable ? repeats : kind != kIdentity;
}

// Kind and geometry of an operation, and the weights of a separable one:
// depthwise (repeats, k, k, C), pointwise (repeats, C, C).
template <typename T>
struct Operation {
  int64_t kind, repeats, size, dilation;
  const T *depthwise, *pointwise;
};

// An edge on which an operation is active.
template <typename T>
struct Edge {
  const T* g;  // What reaches the node that it feeds.
  T weight;
  T* dweight;
};

// What an operation gives, before its weight: (y - shift) * scale, the last of
// its norms' shifts and scales. The first ones, 0 and 1, are of the input.
template <typename T>
struct Pass {
  std::vector<Unit<T>> units;
  std::vector<T*> units_y;
  const T* y;
  std::vector<T> mean, var;     // (norms, C) each.
  std::vector<T> shift, scale;  // (norms + 1, C) each.

  int64_t last() const { return mean.size(); }
};

template <typename T>
struct Mixture {
  ffi::ThreadPool pool;
  int64_t batch, height, width, channels, stride;
  const T* x;

  int64_t out_height() const { return (height + stride - 1) / stride; }
  int64_t out_width() const { return (width + stride - 1) / stride; }
  int64_t out_pixels() const { return out_height() * out_width(); }
  int64_t out_size() const { return batch * out_pixels() * channels; }

  Pool<T> MakePool(int64_t kind) const {
    const Window w{height, width, out_height(), out_width(), 3, stride, 1};
    return {pool, w, batch, channels, kind == kMaxPool, x};
  }

  // Runs an operation; what its i-th norm takes goes to `to` + i * step. With
  // no step, only the last is left.
  Pass<T> Run(const Operation<T>& o, T* to, int64_t step) const {
    const int64_t c = channels;
    const int64_t norms = Norms(o.kind, o.repeats);
    Pass<T> pass;
    pass.y = x;
    pass.mean.resize(norms * c);
    pass.var.resize(norms * c);
    pass.shift.assign((norms + 1) * c, T(0));
    pass.scale.assign((norms + 1) * c, T(1));
    for (int64_t i = 0; i < norms; ++i) {
      T *y = to + i * step, *mean = pass.mean.data() + i * c,
        *var = pass.var.data() + i * c;
      if (o.kind == kSeparable) {
        const Window w =
            i ? Window{out_height(), out_width(), out_height(), out_width(),
                       o.size, 1, o.dilation}
              : Window{height, width, out_height(), out_width(), o.size, stride,
                       o.dilation};
        pass.units.push_back({pool, w, batch, c, c, pass.y,
                              pass.shift.data() + i * c,
                              pass.scale.data() + i * c,
                              o.depthwise + i * o.size * o.size * c,
                              o.pointwise + i * c * c});
        pass.units_y.push_back(y);
        pass.units[i].Forward(y, mean, var);
      } else {
        MakePool(o.kind).Forward(y, mean, var);
      }
      pass.y = y;
      for (int64_t j = 0; j < c; ++j) {
        pass.shift[(i + 1) * c + j] = mean[j];
        pass.scale[(i + 1) * c + j] = 1 / std::sqrt(var[j] + kEpsilon);
      }
    }
    return pass;
  }

  // Calls visit(image, where its pixels begin) on all threads.
  template <typename Visit>
  void ForImages(Visit visit) const {
    Parallel(pool, batch, 4 * out_size(), [&] {
      return [&](int64_t image) {
        visit(image, image * out_pixels() * channels);
      };
    });
  }

  // Adds the weighted sum of what operations give; memory is read once.
  void AddSum(const std::vector<std::pair<const Pass<T>*, T>>& passes,
              T* sum) const {
    if (passes.empty()) return;
    struct Term {
      const T* y;
      Vector<T> shift, factor;
    };
    ForImages([&](int64_t, int64_t first) {
      std::vector<Term> terms;
      for (int64_t c = 0; c < channels; c += kLanes<T>) {
        const int64_t lanes = channels - c;
        terms.clear();
        for (auto [pass, weight] : passes) {
          const int64_t last = pass->last() + c;
          terms.push_back({pass->y + first + c,
                           Load(pass->shift.data() + last, lanes),
                           Load(pass->scale.data() + last, lanes) * weight});
        }
        T* to = sum + first + c;
        for (int64_t i = 0; i < out_pixels() * channels; i += channels) {
          Vector<T> total = Load(to + i, lanes);
          for (const Term& term : terms) {
            total += (Load(term.y + i, lanes) - term.shift) * term.factor;
          }
          Store(total, to + i, lanes);
        }
      }
    });
  }

  // Adds to the gradients of x and of the edges' weights, and fills those of a
  // separable operation's, which has one edge. `scratch` holds an output for
  // each norm.
  void Backward(const Operation<T>& o, const std::vector<Edge<T>>& edges,
                T* dx, T* ddepthwise, T* dpointwise, T* scratch) const {
    const int64_t c = channels;
    const Pass<T> pass = Run(o, scratch, out_size());
    // Of the last norm's shift and scale.
    const T* scale = pass.scale.data() + pass.last();
    std::vector<T> dshift(c), dscale(c);
    for (const Edge<T>& edge : edges) {
      const std::vector<T> sums =
          OutputSums(edge.g, pass.y, pass.shift.data() + pass.last());
      for (int64_t j = 0; j < c; ++j) {
        *edge.dweight += scale[j] * sums[c + j];
        dshift[j] -= edge.weight * scale[j] * sums[j];
        dscale[j] += edge.weight * sums[c + j];
      }
    }
    if (o.kind != kSeparable) {
      SharedBackward(o, pass, edges, dshift, dscale, dx);
      return;
    }
    std::vector<T> factor(c), gmean(c), gvar(c);
    for (int64_t j = 0; j < c; ++j) factor[j] = edges[0].weight * scale[j];
    const T* above = edges[0].g;
    for (int64_t i = o.repeats - 1; i >= 0; --i) {
      const T* of = pass.scale.data() + (i + 1) * c;
      for (int64_t j = 0; j < c; ++j) {
        gmean[j] = dshift[j];
        gvar[j] = VarianceGradient(of[j], dscale[j]);
      }
      pass.units[i].Backward(
          pass.mean.data() + i * c,
          {above, factor.data(), gmean.data(), gvar.data(), pass.units_y[i]},
          // What reaches a unit's input takes the place of its output.
          {i > 0 ? pass.units_y[i] : dx, dshift.data(), dscale.data(),
           ddepthwise + i * o.size * o.size * c, dpointwise + i * c * c,
           i == 0});
      std::fill(factor.begin(), factor.end(), T(1));
      above = pass.units_y[i];
    }
  }

  // That of scale, 1 / sqrt(variance + epsilon), as the variance's.
  static T VarianceGradient(T scale, T dscale) {
    return T(-0.5) * scale * scale * scale * dscale;
  }

  // Adds a pool's or an identity's gradients of all edges to that of x.
  void SharedBackward(const Operation<T>& o, const Pass<T>& pass,
                      const std::vector<Edge<T>>& edges,
                      const std::vector<T>& dshift,
                      const std::vector<T>& dscale, T* dx) const {
    const T *shift = pass.shift.data() + pass.last(),
            *scale = pass.scale.data() + pass.last();
    std::vector<T> constant(channels), slope(channels);
    if (o.kind != kIdentity) {
      const T each = T(1) / (batch * out_pixels());
      for (int64_t j = 0; j < channels; ++j) {
        constant[j] = dshift[j] * each;
        slope[j] = 2 * each * VarianceGradient(scale[j], dscale[j]);
      }
    }
    const int64_t out_row = MakePool(o.kind).w.out_row();
    auto gradient = [&](int64_t image, int64_t block, Vector<T>* g) {
      const int64_t first = block * kLanes<T>, lanes = channels - first;
      const int64_t at = image * out_pixels() * channels;
      const Vector<T> centre = Load(shift + first, lanes);
      const Vector<T> own = Load(slope.data() + first, lanes);
      const Vector<T> all = Load(constant.data() + first, lanes);
      LoadBlock(pass.y + at, out_height(), out_width(), channels, block,
                out_row, g,
                [&](Vector<T> y) { return all + own * (y - centre); });
      for (const Edge<T>& edge : edges) {
        const Vector<T> factor = Load(scale + first, lanes) * edge.weight;
        const T* from = edge.g + at + first;
        for (int64_t row = 0; row < out_height(); ++row) {
          Vector<T>* to = g + row * out_row;
          for (int64_t i = 0; i < out_width(); ++i, from += channels) {
            to[i] += factor * Load(from, lanes);
          }
        }
      }
    };
    if (o.kind != kIdentity) {
      MakePool(o.kind).Backward(gradient, dx);
      return;
    }
    Parallel(pool, batch, 4 * out_size(), [&] {
      return [&, g = Scratch<T>(out_height() * out_row)](int64_t image) {
        for (int64_t b = 0; b < NumBlocks<T>(channels); ++b) {
          gradient(image, b, g.get());
          AddBlock(g.get(), out_row, height, width, channels, b,
                   dx + image * out_pixels() * channels);
        }
      };
    });
  }

  // Per channel, the sum of g and that of g * (y - shift).
  std::vector<T> OutputSums(const T* g, const T* y, const T* shift) const {
    std::vector<T> each(batch * 2 * channels);
    ForImages([&](int64_t image, int64_t first) {
      for (int64_t c = 0; c < channels; c += kLanes<T>) {
        const int64_t lanes = channels - c;
        const Vector<T> centre = Load(shift + c, lanes);
        const T *of_g = g + first + c, *of_y = y + first + c;
        auto gradient = [&](int64_t i) {
          return Load(of_g + i * channels, lanes);
        };
        T* to = each.data() + image * 2 * channels + c;
        Store(opp_darts::Sum<T>(out_pixels(), gradient), to, lanes);
        auto product = [&](int64_t i) {
          return gradient(i) * (Load(of_y + i * channels, lanes) - centre);
        };
        Store(opp_darts::Sum<T>(out_pixels(), product), to + channels, lanes);
      }
    });
    std::vector<T> sums(2 * channels);
    for (int64_t i = 0; i < batch; ++i) {
      for (int64_t j = 0; j < 2 * channels; ++j) {
        sums[j] += each[i * 2 * channels + j];
      }
    }
    return sums;
  }
};

// The K operations of every edge, and where among an edge's weights and moments
// those of each begin.
struct Operations {
  ffi::Span<const int64_t> kinds, repeats, sizes, dilations;
  int64_t channels;
  std::vector<int64_t> params, moments;

  Operations(ffi::Span<const int64_t> kinds, ffi::Span<const int64_t> repeats,
             ffi::Span<const int64_t> sizes,
             ffi::Span<const int64_t> dilations, int64_t channels)
      : kinds(kinds), repeats(repeats), sizes(sizes), dilations(dilations),
        channels(channels) {
    int64_t param = 0, moment = 0;
    for (int64_t k = 0; k < count(); ++k) {
      params.push_back(param);
      moments.push_back(moment);
      param += depthwise(k) + repeats[k] * channels * channels;
      moment += 2 * channels * Norms(kinds[k], repeats[k]);
    }
  }

  int64_t count() const { return kinds.size(); }
  bool shared(int64_t k) const { return kinds[k] != kSeparable; }
  int64_t depthwise(int64_t k) const {
    return repeats[k] * sizes[k] * sizes[k] * channels;
  }
  template <typename T>
  Operation<T> Get(int64_t k, const T* edge_params) const {
    const T* own = edge_params + params[k];
    return {kinds[k], repeats[k], sizes[k], dilations[k], own,
            own + depthwise(k)};
  }
};

// Of images x, the last four of these dimensions.
template <typename T>
Mixture<T> MakeMixture(ffi::ThreadPool pool, ffi::Span<const int64_t> dimensions,
                       const T* x, int64_t stride) {
  const int64_t* shape = dimensions.end() - 4;
  return {pool, shape[0], shape[1], shape[2], shape[3], stride, x};
}

template <typename Buffer>
void Clear(Buffer& buffer) {
  std::fill_n(buffer->typed_data(), buffer->element_count(), 0);
}

// Of D edges with K operations: states (N, B, H, W, C), the last D of which are
// what the edges feed; source, a number among the states or an own node
// (B, H * stride, W * stride, C); active and weights (D, K), params (D, all the
// operations' weights), moments (D, mean and variance of all the operations'
// norms; those of what the edges share at the first one). The states that come
// in are those that go out. What is computed between lies in `scratch`, which
// XLA keeps from call to call: (1 + shared operations, B, H, W, C).
template <ffi::DataType type>
ffi::Error ForwardHandler(
    ffi::ThreadPool pool, ffi::Buffer<type> states, ffi::AnyBuffer source,
    ffi::Buffer<ffi::PRED> active, ffi::Buffer<type> weights,
    ffi::Buffer<type> params, ffi::ResultBuffer<type> to,
    ffi::ResultBuffer<type> moments, ffi::ResultBuffer<type> scratch,
    int64_t stride, ffi::Span<const int64_t> kinds,
    ffi::Span<const int64_t> repeats, ffi::Span<const int64_t> sizes,
    ffi::Span<const int64_t> dilations) {
  using T = ffi::NativeType<type>;
  const auto shape = states.dimensions();
  const int64_t edges = active.dimensions()[0];
  const int64_t size = states.element_count() / shape[0];
  const Operations all(kinds, repeats, sizes, dilations, shape.back());
  const bool inside = source.element_type() == ffi::S32;
  const T* x = inside ? to->typed_data() +
                            *static_cast<int32_t*>(source.untyped_data()) * size
                      : static_cast<T*>(source.untyped_data());
  const auto mixture = MakeMixture<T>(
      pool, inside ? shape : source.dimensions(), x, stride);
  Clear(moments);
  auto run = [&](int64_t d, int64_t k, T* y) {
    const auto o = all.Get(k, params.typed_data() + d * params.dimensions()[1]);
    auto pass = mixture.Run(o, y, 0);
    T* to_moments = moments->typed_data() + d * moments->dimensions()[1];
    to_moments = std::copy(pass.mean.begin(), pass.mean.end(),
                           to_moments + all.moments[k]);
    std::copy(pass.var.begin(), pass.var.end(), to_moments);
    return pass;
  };
  // What an edge has alone is added while it is in the caches, from one place;
  // what all of them share is kept.
  T *own = scratch->typed_data(), *kept = own;
  std::vector<Pass<T>> shared(all.count());
  auto used = [&](int64_t d, int64_t k) {
    return active.typed_data()[d * all.count() + k];
  };
  for (int64_t k = 0; k < all.count(); ++k) {
    bool anywhere = false;
    for (int64_t d = 0; d < edges; ++d) anywhere |= used(d, k);
    if (all.shared(k) && anywhere) shared[k] = run(0, k, kept += size);
  }
  for (int64_t d = 0; d < edges; ++d) {
    T* sum = to->typed_data() + (shape[0] - edges + d) * size;
    const T* weight = weights.typed_data() + d * all.count();
    std::vector<std::pair<const Pass<T>*, T>> terms;
    for (int64_t k = 0; k < all.count(); ++k) {
      if (all.shared(k) && used(d, k)) terms.push_back({&shared[k], weight[k]});
    }
    mixture.AddSum(terms, sum);
    for (int64_t k = 0; k < all.count(); ++k) {
      if (all.shared(k) || !used(d, k)) continue;
      const auto pass = run(d, k, own);
      mixture.AddSum({{&pass, weight[k]}}, sum);
    }
  }
  return ffi::Error::Success();
}

// Of the same, x the source: g and dstates (N, B, H, W, C), what reaches the
// states that go out and those that come in; dx what reaches the source if it
// is an own node, else it is added to dstates at the number `at`.
template <ffi::DataType type>
ffi::Error BackwardHandler(
    ffi::ThreadPool pool, ffi::Buffer<type> x, ffi::Buffer<ffi::S32> at,
    ffi::Buffer<ffi::PRED> active, ffi::Buffer<type> weights,
    ffi::Buffer<type> params, ffi::Buffer<type> g,
    ffi::ResultBuffer<type> dstates, ffi::ResultBuffer<type> dweights,
    ffi::ResultBuffer<type> dparams, ffi::ResultBuffer<type> dx,
    ffi::ResultBuffer<type> scratch, int64_t stride,
    ffi::Span<const int64_t> kinds, ffi::Span<const int64_t> repeats,
    ffi::Span<const int64_t> sizes, ffi::Span<const int64_t> dilations) {
  using T = ffi::NativeType<type>;
  const auto shape = g.dimensions();
  const int64_t edges = active.dimensions()[0];
  const int64_t size = g.element_count() / shape[0];
  const Operations all(kinds, repeats, sizes, dilations, shape.back());
  const auto mixture =
      MakeMixture<T>(pool, x.dimensions(), x.typed_data(), stride);
  Clear(dx);
  Clear(dweights);
  Clear(dparams);
  T* to = dx->element_count() > 0
              ? dx->typed_data()
              : dstates->typed_data() + *at.typed_data() * size;
  for (int64_t k = 0; k < all.count(); ++k) {
    std::vector<Edge<T>> used;
    for (int64_t d = 0; d < edges; ++d) {
      const int64_t i = d * all.count() + k;
      if (!active.typed_data()[i]) continue;
      const Edge<T> edge{
          dstates->typed_data() + (shape[0] - edges + d) * size,
          weights.typed_data()[i], dweights->typed_data() + i};
      if (all.shared(k)) {
        used.push_back(edge);
        continue;
      }
      const int64_t own = d * params.dimensions()[1];
      T* dparam = dparams->typed_data() + own + all.params[k];
      mixture.Backward(all.Get(k, params.typed_data() + own), {edge}, to,
                       dparam, dparam + all.depthwise(k),
                       scratch->typed_data());
    }
    if (!used.empty()) {
      mixture.Backward(all.Get(k, params.typed_data()), used, to, nullptr,
                       nullptr, scratch->typed_data());
    }
  }
  return ffi::Error::Success();
}

template <ffi::DataType type>
auto ForwardBinding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::Buffer<ffi::PRED>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Attr<int64_t>("stride")
      .template Attr<ffi::Span<const int64_t>>("kinds")
      .template Attr<ffi::Span<const int64_t>>("repeats")
      .template Attr<ffi::Span<const int64_t>>("sizes")
      .template Attr<ffi::Span<const int64_t>>("dilations");
}

template <ffi::DataType type>
auto BackwardBinding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<ffi::S32>>()
      .template Arg<ffi::Buffer<ffi::PRED>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Attr<int64_t>("stride")
      .template Attr<ffi::Span<const int64_t>>("kinds")
      .template Attr<ffi::Span<const int64_t>>("repeats")
      .template Attr<ffi::Span<const int64_t>>("sizes")
      .template Attr<ffi::Span<const int64_t>>("dilations");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_float32, ForwardHandler<ffi::F32>,
                              ForwardBinding<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_float64, ForwardHandler<ffi::F64>,
                              ForwardBinding<ffi::F64>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_grad_float32, BackwardHandler<ffi::F32>,
                              BackwardBinding<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(mixture_grad_float64, BackwardHandler<ffi::F64>,
                              BackwardBinding<ffi::F64>());

}  // namespace opp_darts
