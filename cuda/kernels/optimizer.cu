// Optimizer, gradient norm, moving average and rounding over all tensors of a network, each in a fixed number
// of launches. Bytes moved per number: norm 4 (g), SGD 20 (w, m read and written, g read), AdamW 28 (also v),
// average 12 (average read and written, w read), swap 16, rounding 6. The table costs up to 64 bytes for a
// block of at most 4096 numbers.
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
#include "cuda/device/reduce.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/optimizer.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

constexpr int pack = pack_size<float>;

__device__ inline bool aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// ---- what is done to each number. A rule is passed to the kernel by value; on(row) reads what all numbers
// of a tensor share into registers; at<N>(i) does the work for the N numbers from i on.

struct Sgd {
  using Row = OptimizedTensor;
  static constexpr int64_t bytes = 20;  // moved for a number
  float momentum;
  const OptimizerStep* step;
  const GradientNorm* norm;

  struct OnTensor {
    Row row;
    float keep, scale, rate;
    bool idle;
    __device__ bool packs() const {
      return aligned(row.weight) && aligned(row.gradient) && aligned(row.momentum);
    }
    template <int N>
    __device__ void at(int64_t i) const {
      Pack<float, N> w = load_pack<N>(row.weight + i), m = load_pack<N>(row.momentum + i);
      const Pack<float, N> g = load_pack<N>(row.gradient + i);
      for (int k = 0; k < N; ++k) {
        m.value[k] = keep * m.value[k] + (scale * g.value[k] + row.decay * w.value[k]);
        w.value[k] -= rate * m.value[k];
      }
      store_pack(row.momentum + i, m);
      store_pack(row.weight + i, w);
    }
  };
  __device__ OnTensor on(const Row& row) const {
    return {row, momentum, norm->scale, step->learning_rate * row.rate_factor,
            !norm->finite || !row.gradient};
  }
};

// Adam adds the decay to the gradient, AdamW to the update.
template <bool decay_in_gradient>
struct AdamRule {
  using Row = OptimizedTensor;
  static constexpr int64_t bytes = 28;  // moved for a number
  float beta1, beta2, epsilon;
  const OptimizerStep* step;
  const GradientNorm* norm;

  struct OnTensor {
    Row row;
    float b1, b2, epsilon, scale, rate, correct1, correct2;
    bool idle;
    __device__ bool packs() const {
      return aligned(row.weight) && aligned(row.gradient) && aligned(row.momentum) && aligned(row.variance);
    }
    template <int N>
    __device__ void at(int64_t i) const {
      Pack<float, N> w = load_pack<N>(row.weight + i), m = load_pack<N>(row.momentum + i);
      Pack<float, N> v = load_pack<N>(row.variance + i);
      const Pack<float, N> g = load_pack<N>(row.gradient + i);
      for (int k = 0; k < N; ++k) {
        float clipped = scale * g.value[k];
        if constexpr (decay_in_gradient) clipped += row.decay * w.value[k];
        m.value[k] = b1 * m.value[k] + (1 - b1) * clipped;
        v.value[k] = b2 * v.value[k] + (1 - b2) * clipped * clipped;
        float change = m.value[k] * correct1 / (std::sqrt(v.value[k] * correct2) + epsilon);
        if constexpr (!decay_in_gradient) change += row.decay * w.value[k];
        w.value[k] -= rate * change;
      }
      store_pack(row.momentum + i, m);
      store_pack(row.variance + i, v);
      store_pack(row.weight + i, w);
    }
  };
  __device__ OnTensor on(const Row& row) const {
    return {row,
            beta1,
            beta2,
            epsilon,
            norm->scale,
            step->learning_rate * row.rate_factor,
            step->correct1,
            step->correct2,
            !norm->finite || !row.gradient};
  }
};
using Adam = AdamRule<true>;
using AdamW = AdamRule<false>;

struct MovingAverage {
  using Row = AveragedTensor;
  static constexpr int64_t bytes = 12;  // moved for a number
  const float* decay;

  struct OnTensor {
    Row row;
    float share;
    static constexpr bool idle = false;
    __device__ bool packs() const { return aligned(row.weight) && aligned(row.average); }
    template <int N>
    __device__ void at(int64_t i) const {
      const Pack<float, N> w = load_pack<N>(row.weight + i);
      Pack<float, N> average = load_pack<N>(row.average + i);
      for (int k = 0; k < N; ++k) average.value[k] += share * (w.value[k] - average.value[k]);
      store_pack(row.average + i, average);
    }
  };
  __device__ OnTensor on(const Row& row) const { return {row, 1 - *decay}; }
};

struct Swap {
  using Row = AveragedTensor;
  static constexpr int64_t bytes = 16;  // moved for a number

  struct OnTensor {
    Row row;
    static constexpr bool idle = false;
    __device__ bool packs() const { return aligned(row.weight) && aligned(row.average); }
    template <int N>
    __device__ void at(int64_t i) const {
      const Pack<float, N> w = load_pack<N>(row.weight + i), average = load_pack<N>(row.average + i);
      store_pack(row.weight + i, average);
      store_pack(row.average + i, w);
    }
  };
  __device__ OnTensor on(const Row& row) const { return {row}; }
};

struct Rounding {
  using Row = RoundedTensor;
  static constexpr int64_t bytes = 6;  // moved for a number

  struct OnTensor {
    Row row;
    static constexpr bool idle = false;
    __device__ bool packs() const { return aligned(row.weight) && aligned(row.copy); }
    template <int N>
    __device__ void at(int64_t i) const {
      store_rounded<N>(row.copy + i, load_pack<N>(row.weight + i).value);
    }
  };
  __device__ OnTensor on(const Row& row) const { return {row}; }
};

// ---- and how each number is reached

// One block per chunk, 16 bytes at a time.
template <class Rule>
__global__ void each_number_chunked(MultiTensorTable<typename Rule::Row> table, Rule rule) {
  const Chunk chunk = table.chunks[blockIdx.x];
  const auto work = rule.on(table.rows[chunk.tensor]);
  if (work.idle) return;
  const int packed = work.packs() ? chunk.count / pack * pack : 0, step = int(blockDim.x);
  for (int i = int(threadIdx.x) * pack; i < packed; i += step * pack) work.template at<pack>(chunk.begin + i);
  for (int i = packed + int(threadIdx.x); i < chunk.count; i += step) work.template at<1>(chunk.begin + i);
}

// ---- the gradient norm: a partial sum per chunk, which the last block adds up

// In double, which cannot overflow: 3.4e38 squared times any number of parameters is below 1e308.
__device__ inline double square(float value) { return double(value) * double(value); }

__global__ void norm_chunked(MultiTensorTable<OptimizedTensor> table, double* partial, unsigned* ticket,
                             double clip_norm, GradientNorm* result) {
  const Chunk chunk = table.chunk_count > 0 ? table.chunks[blockIdx.x] : Chunk{};
  const float* gradient = chunk.count > 0 ? table.rows[chunk.tensor].gradient : nullptr;
  const int count = gradient ? chunk.count : 0, step = int(blockDim.x);  // all threads must reach block_sum
  const int packed = aligned(gradient) ? count / pack * pack : 0;
  double sum = 0;
  for (int i = int(threadIdx.x) * pack; i < packed; i += step * pack) {
    const Pack<float, pack> values = load_pack<pack>(gradient + chunk.begin + i);
    for (int k = 0; k < pack; ++k) sum += square(values.value[k]);
  }
  for (int i = packed + int(threadIdx.x); i < count; i += step) sum += square(gradient[chunk.begin + i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0 && table.chunk_count > 0) partial[blockIdx.x] = sum;
  if (!is_last_block(ticket, gridDim.x)) return;
  sum = 0;
  for (int64_t i = threadIdx.x; i < table.chunk_count; i += step) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x != 0) return;
  const double norm = std::sqrt(sum);
  result->norm = norm;
  result->scale = clip_norm > 0 && norm > clip_norm ? float(clip_norm / norm) : 1.0f;
  result->finite = norm <= DBL_MAX;  // neither infinity nor NaN
  if (!result->finite && result->skipped++ == 0) result->first_skipped = result->updates;
  ++result->updates;
}

template <class Row, class Rule>
void each_number(const MultiTensorTable<Row>& table, const Rule& rule) {
  launch(each_number_chunked<Rule>,
         LaunchConfig(dim3(unsigned(table.chunk_count)), block_threads).moves(Rule::bytes * table.numbers),
         table, rule);
}

}  // namespace

std::vector<Chunk> chunks_of(const std::vector<int64_t>& sizes) {
  std::vector<Chunk> chunks;
  for (size_t k = 0; k < sizes.size(); ++k)
    for (int64_t begin = 0; begin < sizes[k]; begin += chunk_numbers)
      chunks.push_back({int32_t(k), int32_t(std::min(chunk_numbers, sizes[k] - begin)), begin});
  return chunks;
}

void gradient_norm(const MultiTensorTable<OptimizedTensor>& table, double clip_norm, GradientNorm* result) {
  const Workspace<double> partial(table.chunk_count);
  const int64_t blocks =
      std::max<int64_t>(1, table.chunk_count);  // no parameters: one block writes a norm of 0
  launch(norm_chunked, LaunchConfig(dim3(unsigned(blocks)), block_threads).moves(4 * table.numbers), table,
         partial.data(), current_stream().tickets(1), clip_norm, result);
}

void sgd(const MultiTensorTable<OptimizedTensor>& table, float momentum, const OptimizerStep* step,
         const GradientNorm* norm) {
  each_number(table, Sgd{momentum, step, norm});
}

void adam(const MultiTensorTable<OptimizedTensor>& table, float beta1, float beta2, float epsilon,
          const OptimizerStep* step, const GradientNorm* norm) {
  each_number(table, Adam{beta1, beta2, epsilon, step, norm});
}

void adamw(const MultiTensorTable<OptimizedTensor>& table, float beta1, float beta2, float epsilon,
           const OptimizerStep* step, const GradientNorm* norm) {
  each_number(table, AdamW{beta1, beta2, epsilon, step, norm});
}

void update_average(const MultiTensorTable<AveragedTensor>& table, const float* decay) {
  each_number(table, MovingAverage{decay});
}

void swap_with_average(const MultiTensorTable<AveragedTensor>& table) { each_number(table, Swap{}); }

void round_all(const MultiTensorTable<RoundedTensor>& table) { each_number(table, Rounding{}); }

}  // namespace fovea::cuda
