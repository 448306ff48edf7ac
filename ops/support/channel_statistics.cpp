#include "ops/support/channel_statistics.h"

#include "core/parallel.h"
#include "cuda/device/output_epilogue.h"
#include "cuda/kernels/batch_norm.h"
#include "ops/support/channel_rows.h"

namespace fovea {

void ChannelStatistics::prepare(int64_t rows, int64_t channels, int64_t blocks) {
  rows_ = rows;
  channels_ = channels;
  ready_ = false;
  count_.assign(size_t(blocks), 0);
  block_mean_.assign(size_t(blocks * channels), 0);
  block_squares_.assign(size_t(blocks * channels), 0);
}

// sum (x - p) and sum (x - p)^2 in one pass; with the pivot p near the values nothing cancels:
// sum (x - mean)^2 = sum (x - p)^2 - (sum (x - p))^2 / n.
template <class T>
void ChannelStatistics::add(int64_t index, const T* values, int64_t rows) {
  const RowGroup group(channels_);
  const std::vector<T> pivot = group.repeat<T>(values);
  std::vector<T> sum(pivot.size()), squares(pivot.size());
  const T* p = pivot.data();
  T *s = sum.data(), *q = squares.data();
  const int64_t width = group.width(), end = rows * channels_;
  int64_t at = 0;
  for (; at + 4 * width <= end; at += 4 * width) {
    const T *x0 = values + at, *x1 = x0 + width, *x2 = x1 + width, *x3 = x2 + width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      const T a = x0[j] - p[j], b = x1[j] - p[j], c = x2[j] - p[j], d = x3[j] - p[j];
      s[j] += (a + b) + (c + d);
      q[j] += (a * a + b * b) + (c * c + d * d);
    }
  }
  for (; at < end; at += width) {
    const int64_t count = end - at < width ? end - at : width;
    for (int64_t j = 0; j < count; ++j) {
      const T a = values[at + j] - p[j];
      s[j] += a;
      q[j] += a * a;
    }
  }
  double* mean = block_mean_.data() + index * channels_;
  double* about_mean = block_squares_.data() + index * channels_;
  group.fold(sum, mean);
  group.fold(squares, about_mean);
  count_[size_t(index)] = rows;
  for (int64_t c = 0; c < channels_; ++c) {
    about_mean[c] -= mean[c] * mean[c] / double(rows);
    mean[c] = double(p[c]) + mean[c] / double(rows);
  }
}

// Merges `added` rows, of which mean and sum of squared distances from it are given, with those in mean_ and
// variance_, which holds such a sum meanwhile.
void ChannelStatistics::merge(double& rows, double added, const double* mean, const double* squares) {
  if (added == 0) return;
  const double total = rows + added;
  for (int64_t c = 0; c < channels_; ++c) {
    const double delta = mean[c] - mean_[size_t(c)];
    mean_[size_t(c)] += delta * added / total;
    variance_[size_t(c)] += squares[c] + delta * delta * rows * added / total;
  }
  rows = total;
}

void ChannelStatistics::finish() {
  mean_.assign(size_t(channels_), 0);
  variance_.assign(size_t(channels_), 0);
  double rows = 0;
  for (size_t index = 0; index < count_.size(); ++index) {
    const int64_t at = int64_t(index) * channels_;
    merge(rows, double(count_[index]), block_mean_.data() + at, block_squares_.data() + at);
  }
  for (double& v : variance_)
    v = v > 0 ? v / double(rows_) : (v == v ? 0 : v);  // clamps rounding below 0; a NaN stays
  ready_ = true;
}

OutputEpilogue ChannelStatistics::on_cuda(const Tensor& y, int64_t chunks) {
  channels_ = y.size(-1);
  rows_ = y.numel() / std::max<int64_t>(channels_, 1);
  chunk_rows_ = chunk_statistics_ = {};
  if (rows_ == 0 || (group_ && group_->size() > 1) ||
      cuda::batch_norm_is_one_launch(BatchNormDims::of_matrix(rows_, channels_), int(size_of(y.dtype()))))
    return {};
  chunk_rows_ = empty({chunks}, DType::int32, Device::cuda);
  chunk_statistics_ = empty({chunks, 2, channels_}, DType::float32, Device::cuda);
  return {.rows = chunk_rows_.data<int>(), .statistics = chunk_statistics_.data<float>()};
}

void ChannelStatistics::merge_processes(ProcessGroup& group) {
  if (group.size() == 1) return;
  // from each process: rows, means, sums of squared distances
  std::vector<double> own{double(rows_)};
  own.insert(own.end(), mean_.begin(), mean_.end());
  for (const double v : variance_) own.push_back(v * double(rows_));
  const std::vector<double> all = group.all_gather(own);
  mean_.assign(size_t(channels_), 0);
  variance_.assign(size_t(channels_), 0);
  double rows = 0;
  for (size_t at = 0; at < all.size(); at += own.size())
    merge(rows, all[at], all.data() + at + 1, all.data() + at + 1 + channels_);
  rows_ = int64_t(rows);
  for (double& v : variance_) v /= rows;
}

template <class T>
void gather(ChannelStatistics& statistics, const T* values, int64_t rows, int64_t channels) {
  const int64_t chunk = chunk_rows(channels);
  statistics.prepare(rows, channels, chunk_count(rows, chunk));
  parallel_chunks(rows, chunk, [&](int64_t index, int64_t begin, int64_t end) {
    statistics.add(index, values + begin * channels, end - begin);
  });
  statistics.finish();
}

template void ChannelStatistics::add<float>(int64_t, const float*, int64_t);
template void ChannelStatistics::add<double>(int64_t, const double*, int64_t);
template void gather<float>(ChannelStatistics&, const float*, int64_t, int64_t);
template void gather<double>(ChannelStatistics&, const double*, int64_t, int64_t);

}  // namespace fovea
