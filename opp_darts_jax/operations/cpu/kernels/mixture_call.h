// What calls of mixture.h's edges have in common.

#ifndef OPP_DARTS_JAX_KERNELS_MIXTURE_CALL_H_
#define OPP_DARTS_JAX_KERNELS_MIXTURE_CALL_H_

#include "call.h"
#include "edges.h"

namespace opp_darts {

// The operations, as attributes of a call.
struct Attributes {
  int64_t stride, images;
  Numbers kinds, repeats, sizes, dilations;

  Operations operations(int64_t channels) const {
    return {kinds, repeats, sizes, dilations, channels};
  }
};

template <typename Binding>
auto WithAttributes(Binding&& binding) {
  return std::move(binding)
      .template Attr<int64_t>("stride")
      .template Attr<int64_t>("images")
      .template Attr<Numbers>("kinds")
      .template Attr<Numbers>("repeats")
      .template Attr<Numbers>("sizes")
      .template Attr<Numbers>("dilations");
}

// Of a source, its number and `active`, then so many arguments and results.
template <int kArgs, int kResults>
auto SourceBinding() {
  return WithAttributes(WithResults<kResults>(
      WithArgs<kArgs>(Call()
                          .Arg<Buffer>()
                          .Arg<ffi::Buffer<ffi::S32>>()
                          .Arg<ffi::Buffer<ffi::PRED>>())));
}

// The edges of a call, x their source (B, H', W', C), the channels of several
// images. `given` is empty if norms take their own moments.
template <typename T>
Edges<T> MakeEdges(Team& team, const Attributes& attributes, Numbers x_shape,
                   Array<T> x, const ffi::Buffer<ffi::PRED>& active,
                   const T* weights, const T* params, const Buffer& given) {
  const int64_t* shape = x_shape.end() - 4;
  const SideBySide images{attributes.images, shape[3] / attributes.images};
  return {{team, shape[0], shape[1], shape[2], shape[3], attributes.stride, x,
           images},
          attributes.operations(images.channels),
          active.dimensions()[0],
          active.typed_data(),
          weights,
          params,
          given.element_count() > 0 ? given.typed_data() : nullptr};
}

inline void Clear(ResultBuffer& buffer) {
  std::fill_n(buffer->typed_data(), buffer->element_count(), 0);
}

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_MIXTURE_CALL_H_
