#include "train/data/prefetch.h"

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <string>

#include "train/data/sampler.h"

using namespace fovea;

TEST_CASE("items come in order whatever the threads do, at most the capacity ahead") {
  std::atomic<int64_t> made = 0, taken = 0, most = 0;
  Prefetch<int64_t> prefetch(4, 3, 10, 60, [&](int64_t index) {
    const int64_t ahead = ++made - taken;
    for (int64_t seen = most; ahead > seen && !most.compare_exchange_weak(seen, ahead);) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(index % 3 == 0 ? 900 : 50));
    return index * index;
  });
  for (int64_t i = 10; i < 60; ++i) {
    CHECK(prefetch.next() == i * i);
    ++taken;
  }
  CHECK(made == 50);
  CHECK(most <= 3 + 1);  // the one being handed over is counted a moment longer
}

TEST_CASE("an error is thrown in place of its item") {
  Prefetch<int> prefetch(2, 4, 0, 5, [](int64_t index) {
    if (index == 2) throw std::runtime_error("item two");
    return int(index);
  });
  CHECK(prefetch.next() == 0);
  CHECK(prefetch.next() == 1);
  CHECK_THROWS_WITH(prefetch.next(), "item two");
  CHECK(prefetch.next() == 3);
}

TEST_CASE("a queue can be left before its end") {
  std::atomic<int> made = 0;
  {
    Prefetch<int> prefetch(3, 2, 0, 1000000, [&](int64_t) { return ++made; });
    prefetch.next();
  }
  CHECK(made < 20);
}

// The sanitizers themselves need terabytes of address space.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("threads that cannot be started are an error, and the started ones end") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlimit tight{pages * size_t(::getpagesize()) + (4 << 20), before.rlim_max};
  std::string sentence;
  REQUIRE(::setrlimit(RLIMIT_AS, &tight) == 0);
  try {
    Prefetch<int> prefetch(64, 2, 0, 5, [](int64_t index) { return int(index); });
  } catch (const Error& error) {
    sentence = error.what();
  }
  REQUIRE(::setrlimit(RLIMIT_AS, &before) == 0);
  CHECK_THAT(
      sentence,
      Catch::Contains(" of 64 that prepare images cannot be started (Resource temporarily unavailable)"));
}
#endif

TEST_CASE("every epoch has every image once, in its own order") {
  const Sampler sampler(7, [](int64_t epoch) { return Random(5, uint64_t(epoch)); });
  const auto all = sampler.images(0, 70);
  std::vector<int> seen(7);
  for (int64_t i = 0; i < 70; ++i) {
    ++seen[size_t(all[size_t(i)])];
    if (i % 7 == 6) CHECK(seen == std::vector<int>(7, int(i / 7 + 1)));
  }
  CHECK_FALSE(std::equal(all.begin(), all.begin() + 7, all.begin() + 7));
  for (int64_t first = 0; first < 60; first += 9) {  // the same sequence from any position
    const auto some = sampler.images(first, 10);
    CHECK(std::equal(some.begin(), some.end(), all.begin() + first));
  }
}
