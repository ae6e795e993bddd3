// The checks of the edges that leave a node; a part of kernels_check.cc.

namespace sanitize {
namespace {

// As kernels/operation.h numbers them: two separable ones, pools, an identity.
const std::vector<int64_t> kKinds = {1, 0, 2, 0, 3};
const std::vector<int64_t> kRepeats = {0, 2, 0, 1, 0};
const std::vector<int64_t> kSizes = {0, 3, 0, 5, 0};
const std::vector<int64_t> kDilations = {0, 1, 0, 2, 0};
constexpr int64_t kEdges = 2, kStates = 4, kNorms = 2, kShared = 3;
enum { kOfStates, kOfX, kOfWeights, kOfParams, kOfG };

// Edges from state 1, or from a node that is none of the states, to the last
// two of four states. Point: states, x, weights, params, g.
struct Edges {
  Shape shape;
  bool inside;
  int64_t images;  // Side by side in the channels.
  int64_t num_operations;  // The identity, the last, leaves no reduction.
  Flags active;
  Tensor<int32_t> at;
  Numbers given;  // Moments that norms take; none if they take their own.

  Edges(const Shape& shape, bool inside, int64_t images, bool give)
      : shape(shape), inside(inside), images(images),
        num_operations(shape.stride == 1 ? 5 : 4),
        active({kEdges, num_operations}), at({}),
        given(Random({kEdges, give ? moments() : 0})) {
    // Variances are among them.
    for (int64_t i = 0; i < given.size(); ++i) given[i] = 1 + given[i] * given[i];
    for (int64_t i = 0; i < active.size(); ++i) active[i] = i % 4 != 1;
    at[0] = 1;
  }

  // Of 2 + 1 norms of separable operations and those of two pools.
  int64_t moments() const { return 2 * 5 * shape.channels / images; }

  Point RandomPoint() const {
    const int64_t c = shape.channels / images;
    int64_t params = 0;
    for (int64_t k = 0; k < num_operations; ++k) {
      params += kRepeats[k] * (kSizes[k] * kSizes[k] * c + c * c);
    }
    std::vector<int64_t> states = shape.result(shape.channels);
    states.insert(states.begin(), kStates);
    return {Random(states), Random(shape.in()),
            Random({kEdges, num_operations}), Random({kEdges, params}),
            Random(states)};
  }

  // The source of a point, if it is a state.
  Point WithSource(Point point) const {
    if (inside) {
      const int64_t size = point[kOfX].size();
      std::copy_n(point[kOfStates].data.get() + size, size,
                  point[kOfX].data.get());
    }
    return point;
  }

  Call& Attributes(Call& call) const {
    auto first = [&](std::vector<int64_t> all) {
      all.resize(num_operations);
      return all;
    };
    return call.Attr("stride", shape.stride)
        .Attr("images", images)
        .Attr("kinds", first(kKinds))
        .Attr("repeats", first(kRepeats))
        .Attr("sizes", first(kSizes))
        .Attr("dilations", first(kDilations));
  }

  Numbers Scratch(int64_t slots) const {
    std::vector<int64_t> dims = shape.result(shape.channels);
    dims.insert(dims.begin(), slots);
    return Numbers(dims);
  }

  Numbers Forward(const Point& point) const {
    Numbers states = point[kOfStates], scratch = Scratch(1 + kShared);
    Numbers found({kEdges, given.size() ? 0 : moments()});
    Call call;
    call.Arg(states);
    inside ? call.Arg(at) : call.Arg(point[kOfX]);
    call.Arg(active).Arg(point[kOfWeights]).Arg(point[kOfParams]).Arg(given);
    call.Ret(states).Ret(found).Ret(scratch);
    Run(Attributes(call), mixture, "mixture");
    return states;
  }

  double Value(const Point& point) const {
    return Dot({Forward(point)}, {point[kOfG]});
  }

  // Of the value, by states, x, weights and params; of a direction, its slope.
  Point Backward(const Point& of, const Point* direction = nullptr,
                 bool all_weights = true) const {
    const Point point = WithSource(of);
    Point along;
    if (direction) along = WithSource(*direction);
    Numbers dstates = direction ? along[kOfG] : point[kOfG];
    Numbers dx = inside ? Numbers({0}) : Numbers(shape.in());
    Numbers dweights(point[kOfWeights].dims);
    Numbers dparams = all_weights ? point[kOfParams] : Numbers({0});
    Numbers scratch = Scratch(kNorms * (direction ? 2 : 1));
    Call call;
    call.Arg(point[kOfX]).Arg(at).Arg(active);
    call.Arg(point[kOfWeights]).Arg(point[kOfParams]).Arg(given);
    if (direction) {
      call.Arg(point[kOfG]).Arg(along[kOfX]);
      call.Arg(along[kOfWeights]).Arg(along[kOfParams]);
    }
    call.Arg(dstates).Ret(dstates).Ret(dweights).Ret(dparams).Ret(dx);
    call.Ret(scratch);
    Run(Attributes(call), direction ? mixture_grad_jvp : mixture_grad,
        direction ? "mixture_grad_jvp" : "mixture_grad");
    return {dstates, dx, dweights, dparams};
  }

  Numbers Tangent(const Point& of, const Point& direction) const {
    const Point point = WithSource(of), along = WithSource(direction);
    Numbers states = along[kOfStates], none({0});
    Numbers scratch = Scratch(2 * (1 + kShared));
    Call call;
    call.Arg(point[kOfX]).Arg(at).Arg(active);
    call.Arg(point[kOfWeights]).Arg(point[kOfParams]).Arg(given).Arg(states);
    call.Arg(inside ? none : along[kOfX]);
    call.Arg(along[kOfWeights]).Arg(along[kOfParams]).Ret(states).Ret(scratch);
    Run(Attributes(call), mixture_jvp, "mixture_jvp");
    return states;
  }
};

// The parts of a point that a gradient is of.
Point Parts(const Edges& edges, const Point& point) {
  Numbers x = edges.inside ? Numbers({0}) : point[kOfX];
  return {point[kOfStates], x, point[kOfWeights], point[kOfParams]};
}

void CheckMixture(const Shape& shape, bool inside, int64_t images = 1,
                  bool give = false) {
  const Edges edges(shape, inside, images, give);
  const Point point = edges.RandomPoint(), other = RandomLike(point);
  Point direction = RandomLike(point);
  const Point second = edges.Backward(point, &direction);
  edges.Backward(point, &direction, false);
  edges.Backward(point, nullptr, false);
  // Of the gradient's product with `other`, whose own g is not looked at.
  const Point parts = Parts(edges, other);
  auto product = [&](const Point& at) {
    return Dot(edges.Backward(at), parts);
  };
  const double found = Dot(second, parts);
  if (kExact && !exhaust) {
    Expect(found, Slope(product, point, direction), 1e-4, "mixture_grad_jvp");
  }
  for (Number* g = direction[kOfG].data.get();
       g < direction[kOfG].data.get() + direction[kOfG].size(); ++g) {
    *g = 0;
  }
  const double tangent =
      Dot({edges.Tangent(point, direction)}, {point[kOfG]});
  const double gradient = Dot(edges.Backward(point), Parts(edges, direction));
  edges.Forward(point);
  if (!kExact || exhaust) return;
  auto value = [&](const Point& at) { return edges.Value(at); };
  const double slope = Slope(value, point, direction);
  Expect(tangent, slope, 1e-5, "mixture_jvp");
  Expect(gradient, slope, 1e-5, "mixture_grad");
}

}  // namespace
}  // namespace sanitize
