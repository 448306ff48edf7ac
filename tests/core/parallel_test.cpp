#include "core/parallel.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

using namespace fovea;

TEST_CASE("each chunk is taken once, by any number of threads and however long some chunks take") {
  const int threads_before = num_threads();
  const int threads = GENERATE(1, 2, 3, 7);
  const int64_t n = GENERATE(0, 1, 5, 16, 103), chunk = GENERATE(1, 4, 1000);
  set_num_threads(threads);
  std::vector<std::atomic<int>> taken(static_cast<size_t>(n));
  std::vector<std::atomic<int>> calls(static_cast<size_t>(chunk_count(n, chunk)));
  parallel_chunks(n, chunk, [&](int64_t index, int64_t begin, int64_t end) {
    ++calls[size_t(index)];
    if (index == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    for (int64_t i = begin; i < end; ++i) ++taken[size_t(i)];
  });
  set_num_threads(threads_before);
  INFO(threads << " threads, " << n << " in chunks of " << chunk);
  for (const auto& count : calls) CHECK(count == 1);
  for (const auto& count : taken) CHECK(count == 1);
}

TEST_CASE("a thread that finishes early takes over chunks of a slow one") {
  const int threads_before = num_threads();
  set_num_threads(2);
  // The first chunk waits until all others are done, which takes a thread that helps with this one's range.
  std::atomic<int> done = 0;
  std::atomic<bool> waited_in_vain = false;
  parallel_chunks(8, 1, [&](int64_t index, int64_t, int64_t) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (index == 0 && done < 7 && !waited_in_vain) {
      std::this_thread::yield();
      if (std::chrono::steady_clock::now() > deadline) waited_in_vain = true;
    }
    ++done;
  });
  set_num_threads(threads_before);
  CHECK(done == 8);
  CHECK_FALSE(waited_in_vain);
}
