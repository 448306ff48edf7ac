// Sums that the last block to arrive finishes, and each mistake in them, which the simulator reports.
#include "cuda/device/last_block.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "cuda/runtime/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "cuda/sim/simulator.h"

using namespace fovea;
using cuda::launch;

namespace {

// Group g of `groups` has the blocks g, g + groups, ...: sums[g] = sum over its blocks b of (b + 1) * 64.
__global__ void sum_in_groups(double* partial, double* sums, unsigned* tickets, unsigned groups) {
  const unsigned group = blockIdx.x % groups, blocks = gridDim.x / groups;
  partial[blockIdx.x * 64 + threadIdx.x] = blockIdx.x + 1;
  if (!is_last_block(tickets + group, blocks)) return;
  __shared__ double of_thread[64];
  of_thread[threadIdx.x] = 0;
  for (unsigned i = 0; i < blocks; ++i)
    of_thread[threadIdx.x] += partial[(i * groups + group) * 64 + 63 - threadIdx.x];
  __syncthreads();
  if (threadIdx.x > 0) return;
  double sum = 0;
  for (const double value : of_thread) sum += value;
  sums[group] = sum;
}

enum class Mistake {
  none,
  no_barrier,
  no_fence_before,
  no_fence_after,
  no_barrier_after,
  late_store,
  not_last
};

// is_last_block() spelt out, with a mistake.
[[maybe_unused]] __global__ void sum_with(Mistake mistake, int* partial, int* sum, unsigned* ticket) {
  __shared__ bool last;
  if (mistake != Mistake::late_store) partial[blockIdx.x * 64 + threadIdx.x] = 1;
  if (mistake != Mistake::no_barrier) __syncthreads();
  if (threadIdx.x == 0) {
    if (mistake != Mistake::no_fence_before) __threadfence();
    last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    if (mistake != Mistake::no_fence_after) __threadfence();
  }
  if (mistake == Mistake::late_store) partial[blockIdx.x * 64 + threadIdx.x] = 1;
  if (mistake != Mistake::no_barrier_after) __syncthreads();
  if ((last || mistake == Mistake::not_last) && threadIdx.x == 63) {
    int total = 0;
    for (unsigned i = 0; i < gridDim.x * 64; ++i) total += partial[i];
    *sum = total;
  }
}

__global__ void waits_for_too_many(unsigned* ticket) { is_last_block(ticket, gridDim.x + 1); }

template <class F>
void in_each_order(F&& f) {
  for (const auto order : {sim::Order::forward, sim::Order::reverse, sim::Order::shuffled}) {
    sim::options().order = order;
    f();
  }
  sim::options() = {};
}

template <class T>
std::vector<T> values(const cuda::Workspace<T>& memory, size_t count) {
  std::vector<T> result(count);
  cuda::copy_to_host(result.data(), memory.data(), count * sizeof(T));
  return result;
}

}  // namespace

TEST_CASE("the last block of each group reads what the others wrote, in every launch") {
  const cuda::Workspace<double> partial(15 * 64), sums(3);
  unsigned* tickets = cuda::current_stream().tickets(3);
  const std::vector<double> expected = {35 * 64, 40 * 64, 45 * 64};
  in_each_order([&] {
    launch(sum_in_groups, {15, 64}, partial.data(), sums.data(), tickets, 3u);
    CHECK(values(sums, 3) == expected);
  });
  cuda::Graph graph;
  const auto work = [&] { launch(sum_in_groups, {15, 64}, partial.data(), sums.data(), tickets, 3u); };
  graph.capture(work);
  for (int replay = 0; replay < 3; ++replay) {
    cuda::fill_bytes(sums.data(), 0, 3 * sizeof(double));
    graph.replay();
    CHECK(values(sums, 3) == expected);
  }
  std::vector<unsigned> left(3, 7);
  cuda::copy_to_host(left.data(), tickets, 3 * sizeof(unsigned));
  CHECK(left == std::vector<unsigned>(3));
  CHECK_THROWS_WITH(cuda::current_stream().tickets(1 << 20),
                    Catch::Contains("a launch requests 1048576 tickets, but there are only 4096"));
}

#ifdef FOVEA_SIM_CHECKS
namespace {
std::string report_of(Mistake mistake) {
  const cuda::Workspace<int> partial(4 * 64), sum(1);
  try {
    launch(sum_with, {4, 64}, mistake, partial.data(), sum.data(), cuda::current_stream().tickets(1));
  } catch (const CudaError& error) {
    return error.what();
  }
  return "sum " + std::to_string(values(sum, 1)[0]);
}
}  // namespace

TEST_CASE("a ticket without the fences and barriers around it is a race, in any order of the blocks") {
  in_each_order([] {
    sim::options().check_memory = false;
    CHECK(report_of(Mistake::none) == "sum 256");
    for (const Mistake mistake : {Mistake::no_barrier, Mistake::no_fence_before, Mistake::no_fence_after,
                                  Mistake::no_barrier_after, Mistake::late_store, Mistake::not_last}) {
      INFO(int(mistake));
      CHECK_THAT(report_of(mistake), Catch::Contains("race: the thread") &&
                                         Catch::Contains("kernel sum_with") &&
                                         Catch::Contains("last_block_test.cu:"));
    }
    CHECK(report_of(Mistake::none) == "sum 256");  // the launches that failed left no tickets taken
  });
}
#endif

TEST_CASE("a ticket that waits for more blocks than there are is reported") {
  unsigned* ticket = cuda::current_stream().tickets(1);
  for (int again = 0; again < 2; ++again)
    CHECK_THROWS_WITH(launch(waits_for_too_many, {3, 32}, ticket),
                      Catch::Contains("3 blocks have taken tickets, and none of them was the last") &&
                          Catch::Contains("kernel waits_for_too_many"));
}
