// Each misuse of a GPU, planted on purpose, is reported with kernel, block, thread and line.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <functional>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "cuda/device/bfloat16.h"
#include "cuda/device/grid.h"
#include "cuda/device/reduce.h"
#include "cuda/device/sm_80.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/sim/simulator.h"

using namespace fovea;
using cuda::launch;

namespace {

// Device memory with the given content.
template <class T>
struct OnDevice {
  explicit OnDevice(const std::vector<T>& values) : memory(int64_t(values.size())), count(values.size()) {
    cuda::copy_to_device(memory.data(), values.data(), count * sizeof(T));
  }
  explicit OnDevice(size_t n) : memory(int64_t(n)), count(n) {}  // uninitialised
  std::vector<T> values() const {
    std::vector<T> result(count);
    cuda::copy_to_host(result.data(), memory.data(), count * sizeof(T));
    return result;
  }
  T* data() const { return memory.data(); }
  cuda::Workspace<T> memory;
  size_t count;
};

struct WithOrder {
  explicit WithOrder(sim::Order order) { sim::options().order = order; }
  ~WithOrder() { sim::options() = {}; }
};

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const CudaError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

using Catch::Contains;

__global__ void add_one(float* x, int64_t n) {
  for (int64_t i : grid_stride(n)) x[i] += 1.0f;
}

__global__ void sum_blocks(const float* x, float* sums, int64_t n) {
  float value = 0;
  for (int64_t i : grid_stride(n)) value += x[i];
  value = block_sum(value);
  if (threadIdx.x == 0) sums[blockIdx.x] = value;
}

__global__ void reversed_through_shared(const int* x, int* y, bool barrier) {
  __shared__ int tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  if (barrier) __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x];
}

[[maybe_unused]] __global__ void reads_past_the_end(const float* x, float* y, int n) {
  y[threadIdx.x] = x[threadIdx.x + unsigned(n)];  // line: reads_past
}

// Not declared inline, and called twice: without the attribute a compiler would emit calls of it.
__device__ bfloat16 rounded_sum(const float* x, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum = sum * 0.5f + x[i];
  return bfloat16(sum);
}

[[maybe_unused]] __global__ void stores_results_of_calls(const float* x, bfloat16* y, int n) {
  y[2 * threadIdx.x] = rounded_sum(x, n);  // line: stores_result
  y[2 * threadIdx.x + 1] = rounded_sum(x, n + 1);
}

__global__ void divergent_barrier(float* y) {
  if (threadIdx.x < 32) {
    __syncthreads();  // line: barrier_one
  } else {
    __syncthreads();  // line: barrier_two
  }
  y[threadIdx.x] = 1.0f;
}

__global__ void leaves_before_barrier(float* y) {
  if (threadIdx.x == 5) return;
  __syncthreads();  // line: left_barrier
  y[threadIdx.x] = 1.0f;
}

__global__ void shuffle_without_some(int* y) {
  if (threadIdx.x < 16)
    y[threadIdx.x] = __shfl_down_sync(0xffffffffu, int(threadIdx.x), 1);  // line: half_warp
}

__global__ void shuffle_from_outside(int* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0x0000ffffu, int(threadIdx.x), 20);  // line: outside
}

__global__ void shuffle_unnamed(int* y) {
  y[threadIdx.x] = __shfl_sync(0x0000ffffu, int(threadIdx.x), 0);  // line: unnamed
}

__global__ void multiply_without_some(float* y) {
  const uint32_t a[4] = {}, b[2] = {};
  float sum[4] = {};
  if (threadIdx.x < 16) multiply_add(sum, a, b);
  y[threadIdx.x] = sum[0];
}

__global__ void multiply_beside_load(float* y) {
  Pack<bfloat16, 8>* const shared = dynamic_shared<Pack<bfloat16, 8>>();
  shared[threadIdx.x] = {};
  uint32_t a[4] = {};
  float sum[4] = {};
  if (threadIdx.x < 16)
    multiply_add(sum, a, a);
  else
    load_matrices<false>(a, shared + threadIdx.x);
  y[threadIdx.x] = sum[0];
}

// A matrix load is not a barrier: what another lane has stored may not be visible yet.
__global__ void load_without_sync(uint32_t* y) {
  Pack<bfloat16, 8>* const shared = dynamic_shared<Pack<bfloat16, 8>>();
  shared[threadIdx.x] = {};
  uint32_t to[4];
  load_matrices<false>(to, shared + (threadIdx.x ^ 1));
  y[threadIdx.x] = to[0];
}

__global__ void deadlock(int* y) {
  if (threadIdx.x < 32) {
    y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, int(threadIdx.x), 1);
    __syncthreads();
  } else {
    y[threadIdx.x] = __shfl_xor_sync(threadIdx.x == 40 ? 0x100u : 0xffffffffu, 1, 1);  // line: locked
    __syncthreads();
  }
}

__global__ void votes(unsigned* y) { y[threadIdx.x] = __ballot_sync(0xffffffffu, threadIdx.x % 3 == 0); }

__global__ void count_with_atomics(int* count) { atomicAdd(count, 1); }

// "simulator_test.cu:<line>", the line in this file that has this mark.
std::string line_marked(const std::string& mark) {
  std::ifstream file(FOVEA_SOURCE_DIR "/tests/cuda/simulator_test.cu");
  std::string text;
  for (int line = 1; std::getline(file, text); ++line)
    if (text.find("// line: " + mark) != std::string::npos) return fmt::format("simulator_test.cu:{}", line);
  return "no line is marked " + mark;
}

}  // namespace

TEST_CASE("a grid computes the same in every order of threads and blocks") {
  for (const sim::Order order : {sim::Order::forward, sim::Order::reverse, sim::Order::shuffled}) {
    const WithOrder with(order);
    std::vector<float> values(1000);
    for (size_t i = 0; i < values.size(); ++i) values[i] = float(i % 17) * 0.5f;
    const OnDevice<float> x(values), sums(7);
    launch(add_one, {7, 64}, x.data(), 1000);
    launch(sum_blocks, {7, 64}, x.data(), sums.data(), 1000);
    double total = 0;
    for (const float part : sums.values()) total += double(part);
    double expected = 0;
    for (const float value : values) expected += double(value) + 1;
    CHECK(total == Approx(expected).epsilon(1e-6));
  }
}

TEST_CASE("threads exchange data through shared memory and votes") {
  std::vector<int> values(64);
  for (int i = 0; i < 64; ++i) values[size_t(i)] = i * i;
  const OnDevice<int> x(values), y(64);
  launch(reversed_through_shared, {1, 64}, x.data(), y.data(), true);
  for (int i = 0; i < 64; ++i) CHECK(y.values()[size_t(i)] == (63 - i) * (63 - i));

  const OnDevice<unsigned> ballots(32);
  launch(votes, {1, 32}, ballots.data());
  CHECK(ballots.values()[9] == 0x49249249u);

  const OnDevice<int> count(std::vector<int>{0});
  launch(count_with_atomics, {5, 100}, count.data());
  CHECK(count.values()[0] == 500);
}

#ifdef FOVEA_SIM_CHECKS  // otherwise the address sanitizer catches these: at the end of the file
namespace {

__global__ void writes_past_the_end(float* y) {
  y[threadIdx.x + 1] = 1.0f;  // line: writes_past
}

__global__ void dynamic_shared_overrun(float* y) {
  float* s = dynamic_shared<float>();
  s[threadIdx.x + 1] = 1.0f;  // line: shared_overrun
  y[threadIdx.x] = 1.0f;
}

__global__ void reads_uninitialised(const float* x, float* y) {
  y[threadIdx.x] = 2.0f * x[threadIdx.x];  // line: uninitialised
}

__global__ void reads_uninitialised_shared(float* y) {
  __shared__ float tile[32];
  if (threadIdx.x != 7) tile[threadIdx.x] = 1.0f;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];  // line: uninitialised_shared
}

__global__ void all_write_one(int* y) {
  *y = int(blockIdx.x);  // line: all_write
}

__global__ void touches_host(const float* host, float* y) {
  y[threadIdx.x] = host[threadIdx.x];  // line: host
}

// Like an inline function that the simulator and a kernel share, when the linker keeps the kernel's copy.
__global__ void touches_host_for_the_simulator(const float* host, float* y) {
  float value;
  {
    const sim::SimulatorCode simulator;
    value = host[threadIdx.x];
  }
  y[threadIdx.x] = value;
}

}  // namespace

TEST_CASE("accesses out of bounds are reported") {
  const OnDevice<float> x(std::vector<float>(32, 1.0f)), y(std::vector<float>(32, 1.0f));
  CHECK_THAT(message_of([&] {
               launch(reads_past_the_end, {1, 32}, x.data(), y.data(), 8);
             }),
             Contains("out of bounds: a read of 4 bytes") && Contains("kernel reads_past_the_end") &&
                 Contains("block (0, 0, 0), thread (24, 0, 0)") && Contains(line_marked("reads_past")));
  CHECK_THAT(message_of([&] {
               launch(writes_past_the_end, {2, 32}, y.data());
             }),
             Contains("out of bounds: a write of 4 bytes") && Contains("thread (31, 0, 0)") &&
                 Contains(line_marked("writes_past")));
  CHECK_THAT(message_of([&] {
               launch(dynamic_shared_overrun, {1, 32, 32 * sizeof(float)}, y.data());
             }),
             Contains("out of bounds: a write at byte 128 of 128 bytes of dynamic shared memory") &&
                 Contains("thread (31, 0, 0)") && Contains(line_marked("shared_overrun")));
  const OnDevice<bfloat16> halves(size_t(32));
  CHECK_THAT(message_of([&] {
               launch(stores_results_of_calls, {1, 32}, x.data(), halves.data(), 8);
             }),
             Contains("out of bounds: a write of 2 bytes") && Contains("thread (16, 0, 0)") &&
                 Contains(line_marked("stores_result")));
  const cuda::Workspace<float> of_a_library(32, cuda::User::library);
  CHECK_THAT(message_of([&] {
               launch(writes_past_the_end, {1, 8}, of_a_library.data());
             }),
             Contains("out of bounds: a write of 4 bytes") && Contains("thread (0, 0, 0)") &&
                 Contains(line_marked("writes_past")));
  launch(stores_results_of_calls, {1, 16}, x.data(), halves.data(), 7);
  CHECK(float(halves.values()[30]) == 1.984375f);
  CHECK(float(halves.values()[31]) == 1.9921875f);
  const std::vector<float> host(33, 2.0f);
  CHECK_THAT(message_of([&] {
               launch(touches_host, {1, 32}, host.data(), y.data());
             }),
             Contains("out of bounds: a read of host memory") && Contains(line_marked("host")));
  launch(touches_host_for_the_simulator, {1, 32}, host.data(), y.data());
  CHECK(y.values() == std::vector<float>(32, 2.0f));
  CHECK_THAT(message_of([&] {
               launch(touches_host_for_the_simulator, {1, 33}, host.data(), y.data());
             }),
             Contains("out of bounds: a write of 4 bytes") && Contains("thread (32, 0, 0)"));
  float* freed = static_cast<float*>(cuda::allocate(128));
  cuda::release(freed);
  CHECK_THAT(message_of([&] {
               launch(add_one, {1, 32}, freed, 32);
             }),
             Contains("where no device memory is allocated"));
}

TEST_CASE("reads of uninitialised memory are reported") {
  const OnDevice<float> x(32), y(32);
  CHECK_THAT(message_of([&] {
               launch(reads_uninitialised, {1, 32}, x.data(), y.data());
             }),
             Contains("read of uninitialised device memory") && Contains("kernel reads_uninitialised") &&
                 Contains("thread (0, 0, 0)") && Contains(line_marked("uninitialised")));
  CHECK_THAT(message_of([&] {
               launch(reads_uninitialised_shared, {1, 32}, y.data());
             }),
             Contains("read of uninitialised shared memory") && Contains("thread (7, 0, 0)") &&
                 Contains(line_marked("uninitialised_shared")));
  // A block that the pool hands out again is uninitialised as well.
  { const OnDevice<float> used(std::vector<float>(32, 1.0f)); }
  const OnDevice<float> again(32);
  CHECK_THAT(message_of([&] {
               launch(reads_uninitialised, {1, 32}, again.data(), y.data());
             }),
             Contains("read of uninitialised device memory"));
}

TEST_CASE("a missing barrier is a race, in any order of the threads") {
  const OnDevice<int> x(std::vector<int>(64, 1)), y(64);
  for (const sim::Order order : {sim::Order::forward, sim::Order::reverse, sim::Order::shuffled}) {
    const WithOrder with(order);
    sim::options().check_memory = false;
    CHECK_THAT(message_of([&] {
                 launch(reversed_through_shared, {1, 64}, x.data(), y.data(), false);
               }),
               Contains("race: the thread") && Contains("of shared memory") &&
                   Contains("no barrier between") && Contains("kernel reversed_through_shared") &&
                   Contains("simulator_test.cu:"));
  }
  const OnDevice<int> one(1);
  CHECK_THAT(message_of([&] {
               launch(all_write_one, {3, 1}, one.data());
             }),
             Contains("race: the thread writes a word of global memory, another block writes it") &&
                 Contains("block (1, 0, 0)") && Contains(line_marked("all_write")));
}
#endif

TEST_CASE("threads that wait where others do not are reported") {
  const OnDevice<float> y(std::vector<float>(64, 1.0f));
  CHECK_THAT(message_of([&] {
               launch(divergent_barrier, {1, 64}, y.data());
             }),
             Contains("divergent barrier") && Contains(line_marked("barrier_one")) &&
                 Contains(line_marked("barrier_two")) && Contains("thread (32, 0, 0)"));
  CHECK_THAT(message_of([&] {
               launch(leaves_before_barrier, {1, 64}, y.data());
             }),
             Contains("has left the kernel") && Contains("thread (5, 0, 0)") &&
                 Contains(line_marked("left_barrier")));
}

TEST_CASE("warp operations with a wrong mask are reported") {
  const OnDevice<int> y(std::vector<int>(64, 1));
  CHECK_THAT(message_of([&] {
               launch(shuffle_without_some, {1, 32}, y.data());
             }),
             (Contains("bad mask") || Contains("deadlock")) && Contains(line_marked("half_warp")));
  CHECK_THAT(message_of([&] {
               launch(shuffle_from_outside, {1, 32}, y.data());
             }),
             Contains("reads from lane 20, which mask 0x0000ffff does not name") &&
                 Contains(line_marked("outside")));
  CHECK_THAT(message_of([&] {
               launch(shuffle_unnamed, {1, 32}, y.data());
             }),
             Contains("bad mask: lane 16 calls") && Contains("thread (16, 0, 0)") &&
                 Contains(line_marked("unnamed")));
  CHECK_THAT(message_of([&] { launch(deadlock, {1, 64}, y.data()); }), Contains(line_marked("locked")));
}

TEST_CASE("operations of a warp on matrices are reported if some lanes are missing or call another") {
  const OnDevice<float> y(std::vector<float>(32, 1));
  const OnDevice<uint32_t> words(std::vector<uint32_t>(32, 1));
  CHECK_THAT(message_of([&] {
               launch(multiply_without_some, {1, 32}, y.data());
             }),
             (Contains("bad mask") || Contains("deadlock")) && Contains("sm_80.h"));
  CHECK_THAT(message_of([&] { launch(multiply_without_some, {1, 16}, y.data()); }), Contains("bad mask"));
  CHECK_THAT(message_of([&] {
               launch(multiply_beside_load, {1, 32, 512}, y.data());
             }),
             Contains("must call one operation"));
  CHECK_THAT(message_of([&] {
               launch(load_without_sync, {1, 32, 512}, words.data());
             }),
             Contains("uninitialised shared memory") || Contains("race"));
}

TEST_CASE("limits of a launch are enforced") {
  const OnDevice<float> y(std::vector<float>(64, 1.0f));
  CHECK_THAT(message_of([&] {
               launch(add_one, {1, 2048}, y.data(), 64);
             }),
             Contains("a block of 2048 x 1 x 1 threads") && Contains("kernel add_one") &&
                 Contains("tests/cuda/simulator_test.cu:"));
  CHECK_THAT(message_of([&] {
               launch(add_one, {1, 32, 1 << 20}, y.data(), 64);
             }),
             Contains("1048576 bytes of dynamic shared memory are too much") && Contains("kernel add_one"));
  // What only GPUs from compute capability 8.0 on run may have more than all GPUs give.
  const cuda::LaunchConfig most_of_all(1, 32, 64 << 10), most(1, 32, 99 << 10);
  CHECK_NOTHROW(launch(add_one, most_of_all, y.data(), 64));
  CHECK_NOTHROW(launch(add_one, most.for_sm_80(), y.data(), 64));
  CHECK_THAT(
      message_of([&] { launch(add_one, most, y.data(), 64); }),
      Contains("101376 bytes of dynamic shared memory are too much: every GPU from sm_75 on can give"));
  CHECK_THAT(
      message_of([&] { launch(add_one, cuda::LaunchConfig(1, 32, 100 << 10).for_sm_80(), y.data(), 64); }),
      Contains("every GPU from sm_80 on can give 101376"));
  CHECK_THAT(message_of([&] { launch(add_one, {dim3(1, 70000), 32}, y.data(), 64); }), Contains("a grid of"));
}

// Runs f in a separate process and returns what it wrote to stderr; `status` is how it ended.
static std::string errors_of_process(const std::function<void()>& f, int& status) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    for (const int number : {SIGSEGV, SIGABRT}) std::signal(number, SIG_DFL);  // Catch's would report a test
    f();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char part[512];
  for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) text.append(part, size_t(n));
  close(ends[0]);
  waitpid(child, &status, 0);
  return text;
}

TEST_CASE("the host cannot touch device memory") {
  const OnDevice<float> x(std::vector<float>(32, 1.0f));
  int status = 0;
  const std::string text = errors_of_process(
      [&] {
        sim::install_fault_report();
        volatile float value = x.data()[3];
        static_cast<void>(value);
      },
      status);
  CHECK_THAT(text, Contains("the host touched device memory") && Contains("copy it to the host first") &&
                       Contains("simulator_test.cu"));
  CHECK_FALSE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

#if defined(__SANITIZE_ADDRESS__)
namespace {
__global__ void static_shared_overrun(float* y) {
  __shared__ float tile[32];
  float* element = tile;  // through a pointer, or the undefined-behaviour sanitizer would find it first
  element[threadIdx.x + 1] = 1.0f;
  __syncthreads();
  y[threadIdx.x] = tile[0];
}
}  // namespace

TEST_CASE("the address sanitizer checks kernels, and its report names the thread") {
  const OnDevice<float> x(std::vector<float>(32, 1.0f)), y(std::vector<float>(32, 1.0f));
  int status = 0;
  CHECK_THAT(errors_of_process(
                 [&] {
                   launch(static_shared_overrun, {1, 32}, y.data());
                 },
                 status),
             Contains("global-buffer-overflow") && Contains("static_shared_overrun") &&
                 Contains("block (0, 0, 0), thread (31, 0, 0)"));
  CHECK_THAT(errors_of_process(
                 [&] {
                   launch(reads_past_the_end, {1, 32}, x.data(), y.data(), 8);
                 },
                 status),
             Contains("use-after-poison") && Contains("reads_past_the_end") && Contains("thread (24, 0, 0)"));
}
#endif
