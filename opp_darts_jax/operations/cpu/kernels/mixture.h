// Weighted sums of operations on the edges that leave a node, added to the
// nodes that they feed, and their gradients.
//
// What an operation gives is normalised by its own moments or by given ones; what
// is not active costs nothing. Separable operations, units of unit.h one after
// the other, have weights of their own on every edge; pools and identities are
// the same on all of them. The gradients compute all of it anew: nothing but the
// node is kept.

#ifndef OPP_DARTS_JAX_KERNELS_MIXTURE_H_
#define OPP_DARTS_JAX_KERNELS_MIXTURE_H_

#include <utility>

#include "operation.h"
#include "pool.h"

namespace opp_darts {

template <typename T>
struct Mixture {
  Team& team;
  int64_t batch, height, width, channels, stride;
  Array<T> x;
  SideBySide images;  // Whose channels these are.

  int64_t out_height() const { return (height + stride - 1) / stride; }
  int64_t out_width() const { return (width + stride - 1) / stride; }
  int64_t out_pixels() const { return out_height() * out_width(); }
  int64_t out_size() const { return batch * out_pixels() * channels; }

  Pool<T> MakePool(int64_t kind) const {
    const Window w{height, width, out_height(), out_width(), 3, stride, 1};
    return {team, w, batch, channels, kind == kMaxPool, x};
  }

  // Runs an operation; what its i-th norm takes goes to `to` + i * step. With
  // no step, only the last is left.
  Pass<T> Run(const Operation<T>& o, Array<T> to, int64_t step) const {
    const int64_t c = channels;
    const int64_t norms = o.norms();
    Pass<T> pass;
    pass.y = x;
    pass.mean.resize(norms * c);
    pass.var.resize(norms * c);
    if (o.given) {
      const auto moments = images.Repeat(o.given, 2 * norms);
      for (int64_t i = 0; i < norms * c; ++i) {
        pass.mean[i] = T{moments[i]};
        pass.var[i] = T{moments[norms * c + i]};
      }
    }
    pass.shift.assign((norms + 1) * c, T{});
    pass.scale.assign((norms + 1) * c, T{1});
    const int64_t taps = o.size * o.size;
    if (o.kind == kSeparable) {
      pass.kernels = images.Repeat(o.depthwise, o.repeats * taps);
      pass.matrices = images.Repeat2(o.pointwise, o.repeats);
    }
    for (int64_t i = 0; i < norms; ++i) {
      const Array<T> y = to + i * step;
      T *mean = pass.mean.data() + i * c, *var = pass.var.data() + i * c;
      T* measured = o.given ? nullptr : mean;
      if (o.kind == kSeparable) {
        const Window w =
            i ? Window{out_height(), out_width(), out_height(), out_width(),
                       o.size, 1, o.dilation}
              : Window{height, width, out_height(), out_width(), o.size, stride,
                       o.dilation};
        pass.units.push_back({team, w, batch, c, c, pass.y,
                              pass.shift.data() + i * c,
                              pass.scale.data() + i * c,
                              pass.kernels.data() + i * taps * c,
                              pass.matrices.data() + i * c * c});
        pass.units_y.push_back(y);
        pass.units[i].Forward(y, measured, var);
      } else {
        MakePool(o.kind).Forward(y, measured, var);
      }
      pass.y = y;
      if (measured) images.MergeMoments(mean, var);
      for (int64_t j = 0; j < c; ++j) {
        pass.shift[(i + 1) * c + j] = mean[j];
        pass.scale[(i + 1) * c + j] = InverseRoot(var[j], kEpsilon);
      }
    }
    return pass;
  }

  // Calls visit(image, where its pixels begin) on all threads.
  template <typename Visit>
  void ForImages(Visit visit) const {
    team.Run(batch, 4 * out_size(), [&] {
      return [&](int64_t image) {
        visit(image, image * out_pixels() * channels);
      };
    });
  }

  // Adds the weighted sum of what operations give; memory is read once.
  void AddSum(const std::vector<std::pair<const Pass<T>*, T>>& passes,
              Results<T> sum) const {
    if (passes.empty()) return;
    struct Term {
      Array<T> y;
      Vector<T> shift, factor;
    };
    ForImages([&](int64_t, int64_t first) {
      std::vector<Term> terms;
      for (int64_t c = 0; c < channels; c += kLanes<T>) {
        const int64_t lanes = channels - c;
        terms.clear();
        for (auto [pass, weight] : passes) {
          const int64_t last = pass->last() + c;
          terms.push_back({pass->y + (first + c),
                           Load(pass->shift.data() + last, lanes),
                           Load(pass->scale.data() + last, lanes) * weight});
        }
        const Results<T> to = sum + (first + c);
        for (int64_t i = 0; i < out_pixels() * channels; i += channels) {
          Vector<T> total = Load(to + i, lanes);
          for (const Term& term : terms) {
            AddProduct(total, Load(term.y + i, lanes) - term.shift,
                       term.factor);
          }
          Store(total, to + i, lanes);
        }
      }
    });
  }

  // Adds to the gradients of x and of the edges' weights, and fills those of a
  // separable operation's, which has one edge, if they are asked for. `scratch`
  // holds an output for each norm.
  void Backward(const Operation<T>& o, const std::vector<Edge<T>>& edges,
                Results<T> dx, T* ddepthwise, T* dpointwise,
                Array<T> scratch) const {
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
        dshift[j] += -edge.weight * scale[j] * sums[j];
        dscale[j] += edge.weight * sums[c + j];
      }
    }
    auto share = [&] {
      images.Average(dshift.data());
      images.Average(dscale.data());
    };
    share();
    if (o.kind != kSeparable) {
      SharedBackward(o, pass, edges, dshift, dscale, dx);
      return;
    }
    const int64_t taps = o.size * o.size;
    std::vector<T> factor(c), gmean(c), gvar(c);
    std::vector<T> kernels(ddepthwise ? o.repeats * taps * c : 0);
    std::vector<T> matrices(dpointwise ? o.repeats * c * c : 0);
    for (int64_t j = 0; j < c; ++j) factor[j] = edges[0].weight * scale[j];
    Array<T> above = edges[0].g;
    for (int64_t i = o.repeats - 1; i >= 0; --i) {
      const T* of = pass.scale.data() + (i + 1) * c;
      for (int64_t j = 0; j < c; ++j) {
        if (o.given) continue;
        gmean[j] = dshift[j];
        gvar[j] = VarianceGradient(of[j], dscale[j]);
      }
      auto backward = [&](auto to) {
        pass.units[i].template Backward<decltype(to)>(
            pass.mean.data() + i * c,
            {above, factor.data(), gmean.data(), gvar.data(), pass.units_y[i]},
            {to, dshift.data(), dscale.data(),
             ddepthwise ? kernels.data() + i * taps * c : nullptr,
             dpointwise ? matrices.data() + i * c * c : nullptr, i == 0});
      };
      if (i == 0) {
        backward(dx);
      } else {
        // What reaches a unit's input takes the place of its output.
        backward(pass.units_y[i]);
      }
      share();
      std::fill(factor.begin(), factor.end(), T{1});
      above = pass.units_y[i];
    }
    if (ddepthwise) images.Sum(kernels, o.repeats * taps, ddepthwise);
    if (dpointwise) images.Sum2(matrices, o.repeats, dpointwise);
  }

  // That of scale, 1 / sqrt(variance + epsilon), as the variance's.
  static T VarianceGradient(T scale, T dscale) {
    return scale * scale * scale * dscale * Plain<T>(-0.5);
  }

  // Adds a pool's or an identity's gradients of all edges to that of x.
  void SharedBackward(const Operation<T>& o, const Pass<T>& pass,
                      const std::vector<Edge<T>>& edges,
                      const std::vector<T>& dshift,
                      const std::vector<T>& dscale, Results<T> dx) const {
    const T *shift = pass.shift.data() + pass.last(),
            *scale = pass.scale.data() + pass.last();
    std::vector<T> constant(channels), slope(channels);
    if (o.kind != kIdentity && !o.given) {
      const Plain<T> each = Plain<T>(1) / (batch * out_pixels());
      for (int64_t j = 0; j < channels; ++j) {
        constant[j] = dshift[j] * each;
        slope[j] = VarianceGradient(scale[j], dscale[j]) * (2 * each);
      }
    }
    const int64_t out_row = MakePool(o.kind).w.out_row();
    auto gradient = [&](int64_t image, int64_t block, Vector<T>* g) {
      const int64_t first = block * kLanes<T>, lanes = channels - first;
      const int64_t at = image * out_pixels() * channels;
      const Vector<T> centre = Load(shift + first, lanes);
      const Vector<T> own = Load(slope.data() + first, lanes);
      const Vector<T> all = Load(constant.data() + first, lanes);
      LoadBlock<T>(pass.y + at, out_height(), out_width(), channels, block,
                   out_row, g, [&](const Vector<T>& y) {
                     Vector<T> total = all;
                     AddProduct(total, own, y - centre);
                     return total;
                   });
      for (const Edge<T>& edge : edges) {
        const Vector<T> factor = Load(scale + first, lanes) * edge.weight;
        Array<T> from = edge.g + (at + first);
        for (int64_t row = 0; row < out_height(); ++row) {
          Vector<T>* to = g + row * out_row;
          for (int64_t i = 0; i < out_width(); ++i, from += channels) {
            AddProduct(to[i], factor, Load(from, lanes));
          }
        }
      }
    };
    if (o.kind != kIdentity) {
      MakePool(o.kind).Backward(gradient, dx);
      return;
    }
    team.Run(batch, 4 * out_size(), [&] {
      return [&, g = Scratch<T>(out_height() * out_row)](int64_t image) {
        for (int64_t b = 0; b < NumBlocks<T>(channels); ++b) {
          gradient(image, b, g.get());
          AddBlock<T>(g.get(), out_row, height, width, channels, b,
                      dx + image * out_pixels() * channels);
        }
      };
    });
  }

  // Per channel, the sum of g and that of g * (y - shift).
  std::vector<T> OutputSums(Array<T> g, Array<T> y, const T* shift) const {
    std::vector<T> each(batch * 2 * channels);
    ForImages([&](int64_t image, int64_t first) {
      for (int64_t c = 0; c < channels; c += kLanes<T>) {
        const int64_t lanes = channels - c;
        const Vector<T> centre = Load(shift + c, lanes);
        const Array<T> of_g = g + (first + c), of_y = y + (first + c);
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

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_MIXTURE_H_
