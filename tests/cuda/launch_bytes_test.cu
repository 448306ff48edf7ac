// Which bytes count for a launch: those of the buffers that its arguments point to, and no others.
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cuda/platform.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/profile.h"

using namespace fovea;

namespace {

struct Two {
  const float* x;
  int n;
  float* y;
};

__global__ void copy_and_scale(Two two, float factor, int64_t number) {
  if (int(threadIdx.x) < two.n) two.y[threadIdx.x] = two.x[threadIdx.x] * factor + float(number > 0);
}

struct Flagged {
  const float* x;
  bool doubles;
  float* y;
};

__global__ void copy_flagged(Flagged flagged) {
  flagged.y[threadIdx.x] = flagged.x[threadIdx.x] * (flagged.doubles ? 2 : 1);
}

}  // namespace

TEST_CASE("a launch moves the buffers of its pointers and structs, not what a number may look like") {
  const cuda::Workspace<float> x(8), y(8), other(1000);
  cuda::fill_bytes(x.data(), 0, 32);
  const auto address = int64_t(reinterpret_cast<uintptr_t>(other.data()));
  cuda::LaunchTimer timer;
  cuda::launch(copy_and_scale, {1, 32}, Two{x.data(), 8, y.data()}, 2.0f, address);
  cuda::launch(copy_and_scale, cuda::LaunchConfig(1, 32).moves(5), Two{x.data(), 8, y.data()}, 2.0f, address);
  timer.stop();
  const std::vector<cuda::LaunchTime> launches = timer.launches();
  REQUIRE(launches.size() == 2);
  CHECK(launches[0].bytes == 64);
  CHECK(launches[1].bytes == 5);
  CHECK(launches[0].shape.blocks == 1);
  CHECK(launches[0].shape.threads == 32);
}

TEST_CASE("what an earlier pointer left in a struct's padding is no buffer") {
  const cuda::Workspace<float> x(8), y(8), other(1000);
  cuda::fill_bytes(x.data(), 0, 32);
  const void* const address = other.data();
  Flagged flagged{};
  std::memcpy(reinterpret_cast<std::byte*>(&flagged) + offsetof(Flagged, doubles), &address, sizeof address);
  flagged.x = x.data();
  flagged.doubles = true;
  flagged.y = y.data();
  cuda::LaunchTimer timer;
  cuda::launch(copy_flagged, {1, 8}, flagged);
  timer.stop();
  REQUIRE(timer.launches().size() == 1);
  CHECK(timer.launches()[0].bytes == 64);
}
