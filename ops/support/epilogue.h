#pragma once
#include <cstdint>

namespace fovea {

class Tensor;
struct OutputEpilogue;  // cuda/device/output_epilogue.h

// What a convolution does to its output for the batch norm that follows, where it makes it: gather its
// statistics (ChannelStatistics), or normalise it (EvaluationNorm). On the CPU this happens block by block
// while a block is still in the cache: the convolution calls prepare(), then block() for each of its blocks
// (from any thread, in any order), then finish(). On CUDA its kernel does it, if it can: the convolution then
// calls only on_cuda(), and otherwise nothing.
class Epilogue {
 public:
  Epilogue() = default;
  Epilogue(const Epilogue&) = default;
  Epilogue& operator=(const Epilogue&) = default;
  virtual ~Epilogue() = default;

  // Announces an output (rows, channels) in this number of blocks.
  virtual void prepare(int64_t rows, int64_t channels, int64_t blocks) = 0;
  // Takes values (rows, channels), which it may change in place.
  virtual void block(int64_t index, float* values, int64_t rows) = 0;
  virtual void block(int64_t index, double* values, int64_t rows) = 0;
  virtual void finish() = 0;
  // Returns what the kernel that computes y has to do; its blocks can give statistics in this number of
  // chunks. y is float32 or bfloat16, and not yet computed.
  virtual OutputEpilogue on_cuda(const Tensor& y, int64_t chunks) = 0;
};

}  // namespace fovea
