#pragma once
#include <memory>
#include <vector>

#include "core/error.h"
#include "cuda/kernels/optimizer.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"
#include "nn/module.h"

namespace fovea {

// The tables of cuda/kernels/optimizer.h for tensors whose sizes stay. Addresses of gradients may change from
// one eager step to the next, and so the table's rows; those that a graph captured stay, so each capture has
// a table of its own, kept for as long as this.
template <class Row>
class MultiTensorTables {
 public:
  explicit MultiTensorTables(const std::vector<NamedTensor>& tensors)
      : row_count_(tensors.size()),
        chunks_(cuda::chunks_of(sizes_of(tensors))),
        eager_(row_count_),
        device_chunks_(int64_t(chunks_.size())) {
    for (const cuda::Chunk& chunk : chunks_) numbers_ += chunk.count;
    cuda::copy_to_device(device_chunks_.data(), chunks_.data(), chunks_.size() * sizeof(cuda::Chunk));
  }

  // Before each eager step or replay, outside of a graph. What a graph captured has not been brought to the
  // device, since nothing runs under capture; and a capture to come needs memory that is not the graph's,
  // which lasts for one replay.
  void prepare() {
    for (const auto& table : captured_) table->upload();
    if (!spare_) spare_ = std::make_unique<Table>(row_count_);
  }

  // A table with these rows; eager ones are brought to the device if they are not there already.
  cuda::MultiTensorTable<Row> table(const std::vector<Row>& rows) {
    if (!cuda::is_capturing()) {
      eager_.set(rows);
      eager_.upload();
      return view(eager_);
    }
    require(spare_ != nullptr,
            "an update of the optimizer or the average can be captured once after each prepare()");
    captured_.push_back(std::move(spare_));
    captured_.back()->set(rows);
    return view(*captured_.back());
  }

 private:
  struct Table {
    explicit Table(size_t count) : device_rows(int64_t(count)) {}

    void set(const std::vector<Row>& to) {
      if (rows == to) return;
      rows = to;
      uploaded = false;
    }
    void upload() {
      if (!uploaded) cuda::copy_to_device(device_rows.data(), rows.data(), rows.size() * sizeof(Row));
      uploaded = true;
    }

    std::vector<Row> rows;
    cuda::Workspace<Row> device_rows;
    bool uploaded = false;
  };

  static std::vector<int64_t> sizes_of(const std::vector<NamedTensor>& tensors) {
    std::vector<int64_t> sizes;
    for (const NamedTensor& t : tensors) sizes.push_back(t.tensor.numel());
    return sizes;
  }

  cuda::MultiTensorTable<Row> view(const Table& table) const {
    return {table.device_rows.data(), device_chunks_.data(), int64_t(chunks_.size()), numbers_};
  }

  size_t row_count_;
  int64_t numbers_ = 0;
  std::vector<cuda::Chunk> chunks_;
  Table eager_;
  std::unique_ptr<Table> spare_;  // for a capture to come
  std::vector<std::unique_ptr<Table>> captured_;
  cuda::Workspace<cuda::Chunk> device_chunks_;
};

}  // namespace fovea
