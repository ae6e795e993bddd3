// Vectors of numbers, dual numbers, and where they lie in memory.
//
// The kernels are written once, for a number T: float, double, or a dual number
// of these, a value with its derivative along some direction. On dual numbers
// they compute the derivatives of what they compute on plain ones.

#ifndef OPP_DARTS_JAX_KERNELS_DUAL_H_
#define OPP_DARTS_JAX_KERNELS_DUAL_H_

#include <cmath>
#include <cstdint>
#include <type_traits>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace opp_darts {

template <typename V>
struct Dual {
  V value, tangent;

  template <typename U>
  operator Dual<U>() const {
    return {U(value), U(tangent)};
  }
  Dual operator-() const { return {-value, -tangent}; }
  Dual& operator+=(const Dual& other) { return *this = *this + other; }
};

template <typename V>
Dual<V> operator+(const Dual<V>& a, const Dual<V>& b) {
  return {a.value + b.value, a.tangent + b.tangent};
}
template <typename V>
Dual<V> operator-(const Dual<V>& a, const Dual<V>& b) {
  return {a.value - b.value, a.tangent - b.tangent};
}
template <typename V, typename S>
Dual<V> operator-(const Dual<V>& a, S b) {
  return {a.value - b, a.tangent};
}
template <typename V, typename U>
auto operator*(const Dual<V>& a, const Dual<U>& b) {
  return Dual<decltype(a.value * b.value)>{
      a.value * b.value, a.value * b.tangent + a.tangent * b.value};
}
template <typename V, typename S>
auto operator*(const Dual<V>& a, S b) {
  return Dual<decltype(a.value * b)>{a.value * b, a.tangent * b};
}
template <typename V, typename S>
Dual<V> operator/(const Dual<V>& a, S b) {
  return {a.value / b, a.tangent / b};
}

// sum += a * b, each product added by itself, as the processor does it.
template <typename V, typename A, typename B>
void AddProduct(V& sum, const A& a, const B& b) {
  sum += a * b;
}
template <typename V, typename A, typename B>
void AddProduct(Dual<V>& sum, const Dual<A>& a, const Dual<B>& b) {
  sum.value += a.value * b.value;
  sum.tangent += a.value * b.tangent;
  sum.tangent += a.tangent * b.value;
}

template <typename V>
const V& Value(const V& v) {
  return v;
}
template <typename V>
const V& Value(const Dual<V>& v) {
  return v.value;
}

// By the lanes of a condition, those of a or of b.
template <typename C, typename V>
V Select(const C& condition, const V& a, const V& b) {
  return condition ? a : b;
}
template <typename C, typename V>
Dual<V> Select(const C& condition, const Dual<V>& a, const Dual<V>& b) {
  return {condition ? a.value : b.value, condition ? a.tangent : b.tangent};
}

// a / b, and 0 where b is.
template <typename V>
V Quotient(const V& a, const V& b) {
  return b != V{} ? a / b : V{};
}
template <typename V>
Dual<V> Quotient(const Dual<V>& a, const Dual<V>& b) {
  const V value = Quotient(a.value, b.value);
  return {value, Quotient(a.tangent - value * b.tangent, b.value)};
}

// 1 / sqrt(v + epsilon).
template <typename T>
T InverseRoot(T v, double epsilon) {
  return 1 / std::sqrt(v + epsilon);
}
template <typename T>
Dual<T> InverseRoot(const Dual<T>& v, double epsilon) {
  const T root = InverseRoot(v.value, epsilon);
  return {root, T(-0.5) * root * root * root * v.tangent};
}

// Dual numbers lie as two arrays.
template <typename T>
struct DualArray {
  T *value, *tangent;

  DualArray operator+(int64_t n) const { return {value + n, tangent + n}; }
  DualArray& operator+=(int64_t n) { return *this = *this + n; }
  explicit operator bool() const { return value != nullptr; }
};

// Or as the second one alone, where nobody asks for the values: they are taken
// to be 0, and not written.
template <typename T>
struct Tangents {
  T* tangent;

  Tangents operator+(int64_t n) const { return {tangent + n}; }
  Tangents& operator+=(int64_t n) { return *this = *this + n; }
};

// The size of a vector.
#ifdef __AVX512F__
constexpr int kBytes = 64;
#else
constexpr int kBytes = 32;
#endif

// What goes with a number T: the plain number; a vector of it; an array of it,
// and one of results; and how many pixels at a time keep the registers full.
template <typename T>
struct Types {
  using Plain = T;
  typedef T Vector __attribute__((vector_size(kBytes)));
  // The same in an array, at any number.
  typedef T InArray
      __attribute__((vector_size(kBytes), aligned(sizeof(T)), may_alias));
  using Array = T*;
  using Results = T*;
  static constexpr int kPixels = 8;
};
template <typename T>
struct Types<Dual<T>> {
  using Plain = T;
  using Vector = Dual<typename Types<T>::Vector>;
  using Array = DualArray<T>;
  using Results = Tangents<T>;
  static constexpr int kPixels = 4;
};

template <typename T>
using Plain = typename Types<T>::Plain;
template <typename T>
using Vector = typename Types<T>::Vector;
template <typename T>
using Array = typename Types<T>::Array;
template <typename T>
using Results = typename Types<T>::Results;
template <typename T>
constexpr int kLanes = kBytes / sizeof(Plain<T>);

// Fewer numbers than a vector's lanes, from and to an array.
#ifdef __AVX512F__
inline Vector<float> LoadPart(const float* from, int64_t lanes) {
  return _mm512_maskz_loadu_ps((1 << lanes) - 1, from);
}
inline Vector<double> LoadPart(const double* from, int64_t lanes) {
  return _mm512_maskz_loadu_pd((1 << lanes) - 1, from);
}
inline void StorePart(const Vector<float>& v, float* to, int64_t lanes) {
  _mm512_mask_storeu_ps(to, (1 << lanes) - 1, v);
}
inline void StorePart(const Vector<double>& v, double* to, int64_t lanes) {
  _mm512_mask_storeu_pd(to, (1 << lanes) - 1, v);
}
#else
template <typename T>
Vector<T> LoadPart(const T* from, int64_t lanes) {
  Vector<T> v = {};
  for (int64_t i = 0; i < lanes; ++i) v[i] = from[i];
  return v;
}
template <typename T>
void StorePart(const Vector<T>& v, T* to, int64_t lanes) {
  for (int64_t i = 0; i < lanes; ++i) to[i] = v[i];
}
#endif

// Copies up to a vector's lanes of an array.
template <typename T>
Vector<T> Load(const T* from, int64_t lanes) {
  using InArray = typename Types<T>::InArray;
  if (lanes >= kLanes<T>) return *reinterpret_cast<const InArray*>(from);
  return LoadPart(from, lanes);
}
template <typename T>
Vector<Dual<T>> Load(const Dual<T>* from, int64_t lanes) {
  Vector<Dual<T>> v = {};
  for (int64_t i = 0; i < lanes && i < kLanes<T>; ++i) {
    v.value[i] = from[i].value;
    v.tangent[i] = from[i].tangent;
  }
  return v;
}
template <typename T>
Vector<Dual<T>> Load(DualArray<T> from, int64_t lanes) {
  return {Load(from.value, lanes), Load(from.tangent, lanes)};
}
template <typename T>
Vector<Dual<T>> Load(Tangents<T> from, int64_t lanes) {
  return {Vector<T>{}, Load(from.tangent, lanes)};
}

template <typename T>
void Store(const Vector<T>& v, T* to, int64_t lanes) {
  using InArray = typename Types<T>::InArray;
  if (lanes >= kLanes<T>) {
    *reinterpret_cast<InArray*>(to) = v;
  } else {
    StorePart(v, to, lanes);
  }
}
template <typename T>
void Store(const Vector<Dual<T>>& v, Dual<T>* to, int64_t lanes) {
  for (int64_t i = 0; i < lanes && i < kLanes<T>; ++i) {
    to[i] = {v.value[i], v.tangent[i]};
  }
}
template <typename T>
void Store(const Vector<Dual<T>>& v, DualArray<T> to, int64_t lanes) {
  Store(v.value, to.value, lanes);
  Store(v.tangent, to.tangent, lanes);
}
template <typename T>
void Store(const Vector<Dual<T>>& v, Tangents<T> to, int64_t lanes) {
  Store(v.tangent, to.tangent, lanes);
}

// A lane of a vector in memory, as a number.
template <typename V>
auto Lane(const V* of, int64_t lane) {
  using T = std::decay_t<decltype((*of)[0])>;
  return reinterpret_cast<const T*>(of)[lane];
}
template <typename V>
auto Lane(const Dual<V>* of, int64_t lane) {
  const auto value = Lane(&of->value, lane);
  return Dual<std::decay_t<decltype(value)>>{value, Lane(&of->tangent, lane)};
}

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_DUAL_H_
