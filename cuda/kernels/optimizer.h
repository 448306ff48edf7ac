#pragma once
#include <cstdint>
#include <vector>

#include "cuda/device/bfloat16.h"

namespace fovea::cuda {

// A network's numbers are in hundreds of tensors, most of them small: a launch for each would cost more than
// the work. So a table in device memory lists them all, cut into chunks, and one launch with one block per
// chunk handles the whole table.
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
  const float* gradient;       // null: the tensor does not change
  float *momentum, *variance;  // the variance only for Adam and AdamW
  int64_t size;
  float decay;
  float rate_factor;  // factor of the learning rate
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

// The table and its chunks, as arguments of a launch.
template <class Row>
struct MultiTensorTable {
  const Row* rows;      // in device memory
  const Chunk* chunks;  // in device memory; they cover each tensor
  int64_t chunk_count;
  int64_t numbers;  // of all tensors
};

// What changes from step to step is in device memory, so that a captured graph reads the current values.
struct OptimizerStep {
  float learning_rate;
  float correct1, correct2;  // Adam and AdamW: 1 / (1 - b1^t) and 1 / (1 - b2^t)
};
// The results of clipping, in device memory.
struct GradientNorm {
  double norm;            // over all gradients
  float scale;            // clip_norm / norm if the norm is greater than clip_norm, else 1
  int32_t finite;         // if 0, the update changes nothing
  int64_t skipped;        // updates skipped for that reason; the caller sets this and the next two to 0
  int64_t updates;        // updates so far, including skipped ones
  int64_t first_skipped;  // the number of the first skipped one, if any
};

// Sets the result's norm, scale and finite; increments updates, and also skipped if the norm is not finite.
// clip_norm 0: never clip.
void gradient_norm(const MultiTensorTable<OptimizedTensor>& table, double clip_norm, GradientNorm* result);

// Overwrite weight, momentum and, in adam and adamw, variance; the formulas are in train/optim/optimizer.h.
void sgd(const MultiTensorTable<OptimizedTensor>& table, float momentum, const OptimizerStep* step,
         const GradientNorm* norm);
void adam(const MultiTensorTable<OptimizedTensor>& table, float beta1, float beta2, float epsilon,
          const OptimizerStep* step, const GradientNorm* norm);
void adamw(const MultiTensorTable<OptimizedTensor>& table, float beta1, float beta2, float epsilon,
           const OptimizerStep* step, const GradientNorm* norm);

// average += (1 - decay) (weight - average); the decay is in device memory.
void update_average(const MultiTensorTable<AveragedTensor>& table, const float* decay);
void swap_with_average(const MultiTensorTable<AveragedTensor>& table);  // exchanges weight and average

void round_all(const MultiTensorTable<RoundedTensor>& table);  // copy = weight, to nearest even

}  // namespace fovea::cuda
