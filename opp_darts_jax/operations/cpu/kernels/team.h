// Threads that work together for as long as a call lasts.

#ifndef OPP_DARTS_JAX_KERNELS_TEAM_H_
#define OPP_DARTS_JAX_KERNELS_TEAM_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace opp_darts {

// Lets the other thread of a core work, then other threads.
inline void Pause() {
#ifdef __x86_64__
  for (int i = 0; i < 8; ++i) __builtin_ia32_pause();
#endif
  std::this_thread::yield();
}

// The thread that makes it, and threads of a pool that help with one loop after
// the other. A call has dozens of loops of some 10 microseconds: helpers are
// woken once, and look for the next loop instead of being woken for it. The
// caller does whatever no helper has begun: it never waits for a busy pool.
class Team {
 public:
  explicit Team(ffi::ThreadPool pool)
      : pool_(pool), helpers_(std::max<int64_t>(pool.num_threads(), 1) - 1) {}
  Team(const Team&) = delete;
  ~Team() { shared_->phase = kOver; }

  // Calls work(i) for i < count. Each thread makes a work of its own, with the
  // scratch that it needs. Less than some number of products is not worth
  // sharing. Threads begin at different numbers, and every other loop runs
  // backwards: what a thread's last loop left in its caches comes first. Throws
  // std::bad_alloc if a thread had too little memory, when all have ended.
  template <typename Make>
  void Run(int64_t count, int64_t products, Make make) {
    backwards_ = !backwards_;
    const int64_t parts =
        products < 1 << 15 ? 1 : std::min(helpers_ + 1, count);
    std::vector<std::atomic<int64_t>> next(parts);
    for (int64_t part = 0; part < parts; ++part) {
      next[part] = part * count / parts;
    }
    std::atomic<bool> failed{false};
    // Each thread does its part, then what is left of the others'. An exception
    // would end the process if it left a helper.
    auto run = [&, backwards = backwards_](int64_t thread) noexcept {
      int64_t part = thread, begun = 0;
      auto claim = [&]() -> int64_t {
        for (; begun < parts; ++begun, ++part) {
          const int64_t own = part % parts;
          const int64_t first = own * count / parts;
          const int64_t end = (own + 1) * count / parts;
          const int64_t i = next[own]++;
          if (i < end) return backwards ? end - 1 - (i - first) : i;
        }
        return -1;
      };
      int64_t i = claim();
      if (i < 0) return;
      try {
        for (auto work = make(); i >= 0; i = claim()) work(i);
      } catch (...) {
        failed = true;
      }
    };
    if (parts == 1) {
      run(0);
    } else {
      Assemble(parts - 1);
      shared_->run = run;
      const int64_t phase = ++shared_->phase;
      run(0);
      shared_->phase = phase + 1;
      while (shared_->inside > 0) Pause();
    }
    if (failed) throw std::bad_alloc();
  }

 private:
  static constexpr int64_t kOver = -1;

  // Helpers may come late, when the team is no more.
  struct Shared {
    std::atomic<int64_t> phase{0};  // Odd while there is a loop.
    std::atomic<int64_t> inside{0};
    std::function<void(int64_t)> run;
  };

  void Assemble(int64_t helpers) {
    if (shared_->phase > 0) return;
    for (int64_t i = 0; i < helpers; ++i) {
      pool_.Schedule([shared = shared_, thread = i + 1,
                      caller = std::this_thread::get_id()] {
        // A pool that is full runs its tasks at once, on the caller's thread.
        if (std::this_thread::get_id() == caller) return;
        for (int64_t done = 0; done != kOver;) {
          const int64_t phase = shared->phase;
          if (phase == done || phase % 2 == 0) {
            Pause();
            continue;
          }
          ++shared->inside;
          if (shared->phase == phase && phase != kOver) shared->run(thread);
          --shared->inside;
          done = phase;
        }
      });
    }
  }

  ffi::ThreadPool pool_;
  int64_t helpers_;
  bool backwards_ = false;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace opp_darts

#endif  // OPP_DARTS_JAX_KERNELS_TEAM_H_
