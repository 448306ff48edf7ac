#include "core/storage.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "core/error.h"

using namespace fovea;
using Catch::Contains;

namespace {

constexpr int64_t megabyte = 1 << 20;

// Whether this build keeps freed blocks (FOVEA_POOL): the sanitizers' builds do not.
bool pool_keeps_blocks() {
  release_cached_memory();
  const int64_t before = memory_use().reserved;
  { const Storage freed(megabyte, Device::cpu); }
  return memory_use().reserved > before;
}

}  // namespace

TEST_CASE("a block is aligned for vector loads and has the requested size") {
  for (const int64_t bytes : {int64_t(1), int64_t(63), int64_t(65), megabyte + 1}) {
    const Storage storage(bytes, Device::cpu);
    CHECK(reinterpret_cast<uintptr_t>(storage.data()) % 64 == 0);
    CHECK(storage.bytes() == bytes);
    std::memset(storage.data(), 1, size_t(bytes));
  }
  CHECK(Storage(0, Device::cpu).bytes() == 0);
}

TEST_CASE("a freed block serves the next request of its size") {
  if (!pool_keeps_blocks()) return;
  release_cached_memory();
  const int64_t reserved = memory_use().reserved;
  std::optional<Storage> first(std::in_place, megabyte, Device::cpu);
  const std::byte* address = first->data();
  first.reset();
  CHECK(memory_use().reserved == reserved + megabyte);
  const Storage again(megabyte, Device::cpu);
  CHECK(again.data() == address);
  CHECK(memory_use().reserved == reserved + megabyte);
}

TEST_CASE("a freed block serves smaller requests, and is whole again when they are done") {
  if (!pool_keeps_blocks()) return;
  release_cached_memory();
  const int64_t reserved = memory_use().reserved;
  std::optional<Storage> whole(std::in_place, megabyte, Device::cpu);
  const std::byte* address = whole->data();
  whole.reset();
  {
    const Storage first(megabyte / 2, Device::cpu), second(megabyte / 4, Device::cpu);
    std::optional<Storage> third(std::in_place, megabyte / 4, Device::cpu);
    CHECK(first.data() == address);
    CHECK(second.data() == address + megabyte / 2);
    CHECK(third->data() == address + megabyte / 4 * 3);
    CHECK(memory_use().reserved == reserved + megabyte);
    third.reset();
    release_cached_memory();  // the block is in use: it stays whole
    CHECK(memory_use().reserved == reserved + megabyte);
    const Storage more(megabyte / 2, Device::cpu);  // a quarter is free
    CHECK(memory_use().reserved == reserved + megabyte * 3 / 2);
  }
  const Storage again(megabyte, Device::cpu);
  CHECK(again.data() == address);
  CHECK(memory_use().reserved == reserved + megabyte * 3 / 2);
}

TEST_CASE("small blocks share segments of their own") {
  if (!pool_keeps_blocks()) return;
  release_cached_memory();
  const int64_t reserved = memory_use().reserved;
  std::vector<std::unique_ptr<Storage>> small;
  for (int i = 0; i < 200; ++i) small.push_back(std::make_unique<Storage>(10'000, Device::cpu));
  CHECK(memory_use().reserved - reserved <= 2 * megabyte);
  for (size_t i = 1; i < small.size(); ++i) CHECK(small[i]->data() != small[i - 1]->data());
}

TEST_CASE("bytes in use, their peak and what is kept are counted") {
  release_cached_memory();
  reset_peak_memory();
  const MemoryUse before = memory_use();
  CHECK(before.peak == before.current);
  {
    const Storage a(megabyte, Device::cpu);
    { const Storage b(2 * megabyte, Device::cpu); }
    CHECK(memory_use().current == before.current + megabyte);
  }
  CHECK(memory_use().current == before.current);
  CHECK(memory_use().peak == before.current + 3 * megabyte);
  reset_peak_memory();
  CHECK(memory_use().peak == before.current);
  release_cached_memory();
  CHECK(memory_use().reserved == before.reserved);
}

TEST_CASE("a request that cannot be met is refused with the numbers") {
  CHECK_THROWS_WITH(Storage(-1, Device::cpu), Contains("cannot allocate -1 bytes"));
  CHECK_THROWS_WITH(Storage(int64_t(1) << 50, Device::cpu),
                    Contains("cannot allocate 1125899906842624 bytes"));
  CHECK_THROWS_WITH(Storage(int64_t(1) << 45, Device::cuda),
                    Contains("CUDA device is out of memory: 33554432.0 MB requested") &&
                        Contains("Try a smaller batch or image size"));
}
