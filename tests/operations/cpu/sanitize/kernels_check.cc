// Calls every kernel on odd shapes, with and without helping threads and with
// memory that runs out, and compares with plain loops or differences of values.
// Built with a sanitizer, which ends it where it sees something wrong.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>

#include "calls.h"

extern "C" {
XLA_FFI_Error* depthwise_conv(XLA_FFI_CallFrame*);
XLA_FFI_Error* depthwise_kernel_grad(XLA_FFI_CallFrame*);
XLA_FFI_Error* separable(XLA_FFI_CallFrame*);
XLA_FFI_Error* separable_grad(XLA_FFI_CallFrame*);
XLA_FFI_Error* mixture(XLA_FFI_CallFrame*);
XLA_FFI_Error* mixture_grad(XLA_FFI_CallFrame*);
XLA_FFI_Error* mixture_jvp(XLA_FFI_CallFrame*);
XLA_FFI_Error* mixture_grad_jvp(XLA_FFI_CallFrame*);
}

namespace sanitize {
namespace {

using Point = std::vector<Numbers>;
using Flags = Tensor<bool>;
constexpr bool kExact = sizeof(Number) == 8;  // Differences make sense.

void Expect(double found, double wanted, double tolerance, const char* what) {
  const double scale = 1 + std::abs(wanted);
  if (std::abs(found - wanted) <= tolerance * scale) return;
  std::printf("%s: found %.12g, expected %.12g\n", what, found, wanted);
  std::exit(1);
}

Numbers Random(std::vector<int64_t> dims) {
  static std::mt19937 bits(0);
  std::normal_distribution<Number> normal;
  Numbers tensor(std::move(dims));
  for (int64_t i = 0; i < tensor.size(); ++i) tensor[i] = normal(bits);
  return tensor;
}

Point RandomLike(const Point& point) {
  Point random;
  for (const Numbers& tensor : point) random.push_back(Random(tensor.dims));
  return random;
}

double Dot(const Point& a, const Point& b) {
  double sum = 0;
  for (size_t k = 0; k < a.size(); ++k) {
    for (int64_t i = 0; i < a[k].size(); ++i) sum += a[k][i] * b[k][i];
  }
  return sum;
}

Point Along(Point point, const Point& direction, double step) {
  for (size_t k = 0; k < point.size(); ++k) {
    for (int64_t i = 0; i < point[k].size(); ++i) {
      point[k][i] += step * direction[k][i];
    }
  }
  return point;
}

// The derivative of value(point) along a direction.
double Slope(const std::function<double(const Point&)>& value,
             const Point& point, const Point& direction) {
  const double step = 1e-6;
  return (value(Along(point, direction, step)) -
          value(Along(point, direction, -step))) /
         (2 * step);
}

// Whether memory runs out at every allocation in turn, as an error of the call.
bool exhaust = false;

void Run(Call& call, XLA_FFI_Handler* handler, const char* what) {
  if (exhaust) {
    // The call after the last failure is whole, but what its results began as
    // has been overwritten: they are not looked at.
    for (int64_t fails = 0;; ++fails) {
      const int code = call.Run(handler, 3, false, fails);
      Expect(code, call.failed ? XLA_FFI_Error_Code_RESOURCE_EXHAUSTED : 0, 0,
             what);
      if (!call.failed) return;
    }
  }
  static int turn = 0;
  const int64_t threads = 1 + ++turn % 4;
  Expect(call.Run(handler, threads, turn % 5 == 0), 0, 0, what);
}

struct Shape {
  int64_t batch, height, width, channels, size, stride, dilation;

  int64_t out(int64_t n) const { return (n + stride - 1) / stride; }
  std::vector<int64_t> in() const { return {batch, height, width, channels}; }
  std::vector<int64_t> result(int64_t out_channels) const {
    return {batch, out(height), out(width), out_channels};
  }
};

// Calls visit(index in x, tap * C + c, index in the result) for each product.
template <typename Visit>
void Products(const Shape& s, Visit visit) {
  const int64_t pad = s.dilation * (s.size - 1) / 2, c = s.channels;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t row = 0; row < s.out(s.height); ++row)
      for (int64_t col = 0; col < s.out(s.width); ++col)
        for (int64_t tap = 0; tap < s.size * s.size; ++tap) {
          const int64_t y = row * s.stride + tap / s.size * s.dilation - pad;
          const int64_t x = col * s.stride + tap % s.size * s.dilation - pad;
          if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
          const int64_t in = ((b * s.height + y) * s.width + x) * c;
          const int64_t out =
              ((b * s.out(s.height) + row) * s.out(s.width) + col) * c;
          for (int64_t k = 0; k < c; ++k) visit(in + k, tap * c + k, out + k);
        }
}

Numbers Convolved(const Shape& s, const Numbers& x, const Numbers& kernel) {
  Numbers y(s.result(s.channels));
  Products(s, [&](int64_t in, int64_t tap, int64_t out) {
    y[out] += x[in] * kernel[tap];
  });
  return y;
}

void ExpectSame(const Numbers& found, const Numbers& wanted, const char* what) {
  for (int64_t i = 0; i < wanted.size() && !exhaust; ++i) {
    Expect(found[i], wanted[i], kExact ? 1e-10 : 1e-3, what);
  }
}

void CheckDepthwise(const Shape& s) {
  const Numbers x = Random(s.in()), g = Random(s.result(s.channels));
  const Numbers kernel = Random({s.size, s.size, s.channels});
  auto call = [&](const Numbers& a, const Numbers& b, Numbers& result) {
    Call call;
    call.Arg(a).Arg(b).Ret(result);
    return call.Attr("stride", s.stride).Attr("dilation", s.dilation);
  };
  Numbers y(g.dims), grad(kernel.dims), wanted(kernel.dims);
  Call forward = call(x, kernel, y), backward = call(x, g, grad);
  Run(forward, depthwise_conv, "depthwise_conv");
  ExpectSame(y, Convolved(s, x, kernel), "depthwise_conv");
  Run(backward, depthwise_kernel_grad, "depthwise_kernel_grad");
  Products(s, [&](int64_t in, int64_t tap, int64_t out) {
    wanted[tap] += x[in] * g[out];
  });
  ExpectSame(grad, wanted, "depthwise_kernel_grad");
}

// Point: x, shift, scale, kernel, pointwise -> y, mean, var.
Point Separable(const Shape& s, int64_t out_channels, const Point& point) {
  Point results = {Numbers(s.result(out_channels)), Numbers({out_channels}),
                   Numbers({out_channels})};
  Call call;
  for (const Numbers& tensor : point) call.Arg(tensor);
  for (Numbers& tensor : results) call.Ret(tensor);
  call.Attr("stride", s.stride).Attr("dilation", s.dilation);
  Run(call, separable, "separable");
  return results;
}

void CheckSeparable(const Shape& s, int64_t out_channels) {
  const int64_t c = s.channels;
  const Point point = {Random(s.in()), Random({c}), Random({c}),
                       Random({s.size, s.size, c}), Random({c, out_channels})};
  const Point results = Separable(s, out_channels, point);
  Numbers u = point[0], wanted(results[0].dims);
  for (int64_t i = 0; i < u.size(); ++i) {
    const Number v = (u[i] - point[1][i % c]) * point[2][i % c];
    u[i] = std::max<Number>(v, 0);
  }
  const Numbers d = Convolved(s, u, point[3]);
  for (int64_t i = 0; i < wanted.size(); ++i) {
    const int64_t pixel = i / out_channels, to = i % out_channels;
    for (int64_t k = 0; k < c; ++k) {
      wanted[i] += d[pixel * c + k] * point[4][k * out_channels + to];
    }
  }
  ExpectSame(results[0], wanted, "separable");
  const Point g = RandomLike(results);
  for (bool whole : {true, false}) {
    Point grads = point;
    if (!whole) grads[3] = Numbers({0});
    Call call;
    for (const Numbers& tensor : point) call.Arg(tensor);
    call.Arg(results[1]);
    for (const Numbers& tensor : g) call.Arg(tensor);
    for (Numbers& tensor : grads) call.Ret(tensor);
    call.Attr("stride", s.stride).Attr("dilation", s.dilation);
    Run(call, separable_grad, "separable_grad");
    if (!whole || !kExact || exhaust) continue;
    const Point direction = RandomLike(point);
    auto value = [&](const Point& at) {
      return Dot(g, Separable(s, out_channels, at));
    };
    Expect(Dot(grads, direction), Slope(value, point, direction), 1e-5,
           "separable_grad");
  }
}

}  // namespace
}  // namespace sanitize

#include "mixture_check.h"

int main() {
  using sanitize::Shape;
  for (bool exhaust : {false, true}) {
    sanitize::exhaust = exhaust;
    // Of batch, height, width, channels, size, stride, dilation.
    for (const Shape& s : std::vector<Shape>{{2, 5, 7, 3, 3, 1, 1},
                                             {3, 9, 8, 17, 5, 2, 2},
                                             {1, 1, 1, 1, 3, 1, 1},
                                             {2, 2, 3, 33, 7, 1, 1},
                                             {5, 16, 13, 16, 5, 1, 2},
                                             {2, 6, 5, 9, 1, 2, 1},
                                             {1, 3, 4, 2, 9, 1, 3}}) {
      sanitize::CheckDepthwise(s);
      if (exhaust && s.batch * s.height > 30) continue;  // Takes long.
      sanitize::CheckSeparable(s, s.channels);
      sanitize::CheckSeparable(s, s.channels + 2);
    }
    for (int64_t stride : {1, 2}) {
      for (bool inside : {true, false}) {
        if (inside && stride == 2) continue;
        sanitize::CheckMixture({2, 5, 6, 3, 0, stride, 0}, inside);
        if (exhaust) continue;
        sanitize::CheckMixture({2, 4, 5, 6, 0, stride, 0}, inside, 2);
        sanitize::CheckMixture({2, 4, 5, 6, 0, stride, 0}, inside, 2, true);
        sanitize::CheckMixture({3, 8, 7, 18, 0, stride, 0}, inside);
      }
    }
  }
  std::puts("All kernels are as they should be.");
  return 0;
}
