#include "train/data/loader/batches.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "core/error.h"
#include "train/data/random_stream.h"
#include "train/data/sampler.h"

namespace fovea {
namespace {

Shape with_first_axis(int64_t count, const Shape& shape) {
  std::vector<int64_t> sizes{count};
  sizes.insert(sizes.end(), shape.sizes().begin(), shape.sizes().end());
  return Shape(sizes);
}

// Copies a part of example `index` to its place in the batch, which is allocated for the first example.
void put(const Tensor& part, const char* name, int64_t index, int64_t place, int64_t count, Tensor& batch) {
  require(part.defined(), "[batches] the {} of example {} is no tensor: Dataset::get() must make one", name,
          index);
  require(part.device() == Device::cpu,
          "[batches] the {} of example {} is on the GPU: Dataset::get() must make it on the CPU", name,
          index);
  const Shape shape = with_first_axis(count, part.shape());
  if (!batch.defined()) batch = Tensor(shape, part.dtype());
  require(
      shape == batch.shape() && part.dtype() == batch.dtype(),
      "[batches] the {} of example {} is {} {}, but the batch begins with one that is {} {}: all examples "
      "of a data set must be alike",
      name, index, part.shape(), part.dtype(), batch.shape().without(0), batch.dtype());
  std::copy_n(part.raw(), part.bytes(), batch.raw() + place * part.bytes());
}

// The order of the examples in an epoch; the one of a training with the same seed (training_sampler).
std::vector<int64_t> epoch_order(int64_t examples, const BatchOptions& options, int64_t epoch) {
  if (options.shuffle)
    return Sampler(
               examples,
               [&](int64_t e) { return Random(uint64_t(options.seed), stream_of(RandomStream::order, e)); })
        .images(epoch * examples, examples);
  std::vector<int64_t> order(static_cast<size_t>(examples));
  std::iota(order.begin(), order.end(), int64_t(0));
  return order;
}

}  // namespace

Batches::Batches(std::shared_ptr<const Dataset> dataset, const BatchOptions& options)
    : dataset_(std::move(dataset)), options_(options), epoch_(options.epoch) {
  require(dataset_ && dataset_->size() > 0, "[batches] the data set has no example");
  require(options.batch_size >= 1, "[batches] `batch_size` is {}: give 1 or more", options.batch_size);
  require(options.workers >= 1, "[batches] `workers` is {}: give 1 or more", options.workers);
  require(options.epoch >= 0, "[batches] `epoch` is {}: give 0 or more", options.epoch);
  require(size() > 0,
          "[batches] `drop_last` leaves no batch: `batch_size` is {}, and there are {} examples: give a "
          "smaller `batch_size`",
          options.batch_size, dataset_->size());
}

int64_t Batches::size() const {
  const int64_t full = dataset_->size() / options_.batch_size, rest = dataset_->size() % options_.batch_size;
  return full + (rest > 0 && !options_.drop_last);
}

Batches::Iterator Batches::begin() {
  const int64_t epoch = epoch_++, examples = dataset_->size();
  // The threads may outlive this object: they hold what they need.
  auto make = [dataset = dataset_, options = options_, order = epoch_order(examples, options_, epoch),
               first_of_epoch = epoch * examples](int64_t index) {
    const int64_t first = index * options.batch_size;
    const int64_t count = std::min(options.batch_size, int64_t(order.size()) - first);
    ExampleBatch batch;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t chosen = order[size_t(first + k)];
      Random random(uint64_t(options.seed),
                    stream_of(RandomStream::augmentation, first_of_epoch + first + k));
      const Example example = dataset->get(chosen, random);
      put(example.input, "input", chosen, k, count, batch.inputs);
      put(example.target, "target", chosen, k, count, batch.targets);
    }
    return batch;
  };
  return {std::make_shared<Prefetch<ExampleBatch>>(options_.workers, size_t(options_.workers) + 1, 0, size(),
                                                   std::move(make)),
          size()};
}

Batches::Iterator::Iterator(std::shared_ptr<Prefetch<ExampleBatch>> prefetch, int64_t count)
    : prefetch_(std::move(prefetch)), left_(count), batch_(prefetch_->next()) {}

Batches::Iterator& Batches::Iterator::operator++() {
  if (--left_ > 0) batch_ = prefetch_->next();
  return *this;
}

}  // namespace fovea
