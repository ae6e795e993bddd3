// How XLA's FFI on CPU calls the kernels: with arrays of one type of numbers,
// OPP_DARTS_TYPE, for which a library is compiled (native.py).

#ifndef OPP_DARTS_JAX_KERNELS_CALL_H_
#define OPP_DARTS_JAX_KERNELS_CALL_H_

#include <exception>
#include <utility>

#include "team.h"
#include "xla/ffi/api/ffi.h"

namespace opp_darts {

constexpr ffi::DataType kType = ffi::OPP_DARTS_TYPE;
using Number = ffi::NativeType<kType>;
using Buffer = ffi::Buffer<kType>;
using ResultBuffer = ffi::ResultBuffer<kType>;
using Numbers = ffi::Span<const int64_t>;

// A call of kernels, with so many arguments and results after what it has.
inline auto Call() { return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>(); }

template <int kArgs, typename Binding>
auto WithArgs(Binding&& binding) {
  auto one = [&] { return std::move(binding).template Arg<Buffer>(); };
  if constexpr (kArgs == 1) {
    return one();
  } else {
    return WithArgs<kArgs - 1>(one());
  }
}

template <int kResults, typename Binding>
auto WithResults(Binding&& binding) {
  auto one = [&] { return std::move(binding).template Ret<Buffer>(); };
  if constexpr (kResults == 1) {
    return one();
  } else {
    return WithResults<kResults - 1>(one());
  }
}

// A handler for which too little memory is an error of the call, as XLA's own
// operations have it: an exception would end the process.
template <typename... Args>
auto Guarded(ffi::Error (*handler)(Args...)) {
  return [handler](Args... args) {
    try {
      return handler(std::move(args)...);
    } catch (const std::exception&) {  // std::bad_alloc, std::length_error.
      return ffi::Error(ffi::ErrorCode::kResourceExhausted,
                        "Out of memory in a C++ kernel.");
    }
  };
}

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_CALL_H_
