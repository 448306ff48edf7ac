#pragma once
#include <cstdint>
#include <vector>

#include "core/tensor.h"
#include "cuda/runtime/process_group.h"
#include "ops/support/epilogue.h"

namespace fovea {

// Mean and (biased) variance of each channel of a rows x channels matrix, gathered block by block where the
// values are made, so that batch norm need not read them again. On the CPU, blocks are merged in index order
// (Chan, Golub and LeVeque's pairwise update), which gives the same bits on any number of threads. Means and
// variances are float64; within a block, sums run in T around a pivot. On CUDA the kernel's chunks stay on
// the device, and batch norm merges them there.
class ChannelStatistics : public Epilogue {
 public:
  // For a norm over all processes of a group (null: one process). On CUDA nothing is gathered if the group
  // has several processes or the whole norm is one launch.
  explicit ChannelStatistics(ProcessGroup* group = nullptr) : group_(group) {}
  void prepare(int64_t rows, int64_t channels, int64_t blocks) override;
  void block(int64_t index, float* values, int64_t rows) override { add(index, values, rows); }
  void block(int64_t index, double* values, int64_t rows) override { add(index, values, rows); }
  void finish() override;
  OutputEpilogue on_cuda(const Tensor& y, int64_t chunks) override;
  template <class T>
  void add(int64_t index, const T* values, int64_t rows);  // block() that only reads the values
  // Merges the statistics of all processes of the group; each must have called finish().
  void merge_processes(ProcessGroup& group);

  bool ready() const { return ready_; }              // on the CPU
  Tensor chunk_rows() const { return chunk_rows_; }  // on CUDA, as OutputEpilogue has them; undefined: none
  Tensor chunk_statistics() const { return chunk_statistics_; }
  int64_t rows() const { return rows_; }
  int64_t channels() const { return channels_; }
  const std::vector<double>& mean() const { return mean_; }
  const std::vector<double>& variance() const { return variance_; }

 private:
  void merge(double& rows, double added, const double* mean, const double* squares);

  ProcessGroup* group_;
  Tensor chunk_rows_, chunk_statistics_;
  int64_t rows_ = 0, channels_ = 0;
  bool ready_ = false;
  std::vector<int64_t> count_;         // rows of each block
  std::vector<double> block_mean_;     // blocks x channels
  std::vector<double> block_squares_;  // blocks x channels: sum of squared distances from the block's mean
  std::vector<double> mean_, variance_;
};

// Gathers the statistics of a finished matrix.
template <class T>
void gather(ChannelStatistics& statistics, const T* values, int64_t rows, int64_t channels);

}  // namespace fovea
