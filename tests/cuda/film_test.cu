// What a film of a launch says, step by step.
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "cuda/runtime/error.h"
#include "cuda/runtime/kernel_score.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/sim/film.h"
#include "tests/support/test_data.h"

#ifdef FOVEA_SIM_CHECKS
using namespace fovea;
using nlohmann::json;

namespace {

// The lines that launches leave behind; what stops them is caught.
std::vector<json> film_of(const std::function<void()>& launches) {
  const TemporaryFolder folder;
  sim::Film film(folder / "film.json");
  sim::watch(film);
  try {
    launches();
  } catch (const CudaError&) {
  }
  sim::unwatch(film);
  std::ifstream file(folder / "film.json");
  std::vector<json> result;
  for (std::string line; std::getline(file, line);) result.push_back(json::parse(line));
  return result;
}

json one_film_of(const std::function<void()>& launches) {
  const auto films = film_of(launches);
  REQUIRE(films.size() == 1);
  return films[0];
}

// [block, warp, site, kind, region, thread, cell, 1, ...] of a whole warp; a thread's cell is cell(thread).
json step(int warp, int site, int kind, int region, const std::function<int(int)>& cell) {
  json result{0, warp, site, kind, region};
  for (int thread = 32 * warp; thread < 32 * warp + 32; ++thread)
    result.insert(result.end(), {thread, cell(thread), 1});
  return result;
}

__global__ void reversed(const int* x, int* y, bool barrier) {
  __shared__ int tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  if (barrier) __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x];
}

// Lanes make different numbers of passes, and then all store.
__global__ void sums_of_some(const int* x, int* y) {
  int sum = 0;
  for (unsigned i = 0; i < threadIdx.x; ++i) sum += x[i];
  y[threadIdx.x] = sum;
}

__global__ void all_write_one(int* y) { *y = int(threadIdx.x); }

__global__ void copy_packs(const float4* x, float4* y) { y[threadIdx.x] = x[threadIdx.x]; }

__global__ void copy(const int* x, int* y) {
  y[blockIdx.x * blockDim.x + threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
}

struct Ints {
  explicit Ints(int64_t n, const char* name) : memory(n) {
    cuda::fill_bytes(memory.data(), 0, size_t(n) * 4);
    cuda::name_buffer(memory.data(), name);
  }
  int* data() const { return memory.data(); }
  cuda::Workspace<int> memory;
};

}  // namespace

TEST_CASE("a film has each request of a launch, in order, and its barriers") {
  const Ints x(64, "x"), y(64, "y");
  const json film = one_film_of([&] { cuda::launch(reversed, {1, 64}, x.data(), y.data(), true); });
  CHECK(film["kernel"] == "reversed");
  CHECK(film["grid"] == json{1, 1, 1});
  CHECK(film["block"] == json{64, 1, 1});
  CHECK(film["fault"] == "");
  CHECK_FALSE(film.contains("failed"));
  CHECK(film["regions"] == json::parse(R"([{"name":"x","shared":false,"cell":4,"first":0,"count":64},
                        {"name":"y","shared":false,"cell":4,"first":0,"count":64},
                        {"name":"shared memory","shared":true,"cell":4,"first":0,"count":64}])"));
  const auto own = [](int thread) { return thread; };
  const auto opposite = [](int thread) { return 63 - thread; };
  CHECK(film["steps"] == json{step(0, 0, 0, 0, own), step(0, 1, 1, 2, own), step(1, 0, 0, 0, own),
                              step(1, 1, 1, 2, own), json::array({0}), step(0, 2, 0, 2, opposite),
                              step(0, 3, 1, 1, own), step(1, 2, 0, 2, opposite), step(1, 3, 1, 1, own)});
  REQUIRE(film["sites"].size() == 4);
  for (const auto& site : film["sites"])
    CHECK_THAT(site.get<std::string>(), Catch::StartsWith("tests/cuda/film_test.cu:"));
}

TEST_CASE("in a film the passes of a loop precede what follows it in every lane") {
  const Ints x(32, "x"), y(32, "y");
  const json film = one_film_of([&] { cuda::launch(sums_of_some, {1, 32}, x.data(), y.data()); });
  REQUIRE(film["steps"].size() == 32);  // 31 passes, in which one lane fewer takes part each time
  for (int i = 0; i < 31; ++i) {
    CHECK(film["steps"][size_t(i)][3] == 0);
    CHECK(film["steps"][size_t(i)].size() == size_t(5 + 3 * (31 - i)));
  }
  CHECK(film["steps"][31] == step(0, 1, 1, 1, [](int thread) { return thread; }));
}

TEST_CASE("a film ends with the access that stopped the launch") {
  const Ints x(64, "x"), y(64, "y");
  const json uninitialised = one_film_of([&] { cuda::launch(reversed, {1, 64}, x.data(), y.data(), false); });
  CHECK_THAT(uninitialised["fault"].get<std::string>(), Catch::Contains("read of uninitialised shared"));
  CHECK(uninitialised["failed"] ==
        json{2, 0, 1, 63});  // thread 0, shared memory, which no thread has written
  CHECK(uninitialised["steps"].back() == json{0, 0, 2, 0, 1, 0, 63, 1});

  const json race = one_film_of([&] { cuda::launch(all_write_one, {1, 32}, y.data()); });
  CHECK_THAT(race["fault"].get<std::string>(), Catch::Contains("race: the thread writes"));
  CHECK(race["failed"] == json{0, 1, 0, 0});
  CHECK(race["steps"] == json{{0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1}});

  const json outside = one_film_of([&] { cuda::launch(copy, {3, 32}, x.data(), y.data()); });
  CHECK_THAT(outside["fault"].get<std::string>(), Catch::Contains("out of bounds: a read"));
  CHECK(outside["regions"].back()["name"] == "memory that is not allocated");
  CHECK(outside["failed"][1] == 0);
  CHECK(outside["failed"][2] == 2);
}

TEST_CASE("packs are drawn by their numbers, and a launch too large for a film says so") {
  const Ints x(5000, "x"), y(5000, "y");
  const json packs = one_film_of([&] {
    cuda::launch(copy_packs, {1, 2}, reinterpret_cast<const float4*>(x.data()),
                 reinterpret_cast<float4*>(y.data()));
  });
  CHECK(packs["steps"] == json{{0, 0, 0, 0, 0, 0, 0, 4, 1, 4, 4}, {0, 0, 1, 1, 1, 0, 0, 4, 1, 4, 4}});
  CHECK(packs["regions"][0]["count"] == 8);

  const auto films = film_of([&] {
    cuda::launch(copy, {5, 1000}, x.data(), y.data());
    for (int i = 0; i < 2; ++i) cuda::launch(copy, {2500, 1}, x.data(), y.data());
  });
  REQUIRE(films.size() == 3);
  CHECK(films[0]["too_large"] ==
        "it has 10000 cells of memory, and a film at most 4096 steps and 8192 cells");
  CHECK(films[1]["too_large"] == "it has more than 4096 steps, and a film at most 4096 steps and 8192 cells");
  CHECK_FALSE(films[2].contains("steps"));
}
#endif
