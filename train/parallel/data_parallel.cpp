#include "train/parallel/data_parallel.h"

#include <algorithm>

#include "core/error.h"

namespace fovea {

BatchShare share_of_batch(const ProcessGroup& group, int64_t batch_size) {
  require(batch_size % group.size() == 0, "`batch_size` is {}: {} processes share it, give a multiple of {}",
          batch_size, group.size(), group.size());
  const int64_t count = batch_size / group.size();
  return {group.rank() * count, count};
}

Turns turns_of(const ProcessGroup& group, int64_t all) {
  const int64_t rank = group.rank(), size = group.size();
  return {rank, size, (all - rank + size - 1) / size};
}

void all_reduce_gradients(ProcessGroup& group, const std::vector<NamedTensor>& parameters) {
  if (group.size() == 1) return;
  std::vector<Tensor> gradients;
  for (const NamedTensor& p : parameters)
    if (const Tensor gradient = p.tensor.grad(); gradient.defined()) gradients.push_back(gradient);
  if (!gradients.empty()) all_reduce(group, gradients);
}

void all_reduce(ProcessGroup& group, const std::vector<Tensor>& tensors) {
  if (group.size() == 1) return;
  if (tensors.front().device() == Device::cuda) {
    std::vector<DeviceFloats> floats;
    for (const Tensor& t : tensors) floats.push_back({t.data<float>(), t.numel()});
    return group.all_reduce_on_device(floats);
  }
  std::vector<float> all;  // one sum of many numbers is faster than many sums of a few
  for (const Tensor& t : tensors) all.insert(all.end(), t.span<float>().begin(), t.span<float>().end());
  group.all_reduce(std::span<float>(all));
  const float* from = all.data();
  for (const Tensor& t : tensors) {
    std::copy_n(from, t.numel(), t.data<float>());
    from += t.numel();
  }
}

std::vector<std::vector<double>> all_gather(ProcessGroup& group, const std::vector<double>& values) {
  const double length = double(values.size());
  const std::vector<double> lengths = group.all_gather({&length, 1});
  std::vector<double> padded = values;
  padded.resize(size_t(*std::max_element(lengths.begin(), lengths.end())));
  const std::vector<double> all = group.all_gather(padded);
  std::vector<std::vector<double>> result;
  for (const double n : lengths) {
    const auto begin = all.begin() + int64_t(result.size() * padded.size());
    result.emplace_back(begin, begin + int64_t(n));
  }
  return result;
}

bool any_process(ProcessGroup& group, bool value) {
  double sum = value ? 1 : 0;
  group.all_reduce(std::span<double>(&sum, 1));
  return sum > 0;
}

}  // namespace fovea
