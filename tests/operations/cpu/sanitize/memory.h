// Memory that runs out when a test says so.

#ifndef OPP_DARTS_JAX_SANITIZE_MEMORY_H_
#define OPP_DARTS_JAX_SANITIZE_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace memory {

// How many more allocations succeed; the one after them fails, and no other.
inline std::atomic<int64_t> left{INT64_MAX};
// Of what XLA itself allocates none fails.
inline thread_local bool exempt = false;

struct Exempt {
  bool before = exempt;
  Exempt() { exempt = true; }
  ~Exempt() { exempt = before; }
};

// Not inline, nor what gives back: compilers would see one without the other.
[[gnu::noinline]] inline void* Allocate(std::size_t size, std::size_t alignment) {
  if (!exempt && left-- == 0) throw std::bad_alloc();
  size = (size + alignment - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, size ? size : alignment);
}
[[gnu::noinline]] inline void Free(void* at) { std::free(at); }

}  // namespace memory

void* operator new(std::size_t size) {
  return memory::Allocate(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return memory::Allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* at) noexcept { memory::Free(at); }
void operator delete(void* at, std::size_t) noexcept { memory::Free(at); }
void operator delete(void* at, std::align_val_t) noexcept { memory::Free(at); }
void operator delete(void* at, std::size_t, std::align_val_t) noexcept {
  memory::Free(at);
}

#endif  // OPP_DARTS_JAX_SANITIZE_MEMORY_H_
