#pragma once
#include <cstdint>

namespace fovea {

// What happens to each block of a convolution's output on the CPU while it is still in the cache: its
// statistics are taken (ChannelStatistics), or it is normalised (EvaluationNorm). A convolution calls
// prepare(), then block() for each of its blocks (from any thread, in any order), then finish().
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
};

}  // namespace fovea
