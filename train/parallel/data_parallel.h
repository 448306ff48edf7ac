#pragma once
#include <cstdint>
#include <vector>

#include "cuda/runtime/process_group.h"
#include "nn/module.h"

namespace fovea {

// Data parallelism: each process of a group computes its share of every batch, and all make the same update
// from the sum of their gradients. A share's loss is divided so that the sum over the shares is the loss of
// the whole batch; batch norm takes its statistics over all of them. The weights are then, except for
// rounding, those of one process that computes the whole batch, and they are the same in all processes to the
// last bit.

// This process computes images first .. first + count - 1 of each batch.
struct BatchShare {
  int64_t first = 0, count = 0;
};
// Throws Error if the batch cannot be shared equally.
BatchShare share_of_batch(const ProcessGroup& group, int64_t batch_size);

// Work of `all` pieces, dealt out in turn: this process does `count` of them, pieces rank, rank + size, ...
struct Turns {
  int64_t first = 0, stride = 1, count = 0;
  int64_t operator[](int64_t index) const { return first + index * stride; }
};
Turns turns_of(const ProcessGroup& group, int64_t all);

// Replaces each number of float32 tensors, which must be on one device, by its sum over all processes.
void all_reduce(ProcessGroup& group, const std::vector<Tensor>& tensors);
// The same for the parameters' gradients; one without a gradient must be without one in all processes.
void all_reduce_gradients(ProcessGroup& group, const std::vector<NamedTensor>& parameters);

// The lists of all processes, in the order of the ranks; lengths may differ.
std::vector<std::vector<double>> all_gather(ProcessGroup& group, const std::vector<double>& values);

// Returns true in all processes if `value` is true in any. It is a barrier: no process returns before all
// have called it.
bool any_process(ProcessGroup& group, bool value);

}  // namespace fovea
