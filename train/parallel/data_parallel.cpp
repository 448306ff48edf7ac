#include "train/parallel/data_parallel.h"

#include <algorithm>

#include "core/error.h"
#include "core/processes.h"
#include "cuda/runtime/peers.h"

namespace fovea {

bool is_main_process() { return !processes() || processes()->rank() == 0; }

BatchShare share_of_batch(int64_t batch_size) {
  if (!processes()) return {0, batch_size};
  const int64_t count = processes()->count();
  require(batch_size % count == 0,
          "--batch-size is {}: it is that of all processes together, which are {}; give a multiple of it",
          batch_size, count);
  return {processes()->rank() * (batch_size / count), batch_size / count};
}

Turns turns_of(int64_t all) {
  if (!processes()) return {0, 1, all};
  const int64_t rank = processes()->rank(), count = processes()->count();
  return {rank, count, (all - rank + count - 1) / count};
}

void sum_gradients(const std::vector<NamedTensor>& parameters) {
  if (!processes()) return;
  std::vector<Tensor> gradients;
  for (const NamedTensor& p : parameters)
    if (const Tensor gradient = p.tensor.grad(); gradient.defined()) gradients.push_back(gradient);
  if (gradients.empty()) return;
  sum_tensors(gradients);
}

void sum_tensors(const std::vector<Tensor>& tensors) {
  if (!processes()) return;
  if (tensors.front().device() == Device::cuda) {
    std::vector<cuda::DeviceFloats> floats;
    for (const Tensor& t : tensors) floats.push_back({t.data<float>(), t.numel()});
    return cuda::peers()->sum(floats);
  }
  std::vector<float> all;  // one sum of many numbers is quicker than many sums of few
  for (const Tensor& t : tensors) all.insert(all.end(), t.span<float>().begin(), t.span<float>().end());
  processes()->sum(all);
  const float* from = all.data();
  for (const Tensor& t : tensors) {
    std::copy_n(from, t.numel(), t.data<float>());
    from += t.numel();
  }
}

std::vector<std::vector<double>> gather_from_processes(const std::vector<double>& values) {
  if (!processes()) return {values};
  const double length = double(values.size());
  const std::vector<double> lengths = processes()->gather({&length, 1});
  std::vector<double> padded = values;
  padded.resize(size_t(*std::max_element(lengths.begin(), lengths.end())));
  const std::vector<double> all = processes()->gather(padded);
  std::vector<std::vector<double>> result;
  for (const double n : lengths) {
    const auto begin = all.begin() + int64_t(result.size() * padded.size());
    result.emplace_back(begin, begin + int64_t(n));
  }
  return result;
}

bool any_process(bool value) { return sum_over_processes({value ? 1.0 : 0.0})[0] > 0; }

}  // namespace fovea
