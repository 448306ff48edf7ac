// What a film of a launch says, step by step.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "cuda/runtime/error.h"
#include "cuda/runtime/kernel_score.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/sim/film.h"
#include "tests/support/test_data.h"

#ifdef FOVEA_SIM_CHECKS
using namespace fovea;

namespace {

// The lines that launches leave behind; what stops them is caught.
std::vector<std::string> films_of(const std::function<void()>& launches) {
  const TemporaryFolder folder;
  sim::Film film(folder / "film.json");
  sim::watch(film);
  try {
    launches();
  } catch (const CudaError&) {
  }
  sim::unwatch(film);
  std::ifstream file(folder / "film.json");
  std::vector<std::string> result;
  for (std::string line; std::getline(file, line);) result.push_back(line);
  return result;
}

std::string film_of(const std::function<void()>& launches) {
  const auto films = films_of(launches);
  REQUIRE(films.size() == 1);
  return films[0];
}

// What stands in brackets or quotes behind a name.
std::string field(const std::string& film, const std::string& name) {
  const size_t at = film.find("\"" + name + "\":");
  if (at == std::string::npos) return "missing";
  const size_t begin = at + name.size() + 3;
  size_t end = begin + 1;
  for (int depth = 1; depth > 0 && end < film.size(); ++end)
    if (film[begin] == '"')
      depth -= film[end] == '"';
    else
      depth += film[end] == '[' ? 1 : film[end] == ']' ? -1 : 0;
  return film.substr(begin, end - begin);
}

// [block, warp, site, kind, region, thread, cell, 1, ...] of the warp's threads from `first` on; a thread's
// cell is cell(thread).
std::string step(int warp, int site, int kind, int region, const std::function<int(int)>& cell,
                 int first = 0) {
  std::string result = fmt::format("[0,{},{},{},{}", warp, site, kind, region);
  for (int thread = 32 * warp + first; thread < 32 * warp + 32; ++thread)
    result += fmt::format(",{},{},1", thread, cell(thread));
  return result + "]";
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
  const std::string film = film_of([&] { cuda::launch(reversed, {1, 64}, x.data(), y.data(), true); });
  CHECK(field(film, "kernel") == "\"reversed\"");
  CHECK(field(film, "grid") == "[1,1,1]");
  CHECK(field(film, "block") == "[64,1,1]");
  CHECK(field(film, "fault") == "\"\"");
  CHECK(field(film, "failed") == "missing");
  CHECK(field(film, "regions") == R"([{"name":"x","shared":false,"cell":4,"first":0,"count":64},)"
                                  R"({"name":"y","shared":false,"cell":4,"first":0,"count":64},)"
                                  R"({"name":"shared memory","shared":true,"cell":4,"first":0,"count":64}])");
  const auto own = [](int thread) { return thread; };
  const auto opposite = [](int thread) { return 63 - thread; };
  const std::vector<std::string> steps{step(0, 0, 0, 0, own),
                                       step(0, 1, 1, 2, own),
                                       step(1, 0, 0, 0, own),
                                       step(1, 1, 1, 2, own),
                                       "[0]",
                                       step(0, 2, 0, 2, opposite),
                                       step(0, 3, 1, 1, own),
                                       step(1, 2, 0, 2, opposite),
                                       step(1, 3, 1, 1, own)};
  CHECK(field(film, "steps") == fmt::format("[{}]", fmt::join(steps, ",")));
  CHECK_THAT(field(film, "sites"), Catch::StartsWith("[\"tests/cuda/film_test.cu:"));
}

TEST_CASE("in a film the passes of a loop precede what follows it in every lane") {
  const Ints x(32, "x"), y(32, "y");
  const std::string film = film_of([&] { cuda::launch(sums_of_some, {1, 32}, x.data(), y.data()); });
  std::string steps;  // 31 passes, in which one lane fewer takes part each time
  for (int pass = 0; pass < 31; ++pass)
    steps += step(
                 0, 0, 0, 0, [&](int) { return pass; }, pass + 1) +
             ",";
  CHECK(field(film, "steps") == "[" + steps + step(0, 1, 1, 1, [](int thread) { return thread; }) + "]");
}

TEST_CASE("a film shows the access that stopped the launch") {
  const Ints x(64, "x"), y(64, "y");
  const std::string uninitialised = film_of([&] {
    cuda::launch(reversed, {1, 64}, x.data(), y.data(), false);
  });
  CHECK_THAT(field(uninitialised, "fault"), Catch::Contains("read of uninitialised shared"));
  CHECK(field(uninitialised, "failed") ==
        "[2,0,1,63]");  // thread 0, shared memory, which no thread has written
  CHECK_THAT(field(uninitialised, "steps"), Catch::EndsWith(",[0,0,2,0,1,0,63,1]]"));

  const std::string race = film_of([&] { cuda::launch(all_write_one, {1, 32}, y.data()); });
  CHECK_THAT(field(race, "fault"), Catch::Contains("race: the thread writes"));
  CHECK(field(race, "failed") == "[0,1,0,0]");
  CHECK(field(race, "steps") == "[[0,0,0,1,0,0,0,1,1,0,1]]");

  const std::string outside = film_of([&] { cuda::launch(copy, {3, 32}, x.data(), y.data()); });
  CHECK_THAT(field(outside, "fault"), Catch::Contains("out of bounds: a read"));
  CHECK_THAT(field(outside, "regions"), Catch::Contains("memory that is not allocated"));
  CHECK_THAT(field(outside, "failed"), Catch::StartsWith("[4,0,2,"));
}

TEST_CASE("packs are drawn by their numbers, and a launch too large for a film says so") {
  const Ints x(5000, "x"), y(5000, "y");
  const std::string packs = film_of([&] {
    cuda::launch(copy_packs, {1, 2}, reinterpret_cast<const float4*>(x.data()),
                 reinterpret_cast<float4*>(y.data()));
  });
  CHECK(field(packs, "steps") == "[[0,0,0,0,0,0,0,4,1,4,4],[0,0,1,1,1,0,0,4,1,4,4]]");

  const auto films = films_of([&] {
    cuda::launch(copy, {5, 1000}, x.data(), y.data());
    cuda::launch(copy, {2500, 1}, x.data(), y.data());
  });
  REQUIRE(films.size() == 2);
  CHECK(field(films[0], "too_large") ==
        "\"it has 10000 cells of memory, and a film at most 4096 steps and 8192 cells\"");
  CHECK(field(films[1], "too_large") ==
        "\"it has more than 4096 steps, and a film at most 4096 steps and 8192 cells\"");
  CHECK(field(films[1], "steps") == "missing");
}
#endif
