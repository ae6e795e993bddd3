// Weighted sums of separable operations on the edges that leave a node, and
// their gradients, for XLA's FFI on CPU.
//
// An operation is units of unit.h one after the other, each normalised by its
// own moments; one that is not active costs nothing. The gradients compute the
// units anew: nothing but the edge's input is kept.

#include <cmath>

#include "unit.h"

namespace opp_darts {
namespace {

constexpr double kEpsilon = 1e-5;  // As in norm.py.

// Geometry and weights of an operation: depthwise (repeats, k, k, C), pointwise
// (repeats, C, C).
template <typename T>
struct Operation {
  int64_t repeats, size, dilation;
  const T *depthwise, *pointwise;
  T weight;
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

  // The units of an operation, with what each gives.
  struct Pass {
    std::vector<Unit<T>> units;
    std::vector<T*> y;
    std::vector<T> mean, var, shift, scale;  // (repeats, C) each.
  };

  // `y` is where each unit's output goes.
  Pass Run(const Operation<T>& o, std::vector<T*> y) const {
    Pass pass;
    pass.y = std::move(y);
    const int64_t c = channels;
    pass.mean.resize(o.repeats * c);
    pass.var.resize(o.repeats * c);
    // Of the inputs: the first one's is x itself.
    pass.shift.assign((o.repeats + 1) * c, T(0));
    pass.scale.assign((o.repeats + 1) * c, T(1));
    for (int64_t i = 0; i < o.repeats; ++i) {
      Window w = i ? Window{out_height(), out_width(), out_height(),
                            out_width(), o.size, 1, o.dilation}
                   : Window{height, width, out_height(), out_width(), o.size,
                            stride, o.dilation};
      pass.units.push_back({pool, w, batch, c, c, i ? pass.y[i - 1] : x,
                            pass.shift.data() + i * c,
                            pass.scale.data() + i * c,
                            o.depthwise + i * o.size * o.size * c,
                            o.pointwise + i * c * c});
      T *mean = pass.mean.data() + i * c, *var = pass.var.data() + i * c;
      pass.units[i].Forward(pass.y[i], mean, var);
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

  // The weighted sum of what operations give, normalised; memory is read once.
  void Sum(const std::vector<Pass>& passes, const std::vector<T>& weights,
           T* sum) const {
    struct Term {
      const T* y;
      Vector<T> shift, factor;
    };
    ForImages([&](int64_t, int64_t first) {
      std::vector<Term> terms(passes.size());
      for (int64_t c = 0; c < channels; c += kLanes<T>) {
        const int64_t lanes = channels - c;
        for (size_t k = 0; k < passes.size(); ++k) {
          const Pass& pass = passes[k];
          const int64_t last = pass.units.size() * channels + c;
          terms[k] = {pass.y.back() + first + c,
                      Load(pass.shift.data() + last, lanes),
                      Load(pass.scale.data() + last, lanes) * weights[k]};
        }
        T* to = sum + first + c;
        for (int64_t i = 0; i < out_pixels() * channels; i += channels) {
          Vector<T> total = {};
          for (const Term& term : terms) {
            total += (Load(term.y + i, lanes) - term.shift) * term.factor;
          }
          Store(total, to + i, lanes);
        }
      }
    });
  }

  // Adds to the gradient of x, and fills those of the operation's weights;
  // `scratch` holds repeats + 2 outputs.
  void Backward(const Operation<T>& o, const T* g, T* dx, T* dweight,
                T* ddepthwise, T* dpointwise, T* scratch) const {
    const int64_t c = channels, last = o.repeats - 1;
    std::vector<T*> y;
    for (int64_t i = 0; i < o.repeats; ++i) {
      y.push_back(scratch + i * out_size());
    }
    const Pass pass = Run(o, std::move(y));
    std::vector<T> factor(c), gmean(c), gvar(c), dshift(c), dscale(c);
    const T* scale = pass.scale.data() + o.repeats * c;
    std::vector<T> sums = OutputSums(g, pass.y.back(),
                                     pass.shift.data() + o.repeats * c);
    for (int64_t j = 0; j < c; ++j) {
      *dweight += scale[j] * sums[c + j];
      factor[j] = o.weight * scale[j];
      dshift[j] = -factor[j] * sums[j];
      dscale[j] = o.weight * sums[c + j];
    }
    // The gradients that reach a unit's output, and then its input.
    T* below = scratch + o.repeats * out_size();
    T* above = below + out_size();
    for (int64_t i = last; i >= 0; --i) {
      const T* of = pass.scale.data() + (i + 1) * c;
      for (int64_t j = 0; j < c; ++j) {
        gmean[j] = dshift[j];
        gvar[j] = T(-0.5) * of[j] * of[j] * of[j] * dscale[j];
      }
      pass.units[i].Backward(
          pass.mean.data() + i * c,
          {i == last ? g : above, factor.data(), gmean.data(), gvar.data(),
           pass.y[i]},
          {i > 0 ? below : dx, dshift.data(), dscale.data(),
           ddepthwise + i * o.size * o.size * c, dpointwise + i * c * c,
           i == 0});
      std::fill(factor.begin(), factor.end(), T(1));
      std::swap(above, below);
    }
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

// The operations of every edge: how often the unit is repeated, the size of its
// kernel, and its dilation. Their weights lie one after the other.
struct Kinds {
  ffi::Span<const int64_t> repeats, sizes, dilations;

  size_t count() const { return repeats.size(); }
  int64_t depthwise(size_t k, int64_t channels) const {
    return repeats[k] * sizes[k] * sizes[k] * channels;
  }
  int64_t pointwise(size_t k, int64_t channels) const {
    return repeats[k] * channels * channels;
  }
};

// Calls visit(operation, its number, where its weights begin, where its moments
// do) for every active operation.
template <typename T, typename Visit>
void ForActive(const Kinds& kinds, const bool* active, const T* weights,
               const T* params, int64_t channels, Visit visit) {
  int64_t at = 0, moments = 0;
  for (size_t k = 0; k < kinds.count(); ++k) {
    int64_t depthwise = kinds.depthwise(k, channels);
    if (active[k]) {
      visit(Operation<T>{kinds.repeats[k], kinds.sizes[k], kinds.dilations[k],
                         params + at, params + at + depthwise, weights[k]},
            k, at, moments);
    }
    at += depthwise + kinds.pointwise(k, channels);
    moments += 2 * kinds.repeats[k] * channels;
  }
}

template <ffi::DataType type>
Mixture<ffi::NativeType<type>> MakeMixture(ffi::ThreadPool pool,
                                           ffi::Buffer<type>& x,
                                           int64_t stride) {
  auto shape = x.dimensions();
  return {pool, shape[0], shape[1], shape[2], shape[3], stride,
          x.typed_data()};
}

template <typename Buffer>
void Clear(Buffer& buffer) {
  std::fill_n(buffer->typed_data(), buffer->element_count(), 0);
}

// Of D edges with K operations: active and weights (D, K), params (D, all the
// operations' weights), sum (D, B, H', W', C), moments (D, mean and variance of
// all the operations' units). What is computed between lies in `scratch`, which
// XLA keeps from call to call: (K + 2, B, H', W', C), and in the backward pass
// (the most repeats + 2, ...).
template <ffi::DataType type>
ffi::Error ForwardHandler(ffi::ThreadPool pool, ffi::Buffer<ffi::PRED> active,
                          ffi::Buffer<type> x, ffi::Buffer<type> weights,
                          ffi::Buffer<type> params,
                          ffi::ResultBuffer<type> sum,
                          ffi::ResultBuffer<type> moments,
                          ffi::ResultBuffer<type> scratch, int64_t stride,
                          ffi::Span<const int64_t> repeats,
                          ffi::Span<const int64_t> sizes,
                          ffi::Span<const int64_t> dilations) {
  using T = ffi::NativeType<type>;
  const Kinds kinds{repeats, sizes, dilations};
  auto mixture = MakeMixture<type>(pool, x, stride);
  Clear(moments);
  for (int64_t d = 0; d < active.dimensions()[0]; ++d) {
    T* to = moments->typed_data() + d * moments->dimensions()[1];
    std::vector<typename Mixture<T>::Pass> passes;
    std::vector<T> of_passes;
    ForActive<T>(kinds, active.typed_data() + d * kinds.count(),
                 weights.typed_data() + d * kinds.count(),
                 params.typed_data() + d * params.dimensions()[1],
                 mixture.channels,
                 [&](const Operation<T>& o, size_t k, int64_t, int64_t first) {
                   // Only the last output is needed when all have been run.
                   std::vector<T*> y;
                   for (int64_t i = 0; i < o.repeats; ++i) {
                     size_t slot =
                         i + 1 == o.repeats ? k : kinds.count() + i % 2;
                     y.push_back(scratch->typed_data() +
                                 slot * mixture.out_size());
                   }
                   passes.push_back(mixture.Run(o, std::move(y)));
                   of_passes.push_back(o.weight);
                   auto &mean = passes.back().mean, &var = passes.back().var;
                   std::copy(mean.begin(), mean.end(), to + first);
                   std::copy(var.begin(), var.end(),
                             to + first + mean.size());
                 });
    mixture.Sum(passes, of_passes,
                sum->typed_data() + d * mixture.out_size());
  }
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error BackwardHandler(ffi::ThreadPool pool, ffi::Buffer<ffi::PRED> active,
                           ffi::Buffer<type> x, ffi::Buffer<type> weights,
                           ffi::Buffer<type> params, ffi::Buffer<type> g,
                           ffi::ResultBuffer<type> dx,
                           ffi::ResultBuffer<type> dweights,
                           ffi::ResultBuffer<type> dparams,
                           ffi::ResultBuffer<type> scratch, int64_t stride,
                           ffi::Span<const int64_t> repeats,
                           ffi::Span<const int64_t> sizes,
                           ffi::Span<const int64_t> dilations) {
  using T = ffi::NativeType<type>;
  const Kinds kinds{repeats, sizes, dilations};
  auto mixture = MakeMixture<type>(pool, x, stride);
  Clear(dx);
  Clear(dweights);
  Clear(dparams);
  for (int64_t d = 0; d < active.dimensions()[0]; ++d) {
    T* to = dparams->typed_data() + d * params.dimensions()[1];
    T* dweight = dweights->typed_data() + d * kinds.count();
    ForActive<T>(kinds, active.typed_data() + d * kinds.count(),
                 weights.typed_data() + d * kinds.count(),
                 params.typed_data() + d * params.dimensions()[1],
                 mixture.channels,
                 [&](const Operation<T>& o, size_t k, int64_t at, int64_t) {
                   mixture.Backward(
                       o, g.typed_data() + d * mixture.out_size(),
                       dx->typed_data(), dweight + k, to + at,
                       to + at + kinds.depthwise(k, mixture.channels),
                       scratch->typed_data());
                 });
  }
  return ffi::Error::Success();
}

template <ffi::DataType type>
auto ForwardBinding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<ffi::Buffer<ffi::PRED>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Attr<int64_t>("stride")
      .template Attr<ffi::Span<const int64_t>>("repeats")
      .template Attr<ffi::Span<const int64_t>>("sizes")
      .template Attr<ffi::Span<const int64_t>>("dilations");
}

template <ffi::DataType type>
auto BackwardBinding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<ffi::Buffer<ffi::PRED>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Attr<int64_t>("stride")
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
