#pragma once
#include <cstdint>
#include <vector>

#include "cuda/device/bfloat16.h"

namespace fovea::cuda {

// A network's numbers lie in hundreds of tensors, most of them small: a launch for each would cost more than
// the work. So a table in device memory names them all, cut into chunks, and one launch with a block a chunk
// walks through it.
struct Chunk {
  int32_t tensor;  // its row in the table
  int32_t count;   // 1 .. chunk_numbers
  int64_t begin;   // a multiple of chunk_numbers
};
inline constexpr int64_t chunk_numbers = 4096;
std::vector<Chunk> chunks_of(const std::vector<int64_t>& sizes);  // of tensors of these sizes, in order

// A row of the optimizer's table: one parameter.
struct OptimizedTensor {
  float* weight;
  const float* gradient;       // null: the tensor stays as it is
  float *momentum, *variance;  // the variance for Adam and AdamW only
  int64_t size;
  float decay;
  float rate_factor;  // on the learning rate
  bool operator==(const OptimizedTensor&) const = default;
};
// A row of the average's table: one parameter or buffer.
struct AveragedTensor {
  float *weight, *average;
  int64_t size;
  bool operator==(const AveragedTensor&) const = default;
};
// A row of a table of casts: one parameter.
struct RoundedTensor {
  const float* weight;
  bfloat16* copy;
  int64_t size;
};

// The table and its chunks, as a launch is given them.
template <class Row>
struct MultiTensorTable {
  const Row* rows;      // in device memory
  const Chunk* chunks;  // in device memory; they cover each tensor
  int64_t chunk_count;
  int64_t numbers;  // of all tensors
};

// What differs from step to step lies in device memory, so that a captured graph reads the step's own.
struct OptimizerStep {
  float learning_rate;
  float correct1, correct2;  // Adam and AdamW: 1 / (1 - b1^t) and 1 / (1 - b2^t)
};
// What clipping found out, in device memory.
struct GradientNorm {
  double norm;            // over all gradients
  float scale;            // which makes it clip_norm where it is greater, else 1
  int32_t finite;         // where 0, the update leaves everything as it is
  int64_t skipped;        // updates so far for that reason; the caller begins with 0, also of the next two
  int64_t updates;        // so far, with those
  int64_t first_skipped;  // the number of the first of them, where there is one
};

// The result's norm, scale and finite; updates grows by one, and skipped where the norm is not finite.
// clip_norm 0: never clip.
void gradient_norm(const MultiTensorTable<OptimizedTensor>& table, double clip_norm, GradientNorm* result);

// Overwrite weight, momentum and, adam and adamw, variance: the formulas are in train/optim/optimizer.h.
void sgd(const MultiTensorTable<OptimizedTensor>& table, float momentum, const OptimizerStep* step,
         const GradientNorm* norm);
void adam(const MultiTensorTable<OptimizedTensor>& table, float beta1, float beta2, float epsilon,
          const OptimizerStep* step, const GradientNorm* norm);
void adamw(const MultiTensorTable<OptimizedTensor>& table, float beta1, float beta2, float epsilon,
           const OptimizerStep* step, const GradientNorm* norm);

// average += (1 - decay) (weight - average); the decay lies in device memory.
void update_average(const MultiTensorTable<AveragedTensor>& table, const float* decay);
void swap_with_average(const MultiTensorTable<AveragedTensor>& table);  // exchanges weight and average

void round_all(const MultiTensorTable<RoundedTensor>& table);  // copy = weight, to nearest even

}  // namespace fovea::cuda
