#pragma once
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace fovea {

// Calls f(begin, end) on ranges that cover 0 .. n-1, on all threads (OMP_NUM_THREADS, or set_num_threads).
// Each range has at least `grain` elements. f must not throw, and what it writes must not depend on where the
// ranges are cut, as in elementwise work. For sums use parallel_chunks.
template <class F>
void parallel_for(int64_t n, int64_t grain, F&& f) {
  const int64_t parts =
      std::min<int64_t>(omp_get_max_threads(), (n + grain - 1) / std::max<int64_t>(grain, 1));
  if (n <= 0) return;
  if (parts <= 1 || omp_in_parallel()) {
    f(int64_t(0), n);
    return;
  }
#pragma omp parallel num_threads(int(parts))
  {
    const int64_t part = omp_get_thread_num(), count = omp_get_num_threads();
    f(n * part / count, n * (part + 1) / count);
  }
}

// The number of chunks that parallel_chunks() makes.
inline int64_t chunk_count(int64_t n, int64_t chunk) { return (n + chunk - 1) / chunk; }

// Calls f(index, begin, end) for each chunk of `chunk` elements of 0 .. n-1. The chunks depend only on n and
// chunk, never on the number of threads: a sum kept per chunk and added up in index order has the same bits
// on any number of threads. Each thread begins with its own range of chunks, which it has in its cache if the
// loop before was cut the same way; a thread that has finished takes chunks from the others' ranges.
template <class F>
void parallel_chunks(int64_t n, int64_t chunk, F&& f) {
  const int64_t chunks = chunk_count(n, chunk);
  const auto call = [&](int64_t i) { f(i, i * chunk, std::min(n, (i + 1) * chunk)); };
  const int64_t parts = omp_in_parallel() ? 1 : std::min<int64_t>(omp_get_max_threads(), chunks);
  if (parts <= 1) {
    for (int64_t i = 0; i < chunks; ++i) call(i);
    return;
  }
  std::vector<std::atomic<int64_t>> taken(static_cast<size_t>(parts));  // chunks of each thread's range
#pragma omp parallel num_threads(int(parts))
  {
    const int64_t part = omp_get_thread_num(), count = omp_get_num_threads();
    for (int64_t k = 0; k < count; ++k) {
      const int64_t owner = (part + k) % count, first = chunks * owner / count;
      const int64_t size = chunks * (owner + 1) / count - first;
      for (int64_t i; (i = taken[size_t(owner)].fetch_add(1, std::memory_order_relaxed)) < size;)
        call(first + i);
    }
  }
}

// The number of threads that this thread's loops use: OMP_NUM_THREADS or all cores at first, then the number
// that was set (1 or more).
inline int num_threads() { return omp_get_max_threads(); }
inline void set_num_threads(int threads) { omp_set_num_threads(threads); }

}  // namespace fovea
