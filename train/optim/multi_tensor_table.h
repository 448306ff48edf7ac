#pragma once
#include <memory>
#include <vector>

#include "core/error.h"
#include "cuda/kernels/optimizer.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"
#include "nn/module.h"

namespace fovea {

// The tables of cuda/kernels/optimizer.h for tensors of fixed sizes. The addresses of gradients, and so the
// table's rows, may change from one eager step to the next. Those that a graph captured must stay, so each
// capture has its own table, kept for as long as this object.
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

  // Call it before each eager step or replay, outside a graph. It copies captured tables to the device, since
  // nothing runs under capture, and allocates memory for the next capture, since a graph's own memory lasts
  // only for one replay.
  void prepare() {
    for (const auto& table : captured_) table->upload();
    if (!spare_) spare_ = std::make_unique<Table>(row_count_);
  }

  // A table with these rows; an eager one is copied to the device if it is not there already.
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
  std::unique_ptr<Table> spare_;  // for the next capture
  std::vector<std::unique_ptr<Table>> captured_;
  cuda::Workspace<cuda::Chunk> device_chunks_;
};

}  // namespace fovea
