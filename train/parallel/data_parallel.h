#pragma once
#include <cstdint>
#include <vector>

#include "nn/module.h"

namespace fovea {

// Data parallelism: each of several processes (core/processes.h) computes its share of every batch, and all
// make the same update from the sum of their gradients. A share's loss is so divided that the sum over the
// shares is the loss of the whole batch; batch norm takes its statistics over all of them. The weights are
// then, but for rounding, those of one process that computes the whole batch, and the same in all processes
// to the last bit.

// True of the one process that speaks and writes files; alone it is that.
bool is_main_process();

// Images first .. first + count - 1 of each batch are this process's.
struct BatchShare {
  int64_t first = 0, count = 0;
};
// Throws Error where the batch cannot be shared equally.
BatchShare share_of_batch(int64_t batch_size);

// Work of `all` pieces, one process after the other: this one does pieces rank, rank + N, ..., so many.
struct Turns {
  int64_t first = 0, stride = 1, count = 0;
  int64_t operator[](int64_t index) const { return first + index * stride; }
};
Turns turns_of(int64_t all);

// Each number of float32 tensors, which lie on one device, becomes the sum over all processes.
void sum_tensors(const std::vector<Tensor>& tensors);
// The same of the parameters' gradients; one without a gradient must be without one in all processes.
void sum_gradients(const std::vector<NamedTensor>& parameters);

// What each process has, in the order of the ranks; lengths may differ.
std::vector<std::vector<double>> gather_from_processes(const std::vector<double>& values);

// True in all processes where it is in any; none goes on before all have asked.
bool any_process(bool value);

}  // namespace fovea
