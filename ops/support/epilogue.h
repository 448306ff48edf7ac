#pragma once
#include <cstdint>

namespace fovea {

class Tensor;
struct OutputEpilogue;  // cuda/device/output_epilogue.h

// What happens to a convolution's output for the batch norm that follows, where it is made: its statistics
// are taken (ChannelStatistics), or it is normalised (EvaluationNorm). On the CPU that is done block by block
// while a block is still in the cache: a convolution calls prepare(), then block() for each of its blocks
// (from any thread, in any order), then finish(). On CUDA its kernel does it, where it can: it calls
// on_cuda(), and otherwise nothing.
class Epilogue {
 public:
  Epilogue() = default;
  Epilogue(const Epilogue&) = default;
  Epilogue& operator=(const Epilogue&) = default;
  virtual ~Epilogue() = default;

  // For an output (rows, channels) that will come in so many blocks.
  virtual void prepare(int64_t rows, int64_t channels, int64_t blocks) = 0;
  // values (rows, channels), which may be changed in place.
  virtual void block(int64_t index, float* values, int64_t rows) = 0;
  virtual void block(int64_t index, double* values, int64_t rows) = 0;
  virtual void finish() = 0;
  // What the kernel that makes y is to do, whose blocks can give statistics in so many chunks. y is float32
  // or bfloat16, and not yet computed.
  virtual OutputEpilogue on_cuda(const Tensor& y, int64_t chunks) = 0;
};

}  // namespace fovea
