#pragma once
#include <cstddef>
#include <iterator>
#include <memory>

#include "train/data/loader/dataset.h"
#include "train/data/prefetch.h"

namespace fovea {

// How batches() cuts a data set into batches.
struct BatchOptions {
  int64_t batch_size = 32;  // 1 or more
  bool shuffle = false;     // every epoch in a new order; false: by index
  int64_t seed = 0;         // of the order and of the augmentation
  int64_t epoch = 0;        // that the first traversal is; a resumed training gives the one it was in
  bool drop_last = false;   // leave out the last batch where it is smaller than the others
  int workers = 1;          // threads that prepare batches ahead, 1 or more
};

// Several examples with a new first axis: inputs (N, ...) and targets (N, ...), on the CPU.
struct ExampleBatch {
  Tensor inputs, targets;
};

// A data set cut into batches. Each traversal is one epoch, and the next traversal the next epoch, so this is
// made before the loop over epochs:
//
//   auto loader = batches(flowers, {.batch_size = 32, .shuffle = true, .seed = 1, .workers = 2});
//   for (int epoch = 0; epoch < 10; ++epoch)
//     for (const auto& [images, labels] : loader) ...
//
// Made inside of that loop, it needs `.epoch = epoch`; otherwise each epoch repeats the first one's order and
// augmentation. Epoch e of a seed is always the same, bit for bit, whatever the number of workers.
class Batches {
 public:
  // Throws Error where there is no example, `drop_last` leaves no batch, or an option is out of its range.
  Batches(std::shared_ptr<const Dataset> dataset, const BatchOptions& options);

  int64_t size() const;                     // number of batches in an epoch
  int64_t epoch() const { return epoch_; }  // that the next traversal will be

  // Goes through an epoch once (an input iterator). Copies share the epoch.
  class Iterator {
   public:
    // What std::input_iterator asks for.
    using iterator_concept = std::input_iterator_tag;
    using value_type = ExampleBatch;         // one batch
    using difference_type = std::ptrdiff_t;  // no two iterators are subtracted

    // `count` batches of `prefetch`; begin() makes these.
    Iterator(std::shared_ptr<Prefetch<ExampleBatch>> prefetch, int64_t count);
    const ExampleBatch& operator*() const { return batch_; }
    const ExampleBatch* operator->() const { return &batch_; }
    Iterator& operator++();  // waits for the next batch
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return left_ == 0; }

   private:
    std::shared_ptr<Prefetch<ExampleBatch>> prefetch_;
    int64_t left_;  // batches with the one that the iterator is at
    ExampleBatch batch_;
  };

  // Starts the next epoch, and the threads that prepare it; they end with the last copy of the iterator. It
  // and ++ throw what Dataset::get() threw for an example of the batch, and Error where the examples of a
  // batch differ in shape or dtype.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

 private:
  std::shared_ptr<const Dataset> dataset_;
  BatchOptions options_;
  int64_t epoch_;
};

// The same as the constructor.
inline Batches batches(std::shared_ptr<const Dataset> dataset, const BatchOptions& options = {}) {
  return {std::move(dataset), options};
}

}  // namespace fovea
