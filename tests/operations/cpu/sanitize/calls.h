// Calls of the kernels as XLA makes them, through the C API of its FFI.

#ifndef OPP_DARTS_JAX_SANITIZE_CALLS_H_
#define OPP_DARTS_JAX_SANITIZE_CALLS_H_

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "call.h"
#include "memory.h"

// The header leaves what an error is to the runtime.
struct XLA_FFI_Error {
  XLA_FFI_Error_Code code;
};

// The pool of a call, which the header knows by name alone; one that is full
// runs at once what it is given.
struct XLA_FFI_ExecutionContext {
  int64_t num_threads;
  bool full;
  std::vector<std::thread> threads;
};

namespace sanitize {

using opp_darts::Number;

// Of exactly its size, so that what is beyond it is seen.
template <typename T>
struct Tensor {
  std::vector<int64_t> dims;
  std::unique_ptr<T[]> data;

  explicit Tensor(std::vector<int64_t> of) : dims(std::move(of)) {
    data = std::make_unique<T[]>(size());
  }
  Tensor(const Tensor& other) : Tensor(other.dims) {
    std::copy_n(other.data.get(), size(), data.get());
  }
  Tensor& operator=(Tensor other) {
    std::swap(dims, other.dims);
    std::swap(data, other.data);
    return *this;
  }
  int64_t size() const {
    int64_t product = 1;
    for (int64_t dim : dims) product *= dim;
    return product;
  }
  T& operator[](int64_t i) { return data[i]; }
  const T& operator[](int64_t i) const { return data[i]; }
};

using Numbers = Tensor<Number>;

inline XLA_FFI_DataType TypeOf(Number) {
  return static_cast<XLA_FFI_DataType>(opp_darts::kType);
}
inline XLA_FFI_DataType TypeOf(int32_t) { return XLA_FFI_DataType_S32; }
inline XLA_FFI_DataType TypeOf(bool) { return XLA_FFI_DataType_PRED; }

inline const XLA_FFI_Api* Api() {
  static const XLA_FFI_Api api = [] {
    XLA_FFI_Api api = {};
    api.struct_size = XLA_FFI_Api_STRUCT_SIZE;
    api.api_version = {XLA_FFI_Api_Version_STRUCT_SIZE, nullptr,
                       XLA_FFI_API_MAJOR, XLA_FFI_API_MINOR};
    api.XLA_FFI_Error_Create = [](XLA_FFI_Error_Create_Args* args) {
      memory::Exempt exempt;
      return new XLA_FFI_Error{args->errc};
    };
    api.XLA_FFI_Error_GetMessage = [](XLA_FFI_Error_GetMessage_Args* args) {
      args->message = "";
    };
    api.XLA_FFI_Error_Destroy = [](XLA_FFI_Error_Destroy_Args* args) {
      delete args->error;
    };
    api.XLA_FFI_ThreadPool_NumThreads =
        [](XLA_FFI_ThreadPool_NumThreads_Args* args) -> XLA_FFI_Error* {
      *args->num_threads = args->ctx->num_threads;
      return nullptr;
    };
    api.XLA_FFI_ThreadPool_Schedule =
        [](XLA_FFI_ThreadPool_Schedule_Args* args) -> XLA_FFI_Error* {
      memory::Exempt exempt;
      if (args->ctx->full) {
        args->task(args->data);
      } else {
        args->ctx->threads.emplace_back(args->task, args->data);
      }
      return nullptr;
    };
    return api;
  }();
  return &api;
}

// A call, whose arguments and results outlive it.
class Call {
 public:
  template <typename T>
  Call& Arg(const Tensor<T>& tensor) {
    args_.push_back(Buffer(tensor));
    return *this;
  }
  template <typename T>
  Call& Ret(Tensor<T>& tensor) {
    rets_.push_back(Buffer(tensor));
    return *this;
  }
  Call& Attr(const std::string& name, int64_t value) {
    scalars_[name] = value;
    return *this;
  }
  Call& Attr(const std::string& name, std::vector<int64_t> values) {
    lists_[name] = std::move(values);
    return *this;
  }

  // The code of the error, 0 of none. The allocation of number `fails` fails;
  // `failed` is whether there was one.
  int Run(XLA_FFI_Handler* handler, int64_t num_threads, bool full = false,
          int64_t fails = INT64_MAX) {
    std::vector<XLA_FFI_ArgType> arg_types(args_.size(),
                                           XLA_FFI_ArgType_BUFFER);
    std::vector<XLA_FFI_RetType> ret_types(rets_.size(),
                                           XLA_FFI_RetType_BUFFER);
    std::vector<void*> args, rets, attrs;
    for (auto& buffer : args_) args.push_back(&buffer);
    for (auto& buffer : rets_) rets.push_back(&buffer);
    // By their names, as XLA sorts them.
    std::map<std::string, std::pair<XLA_FFI_AttrType, void*>> named;
    std::map<std::string, XLA_FFI_Scalar> scalars;
    std::map<std::string, XLA_FFI_Array> lists;
    for (auto& [name, value] : scalars_) {
      scalars[name] = {XLA_FFI_DataType_S64, &value};
      named[name] = {XLA_FFI_AttrType_SCALAR, &scalars[name]};
    }
    for (auto& [name, list] : lists_) {
      lists[name] = {XLA_FFI_DataType_S64, list.size(), list.data()};
      named[name] = {XLA_FFI_AttrType_ARRAY, &lists[name]};
    }
    std::vector<XLA_FFI_ByteSpan> spans;
    std::vector<XLA_FFI_AttrType> attr_types;
    for (auto& [name, attr] : named) {
      spans.push_back({name.data(), name.size()});
      attr_types.push_back(attr.first);
      attrs.push_back(attr.second);
    }
    std::vector<XLA_FFI_ByteSpan*> names;
    for (auto& span : spans) names.push_back(&span);
    XLA_FFI_ExecutionContext context{num_threads, full, {}};
    XLA_FFI_CallFrame frame = {};
    frame.struct_size = XLA_FFI_CallFrame_STRUCT_SIZE;
    frame.api = Api();
    frame.ctx = &context;
    frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
    frame.args = {XLA_FFI_Args_STRUCT_SIZE, nullptr,
                  static_cast<int64_t>(args.size()), arg_types.data(),
                  args.data()};
    frame.rets = {XLA_FFI_Rets_STRUCT_SIZE, nullptr,
                  static_cast<int64_t>(rets.size()), ret_types.data(),
                  rets.data()};
    frame.attrs = {XLA_FFI_Attrs_STRUCT_SIZE, nullptr,
                   static_cast<int64_t>(attrs.size()), attr_types.data(),
                   names.data(), attrs.data()};
    std::unique_ptr<XLA_FFI_Error> error;
    memory::left = fails;
    error.reset(handler(&frame));
    failed = memory::left < 0;
    memory::left = INT64_MAX;
    for (auto& thread : context.threads) thread.join();
    return error ? error->code : 0;
  }

  bool failed = false;

 private:
  template <typename T>
  static XLA_FFI_Buffer Buffer(const Tensor<T>& tensor) {
    return {XLA_FFI_Buffer_STRUCT_SIZE,
            nullptr,
            TypeOf(T{}),
            tensor.data.get(),
            static_cast<int64_t>(tensor.dims.size()),
            const_cast<int64_t*>(tensor.dims.data())};
  }

  std::vector<XLA_FFI_Buffer> args_, rets_;
  std::map<std::string, int64_t> scalars_;
  std::map<std::string, std::vector<int64_t>> lists_;
};

}  // namespace sanitize

#endif  // OPP_DARTS_JAX_SANITIZE_CALLS_H_
