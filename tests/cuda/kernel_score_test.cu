// Kernels whose requests, sectors and bank conflicts can be counted by hand.
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "cuda/device/bfloat16.h"
#include "cuda/device/grid.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/arithmetic.h"
#include "cuda/kernels/shape_ops.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/kernel_score.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

using namespace fovea;
using cuda::AccessScore;
using cuda::KernelScore;
using cuda::launch;

namespace {

// Device memory of zeros.
struct Floats {
  explicit Floats(int64_t n) : memory(n) { cuda::fill_bytes(memory.data(), 0, size_t(n) * 4); }
  float* data() const { return memory.data(); }
  cuda::Workspace<float> memory;
};

[[maybe_unused]] KernelScore score_of(const std::function<void()>& launches) {
  const cuda::ScoreKernels scoring;
  launches();
  const auto scores = scoring.scores();
  REQUIRE(scores.size() == 1);
  return scores[0];
}

__global__ void copy_strided(const float* x, float* y, int stride) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[i * unsigned(stride)];
}

}  // namespace

#ifndef FOVEA_SIM_CHECKS
TEST_CASE("where the simulator sees no accesses there are no scores") {
  const Floats x(32), y(32);
  const cuda::ScoreKernels scoring;
  launch(copy_strided, {1, 32}, x.data(), y.data(), 1);
  CHECK_FALSE(cuda::ScoreKernels::possible());
  CHECK(scoring.scores().empty());
}
#else
namespace {

template <class T>
__global__ void copy(const T* x, T* y) {
  y[threadIdx.x] = x[threadIdx.x];
}

__global__ void add_one_to_packs(const bfloat16* x, bfloat16* y) {
  const Pack<bfloat16, 8> pack = load_pack<8>(x + 8 * threadIdx.x);
  float sums[8];
  for (int k = 0; k < 8; ++k) sums[k] = float(pack.value[k]) + 1;
  store_rounded<8>(y + 8 * threadIdx.x, sums);
}

template <int Width>
__global__ void transpose(const float* x, float* y) {
  __shared__ float tile[32][Width];
  tile[threadIdx.y][threadIdx.x] = x[threadIdx.y * 32 + threadIdx.x];
  __syncthreads();
  y[threadIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}

// Reads word `stride` i of shared memory, which the thread itself has written.
template <class T>
__global__ void through_shared(float* y, int stride) {
  T* shared = dynamic_shared<T>();
  shared[threadIdx.x * unsigned(stride)] = T{};
  __syncthreads();
  y[threadIdx.x] = float(reinterpret_cast<const float*>(shared + threadIdx.x * unsigned(stride))[0]);
}

__global__ void broadcast_through_shared(const float* x, float* y) {
  __shared__ float value;
  if (threadIdx.x == 0) value = x[0];
  __syncthreads();
  y[threadIdx.x] = value;
}

__global__ void first_half(const float* x, float* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = x[threadIdx.x];
}

// Lane i reads i + 1 numbers: the further, the fewer lanes read together.
__global__ void triangle(const float* x, float* y) {
  float sum = 0;
  for (unsigned i = 0; i <= threadIdx.x; ++i) sum += x[i * 32 + threadIdx.x];
  y[threadIdx.x] = sum;
}

// Between two synchronisations of the warp, lanes 0 to 15 read, and then lanes 16 to 31, at one line.
__global__ void halves_in_turn(const float* x, float* y) {
  float value = 0;
  for (unsigned half = 0; half < 2; ++half) {
    if (threadIdx.x / 16 == half) value = x[threadIdx.x];
    __syncwarp();
  }
  y[threadIdx.x] = value;
}

__global__ void block_sums(const float* x, float* sums) {
  __shared__ float values[64];
  values[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  for (unsigned half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = values[0];
}

__global__ void count_positive(const float* x, int* count) {
  if (x[threadIdx.x] > 0) atomicAdd(count, 1);
}

struct Pointers {
  float value;
  const float* x;
  float* y;
};
__global__ void add_through_structure(Pointers p) { p.y[threadIdx.x] = p.x[threadIdx.x] + p.value; }

void check_global(const AccessScore& score, int64_t requests, int64_t sectors, int64_t lines, int64_t bytes,
                  int64_t distinct_bytes) {
  CHECK(score.requests == requests);
  CHECK(score.sectors == sectors);
  CHECK(score.lines == lines);
  CHECK(score.bytes == bytes);
  CHECK(score.distinct_bytes == distinct_bytes);
}

}  // namespace

TEST_CASE("32 floats side by side are 4 sectors, every second float 8, every 32nd 32") {
  const Floats x(4 * 32 * 32), y(128);
  for (const auto& [stride, sectors, lines] : {std::tuple(1, 4, 1), {2, 8, 2}, {32, 32, 32}, {0, 1, 1}}) {
    const KernelScore score = score_of([&, s = stride] {
      launch(copy_strided, {2, 64}, x.data(), y.data(), s);
    });
    CHECK(score.kernel == "copy_strided");
    CHECK(score.blocks == 2);
    CHECK(score.threads == 64);
    CHECK(score.barriers == 0);
    check_global(score.reads(x.data()), 4, 4 * sectors, 4 * lines, 512, stride ? 512 : 4);
    check_global(score.writes(y.data()), 4, 16, 4, 512, 512);
    CHECK(score.reads(y.data()).requests == 0);
    CHECK(score.writes(x.data()).requests == 0);
    CHECK(score.reads().sectors == 4 * sectors);
    CHECK(score.writes().lanes == 128);
    CHECK(score.writes().partial == 0);
  }
  const KernelScore broadcast = score_of([&] { launch(copy_strided, {2, 64}, x.data(), y.data(), 0); });
  CHECK(broadcast.reads().times() == 128);
}

TEST_CASE("an access of 16 bytes a lane is one request of 16 sectors") {
  const Floats x(128), y(128);
  const auto* from = reinterpret_cast<const float4*>(x.data());
  auto* to = reinterpret_cast<float4*>(y.data());
  const KernelScore score = score_of([&] { launch(copy<float4>, {1, 32}, from, to); });
  check_global(score.reads(), 1, 16, 4, 512, 512);
  check_global(score.writes(), 1, 16, 4, 512, 512);

  // Used number by number, a pack is still read as a whole.
  const KernelScore packs = score_of([&] {
    launch(add_one_to_packs, {1, 32}, reinterpret_cast<const bfloat16*>(x.data()),
           reinterpret_cast<bfloat16*>(y.data()));
  });
  check_global(packs.reads(), 1, 16, 4, 512, 512);
  check_global(packs.writes(), 1, 16, 4, 512, 512);
}

TEST_CASE("a column of a tile in shared memory conflicts 32 times, of a padded tile never") {
  const Floats x(1024), y(1024);
  const KernelScore plain = score_of([&] { launch(transpose<32>, {1, dim3(32, 32)}, x.data(), y.data()); });
  CHECK(plain.shared_writes.requests == 32);
  CHECK(plain.shared_writes.conflicts == 0);
  CHECK(plain.shared_reads.requests == 32);
  CHECK(plain.shared_reads.wavefronts == 32 * 32);
  CHECK(plain.shared_reads.conflicts == 32 * 31);
  CHECK(plain.barriers == 1);
  const KernelScore padded = score_of([&] { launch(transpose<33>, {1, dim3(32, 32)}, x.data(), y.data()); });
  CHECK(padded.shared_reads.wavefronts == 32);
  CHECK(padded.shared_reads.conflicts == 0);
  CHECK(padded.shared_writes.conflicts == 0);
}

TEST_CASE("bank conflicts follow the width of the access, and a broadcast has none") {
  const Floats x(1), y(32);
  const auto reads = [&](auto zero, int stride) {
    using T = decltype(zero);
    return score_of([&] {
      launch(through_shared<T>, {1, 32, size_t(32 * stride + 1) * sizeof(T)}, y.data(), stride);
    });
  };
  CHECK(reads(0.0f, 1).shared_writes.conflicts == 0);
  CHECK(reads(0.0f, 2).shared_writes.conflicts == 1);
  CHECK(reads(0.0f, 3).shared_writes.conflicts == 0);
  CHECK(reads(0.0f, 8).shared_writes.conflicts == 7);
  const AccessScore doubles = reads(0.0, 1).shared_writes;  // half a warp after the other
  CHECK(doubles.wavefronts == 2);
  CHECK(doubles.conflicts == 0);
  CHECK(reads(0.0, 2).shared_writes.conflicts == 2);
  const AccessScore fours = reads(float4{}, 1).shared_writes;  // four quarters
  CHECK(fours.wavefronts == 4);
  CHECK(fours.conflicts == 0);
  CHECK(reads(float4{}, 2).shared_writes.conflicts == 4);
  const AccessScore bfloat16s = reads(bfloat16(), 1).shared_writes;  // two in a word
  CHECK(bfloat16s.wavefronts == 1);
  CHECK(bfloat16s.conflicts == 0);

  const KernelScore broadcast = score_of([&] {
    launch(broadcast_through_shared, {1, 32}, x.data(), y.data());
  });
  CHECK(broadcast.shared_reads.requests == 1);
  CHECK(broadcast.shared_reads.conflicts == 0);
  CHECK(broadcast.shared_writes.lanes == 1);
  CHECK(broadcast.shared_writes.partial == 1);
}

TEST_CASE("lanes that take no part are counted") {
  const Floats x(1024), y(32);
  const KernelScore half = score_of([&] { launch(first_half, {1, 32}, x.data(), y.data()); });
  check_global(half.reads(), 1, 2, 1, 64, 64);
  CHECK(half.reads().lanes == 16);
  CHECK(half.reads().partial == 1);
  CHECK(half.reads().lanes_per_request() == 16);

  const KernelScore loop = score_of([&] { launch(triangle, {1, 32}, x.data(), y.data()); });
  CHECK(loop.reads().requests == 32);
  CHECK(loop.reads().lanes == 32 * 33 / 2);
  CHECK(loop.reads().partial == 31);
  CHECK(loop.reads().sectors == 8 * (1 + 2 + 3 + 4));

  // A warp of 16 threads is whole.
  const KernelScore small = score_of([&] { launch(copy<float>, {1, 16}, x.data(), y.data()); });
  CHECK(small.reads().partial == 0);

  const KernelScore turns = score_of([&] { launch(halves_in_turn, {1, 32}, x.data(), y.data()); });
  CHECK(turns.reads().requests == 2);
  CHECK(turns.reads().sectors == 4);
}

TEST_CASE("a score is the same in every order of threads and on a device that is behind") {
  const Floats x(256), sums(4);
  const auto text = [&] {
    return cuda::describe(score_of([&] { launch(block_sums, {4, 64}, x.data(), sums.data()); }));
  };
  const std::string expected = text();
  CHECK(expected ==
        "[simulator] block_sums: 4 x 64 threads, 13.3 lanes a request, 7 barriers a block\n"
        "[simulator]   reads  buffer 1: 1024 bytes, each 1.00 times; 8 requests of 4.00 sectors\n"
        "[simulator]   writes buffer 2: 16 bytes, each 1.00 times; 4 requests of 1.00 sectors\n"
        "[simulator]   shared memory: 52 reads and 32 writes, 0 bank conflicts");
  for (const cuda::ThreadOrder order : {cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
    cuda::set_thread_order(order);
    CHECK(text() == expected);
  }
  cuda::set_thread_order(cuda::ThreadOrder::forward);
  cuda::set_execution(cuda::Execution::deferred);
  launch(copy<float>, {1, 4}, x.data(), sums.data());  // before the scoring: not counted
  CHECK(text() == expected);
  cuda::set_execution(cuda::Execution::immediate);
}

TEST_CASE("buffers have names, the order of the arguments, and atomics a count of their own") {
  const cuda::Workspace<int> count(1);
  cuda::fill_bytes(count.data(), 0, 4);
  const Floats y(32);
  const std::vector<float> ones(32, 1.0f);
  {
    const Floats x(32);
    cuda::copy_to_device(x.data(), ones.data(), 128);
    cuda::name_buffer(x.data() + 3, "x");
    const KernelScore score = score_of([&] { launch(count_positive, {1, 32}, x.data(), count.data()); });
    REQUIRE(score.buffers.size() == 2);
    CHECK(score.buffers[0].name == "x");
    CHECK(score.buffers[0].begin == x.data());
    CHECK(score.buffers[0].buffer_bytes == 128);
    CHECK(score.buffers[1].name == "buffer 2");
    CHECK(score.buffers[1].atomics == 32);
    CHECK(score.writes().requests == 0);
    CHECK_THAT(cuda::describe(score), Catch::Contains("32 atomic operations on buffer 2"));
  }
  const Floats again(32);  // the memory is the same, the name is gone
  const KernelScore score = score_of([&] {
    launch(add_through_structure, {1, 32}, Pointers{1, again.data(), y.data()});
  });
  REQUIRE(score.buffers.size() == 2);
  CHECK(score.buffers[0].name == "buffer 1");
  CHECK(score.buffers[0].reads.requests == 1);
  CHECK(score.buffers[1].writes.requests == 1);
}

TEST_CASE("what is scored are the launches that end while an object lives, those of graphs too") {
  const Floats x(1024), y(32);
  const auto work = [&] { launch(copy<float>, {1, 32}, x.data(), y.data()); };
  work();
  const cuda::ScoreKernels outer;
  {
    const cuda::ScoreKernels inner;
    work();
    CHECK_THROWS_AS(launch(copy<float>, {1, 64}, x.data(), y.data()), CudaError);  // not counted
    CHECK(inner.scores().size() == 1);
  }
  cuda::Graph graph;
  graph.capture(work);
  CHECK(outer.scores().size() == 1);
  graph.replay();
  graph.replay();
  const auto scores = outer.scores();
  REQUIRE(scores.size() == 3);
  for (const KernelScore& score : scores) CHECK(score.reads(x.data()).sectors == 4);
}

namespace {
// The MB that passed through L1 in such a launch on an H200, by its hardware counters (2026-11-28; what was
// run stands in the file).
double measured_l1_mb(const std::string& kernel, int64_t blocks) {
  std::ifstream file(FOVEA_SOURCE_DIR "/bench/results/h200_counters_d0_batch16.tsv");
  std::string line, name, field;
  std::vector<std::string> columns;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    for (columns.clear(); std::getline(fields, field, '\t');) columns.push_back(field);
    if (columns[0] == kernel && columns[1] == std::to_string(blocks)) return std::stod(columns[7]);
  }
  return -1;
}

double l1_mb(const KernelScore& score) {
  return 32e-6 * double(score.reads().sectors + score.writes().sectors);
}
}  // namespace

TEST_CASE("sectors are the bytes that an H200 counted") {
  // The simulator closes much memory to the host only now and then, which other tests here rely on.
  const struct Tidy {
    ~Tidy() { cuda::release_cached_device_memory(); }
  } tidy;
  constexpr int64_t n = 360 * 256 * 4, m = 384 * 256 * 8;
  const Floats x(n), y(n), a(m / 2), b(m / 2), sum(m / 2);
  const KernelScore cast = score_of([&] { cuda::cast(x.data(), reinterpret_cast<bfloat16*>(y.data()), n); });
  CHECK(cast.kernel == "cast_packed<float, bfloat16>");
  CHECK(l1_mb(cast) == Approx(measured_l1_mb(cast.kernel, 360)).margin(0.005));
  const auto* left = reinterpret_cast<const bfloat16*>(a.data());
  const auto* right = reinterpret_cast<const bfloat16*>(b.data());
  const KernelScore add =
      score_of([&] { cuda::binary<Add>(left, right, reinterpret_cast<bfloat16*>(sum.data()), {}, m, true); });
  CHECK(add.kernel == "binary_packed<Add, bfloat16>");
  CHECK(l1_mb(add) == Approx(measured_l1_mb(add.kernel, 384)).margin(0.005));
}
#endif
