// The depthwise convolution and its kernel's gradient on CPU, for XLA's FFI.
//
// Images are spread over the threads of XLA's pool. Each is copied into blocks
// of as many channels as a vector has, with its padding, so that the inner loops
// read contiguous vectors, keep their sums in registers and know no borders.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

template <typename T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(32)));
};
template <typename T>
using Vector = typename VectorOf<T>::Type;
template <typename T>
constexpr int kLanes = 32 / sizeof(T);

// Less work than this, in products, is not worth waking other threads.
constexpr int64_t kWorthSharing = 1 << 17;

struct Shape {
  int64_t batch, height, width, channels;  // Of the input.
  int64_t out_height, out_width;
  int64_t size, stride, dilation;  // Of the kernel.

  int64_t pad() const { return dilation * (size - 1) / 2; }
  // Of the padded image. Loops that take `unroll` pixels at a time read on.
  int64_t padded_height() const { return height + 2 * pad(); }
  int64_t padded_width(int unroll) const {
    int64_t pixels = (out_width + unroll - 1) / unroll * unroll;
    int64_t read = (pixels - 1) * stride + (size - 1) * dilation + 1;
    return std::max(width + 2 * pad(), read);
  }
  int64_t products() const {
    return batch * out_height * out_width * channels * size * size;
  }
};

// Calls work(i) for i < count on the pool's threads and on this one, which does
// whatever no other thread has begun: it never waits for a busy pool.
template <typename Work>
void Parallel(ffi::ThreadPool pool, int64_t count, bool share, Work work) {
  int64_t helpers = share ? std::min(pool.num_threads(), count) - 1 : 0;
  if (helpers <= 0) {
    for (int64_t i = 0; i < count; ++i) work(i);
    return;
  }
  struct Progress {
    std::atomic<int64_t> next{0};
    int64_t done = 0;
    std::mutex mutex;
    std::condition_variable all_done;
  };
  auto progress = std::make_shared<Progress>();
  // A helper that comes late finds nothing to do, and touches no work.
  auto run = [progress, count, &work] {
    int64_t done = 0;
    for (int64_t i; (i = progress->next++) < count; ++done) work(i);
    if (done == 0) return;
    std::lock_guard<std::mutex> lock(progress->mutex);
    progress->done += done;
    if (progress->done == count) progress->all_done.notify_all();
  };
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule(std::function<void()>(run));
  run();
  std::unique_lock<std::mutex> lock(progress->mutex);
  progress->all_done.wait(lock, [&] { return progress->done == count; });
}

// Copies up to a vector's lanes of an array.
template <typename T>
Vector<T> Load(const T* from, int64_t lanes) {
  Vector<T> v = {};
  if (lanes >= kLanes<T>) {
    __builtin_memcpy(&v, from, sizeof(v));
  } else {
    for (int64_t i = 0; i < lanes; ++i) v[i] = from[i];
  }
  return v;
}

template <typename T>
void Store(const Vector<T>& v, T* to, int64_t lanes) {
  if (lanes >= kLanes<T>) {
    __builtin_memcpy(to, &v, sizeof(v));
  } else {
    for (int64_t i = 0; i < lanes; ++i) to[i] = v[i];
  }
}

// One block of channels of an image (height, width, channels), into the middle
// of zeros.
template <typename T>
void CopyBlock(const T* image, int64_t height, int64_t width, int64_t channels,
               int64_t first, int64_t pad, int64_t padded_width,
               Vector<T>* block) {
  int64_t lanes = channels - first;
  for (int64_t row = 0; row < height; ++row) {
    Vector<T>* to = block + (row + pad) * padded_width + pad;
    const T* from = image + row * width * channels + first;
    for (int64_t i = 0; i < width; ++i) to[i] = Load(from + i * channels, lanes);
  }
}

template <typename T, int kSize, int kStride, int kUnroll>
void ConvBlock(const Shape& s, const Vector<T>* block, const Vector<T>* kernel,
               int64_t first, T* out) {
  const int64_t size = kSize ? kSize : s.size;
  const int64_t stride = kStride ? kStride : s.stride;
  const int64_t width = s.padded_width(kUnroll);
  for (int64_t row = 0; row < s.out_height; ++row) {
    for (int64_t column = 0; column < s.out_width; column += kUnroll) {
      Vector<T> sums[kUnroll] = {};
      for (int64_t i = 0; i < size; ++i) {
        const Vector<T>* line = block +
                                (row * stride + i * s.dilation) * width +
                                column * stride;
        for (int64_t j = 0; j < size; ++j) {
          const Vector<T> tap = kernel[i * size + j];
          const Vector<T>* x = line + j * s.dilation;
          for (int u = 0; u < kUnroll; ++u) sums[u] += x[u * stride] * tap;
        }
      }
      int64_t pixels = std::min<int64_t>(kUnroll, s.out_width - column);
      T* to = out + (row * s.out_width + column) * s.channels + first;
      for (int64_t u = 0; u < pixels; ++u) {
        Store(sums[u], to + u * s.channels, s.channels - first);
      }
    }
  }
}

template <typename T, int kSize, int kStride, int kUnroll>
void ConvImages(ffi::ThreadPool pool, const Shape& s, const T* x,
                const T* kernel, T* out) {
  const int64_t blocks = (s.channels + kLanes<T> - 1) / kLanes<T>;
  const int64_t taps = s.size * s.size;
  std::vector<Vector<T>> kernels(blocks * taps);
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      int64_t first = b * kLanes<T>;
      kernels[b * taps + tap] =
          Load(kernel + tap * s.channels + first, s.channels - first);
    }
  }
  const int64_t width = s.padded_width(kUnroll);
  Parallel(pool, s.batch, s.products() > kWorthSharing, [&](int64_t image) {
    // Only the middle is written again: what surrounds it stays zero.
    std::vector<Vector<T>> block(s.padded_height() * width);
    for (int64_t b = 0; b < blocks; ++b) {
      int64_t first = b * kLanes<T>;
      CopyBlock(x + image * s.height * s.width * s.channels, s.height, s.width,
                s.channels, first, s.pad(), width, block.data());
      ConvBlock<T, kSize, kStride, kUnroll>(
          s, block.data(), kernels.data() + b * taps, first,
          out + image * s.out_height * s.out_width * s.channels);
    }
  });
}

template <typename T, int kSize, int kStride, int kUnroll>
void KernelGradBlock(const Shape& s, const Vector<T>* block,
                     const Vector<T>* g_block, int64_t g_width, int64_t first,
                     T* grad) {
  const int64_t stride = kStride ? kStride : s.stride;
  const int64_t width = s.padded_width(kUnroll);
  for (int64_t i = 0; i < s.size; ++i) {
    for (int64_t j0 = 0; j0 < s.size; j0 += kSize) {
      Vector<T> totals[kSize] = {};
      for (int64_t row = 0; row < s.out_height; ++row) {
        const Vector<T>* line = block +
                                (row * stride + i * s.dilation) * width +
                                j0 * s.dilation;
        const Vector<T>* g = g_block + row * g_width;
        Vector<T> sums[kUnroll][kSize] = {};
        for (int64_t column = 0; column < g_width; column += kUnroll) {
          for (int u = 0; u < kUnroll; ++u) {
            const Vector<T> gradient = g[column + u];
            const Vector<T>* x = line + (column + u) * stride;
            for (int j = 0; j < kSize; ++j) {
              sums[u][j] += x[j * s.dilation] * gradient;
            }
          }
        }
        for (int u = 0; u < kUnroll; ++u) {
          for (int j = 0; j < kSize; ++j) totals[j] += sums[u][j];
        }
      }
      for (int j = 0; j < kSize; ++j) {
        Store(totals[j], grad + (i * s.size + j0 + j) * s.channels + first,
              s.channels - first);
      }
    }
  }
}

template <typename T, int kSize, int kStride, int kUnroll>
void KernelGradImages(ffi::ThreadPool pool, const Shape& s, const T* x,
                      const T* g, T* out) {
  const int64_t blocks = (s.channels + kLanes<T> - 1) / kLanes<T>;
  const int64_t weights = s.size * s.size * s.channels;
  const int64_t width = s.padded_width(kUnroll);
  const int64_t g_width = (s.out_width + kUnroll - 1) / kUnroll * kUnroll;
  // One sum for each image: the result does not depend on the threads.
  std::vector<T> grads(s.batch * weights);
  Parallel(pool, s.batch, s.products() > kWorthSharing, [&](int64_t image) {
    std::vector<Vector<T>> block(s.padded_height() * width);
    std::vector<Vector<T>> g_block(s.out_height * g_width);
    for (int64_t b = 0; b < blocks; ++b) {
      int64_t first = b * kLanes<T>;
      CopyBlock(x + image * s.height * s.width * s.channels, s.height, s.width,
                s.channels, first, s.pad(), width, block.data());
      CopyBlock(g + image * s.out_height * s.out_width * s.channels,
                s.out_height, s.out_width, s.channels, first, 0, g_width,
                g_block.data());
      KernelGradBlock<T, kSize, kStride, kUnroll>(
          s, block.data(), g_block.data(), g_width, first,
          grads.data() + image * weights);
    }
  });
  std::fill(out, out + weights, T(0));
  for (int64_t image = 0; image < s.batch; ++image) {
    for (int64_t i = 0; i < weights; ++i) out[i] += grads[image * weights + i];
  }
}

template <typename T, int kSize, int kStride>
void Conv(ffi::ThreadPool pool, const Shape& s, const T* x, const T* kernel,
          T* out) {
  if (s.out_width > 4) {
    ConvImages<T, kSize, kStride, 8>(pool, s, x, kernel, out);
  } else {
    ConvImages<T, kSize, kStride, 4>(pool, s, x, kernel, out);
  }
}

template <typename T>
ffi::Error ConvOf(ffi::ThreadPool pool, const Shape& s, const T* x,
                  const T* kernel, T* out) {
  switch (s.stride * 100 + s.size) {
    case 103: Conv<T, 3, 1>(pool, s, x, kernel, out); break;
    case 105: Conv<T, 5, 1>(pool, s, x, kernel, out); break;
    case 203: Conv<T, 3, 2>(pool, s, x, kernel, out); break;
    case 205: Conv<T, 5, 2>(pool, s, x, kernel, out); break;
    default: Conv<T, 0, 0>(pool, s, x, kernel, out);
  }
  return ffi::Error::Success();
}

template <typename T>
ffi::Error KernelGradOf(ffi::ThreadPool pool, const Shape& s, const T* x,
                        const T* g, T* out) {
  switch (s.stride * 100 + s.size) {
    case 103: KernelGradImages<T, 3, 1, 3>(pool, s, x, g, out); break;
    case 105: KernelGradImages<T, 5, 1, 2>(pool, s, x, g, out); break;
    case 203: KernelGradImages<T, 3, 2, 3>(pool, s, x, g, out); break;
    case 205: KernelGradImages<T, 5, 2, 2>(pool, s, x, g, out); break;
    case 107: KernelGradImages<T, 7, 1, 1>(pool, s, x, g, out); break;
    case 207: KernelGradImages<T, 7, 2, 1>(pool, s, x, g, out); break;
    default: KernelGradImages<T, 1, 0, 4>(pool, s, x, g, out);
  }
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error DepthwiseConv(ffi::ThreadPool pool, ffi::Buffer<type> x,
                         ffi::Buffer<type> kernel,
                         ffi::ResultBuffer<type> out, int64_t stride,
                         int64_t dilation) {
  auto in = x.dimensions();
  auto o = out->dimensions();
  Shape s{in[0], in[1], in[2], in[3], o[1], o[2],
          static_cast<int64_t>(kernel.dimensions()[0]), stride, dilation};
  return ConvOf<ffi::NativeType<type>>(pool, s, x.typed_data(),
                                       kernel.typed_data(), out->typed_data());
}

template <ffi::DataType type>
ffi::Error KernelGrad(ffi::ThreadPool pool, ffi::Buffer<type> x,
                      ffi::Buffer<type> g, ffi::ResultBuffer<type> out,
                      int64_t stride, int64_t dilation) {
  auto in = x.dimensions();
  auto o = g.dimensions();
  Shape s{in[0], in[1], in[2], in[3], o[1], o[2],
          static_cast<int64_t>(out->dimensions()[0]), stride, dilation};
  return KernelGradOf<ffi::NativeType<type>>(pool, s, x.typed_data(),
                                             g.typed_data(), out->typed_data());
}

template <ffi::DataType type>
auto Binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<type>>()
      .template Attr<int64_t>("stride")
      .template Attr<int64_t>("dilation");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(depthwise_conv_float32,
                              DepthwiseConv<ffi::F32>,
                              Binding<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(depthwise_conv_float64,
                              DepthwiseConv<ffi::F64>,
                              Binding<ffi::F64>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(depthwise_kernel_grad_float32,
                              KernelGrad<ffi::F32>,
                              Binding<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(depthwise_kernel_grad_float64,
                              KernelGrad<ffi::F64>,
                              Binding<ffi::F64>());
