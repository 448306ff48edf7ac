#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fovea {

struct DeviceFloats {  // count numbers in device memory
  float* values = nullptr;
  int64_t count = 0;
};

// The processes that train one network together, each on its share of every batch (data parallelism), and on
// CUDA each on its own device. Every call except rank() and size() is collective: all processes make it, in
// the same order, with equally many numbers. All get the same bits. Only the training thread may call.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;
  virtual int rank() const = 0;  // 0 .. size() - 1
  virtual int size() const = 0;
  // Only rank 0 prints and writes files.
  bool is_main_process() const { return rank() == 0; }

  // Returns the numbers of all processes, in the order of the ranks.
  virtual std::vector<double> all_gather(std::span<const double> values) = 0;
  // Replaces each number by its sum over all processes, added in the order of the ranks.
  virtual void all_reduce(std::span<float> values) = 0;
  void all_reduce(std::span<double> values);

  // Gives each process its own device; call it before anything else requests one.
  virtual void select_device() = 0;
  // The same two for numbers in device memory, in order with the work of the current stream. `all` holds
  // size() parts of `bytes` bytes, of which this process has written that of its rank.
  virtual void all_gather_on_device(void* all, size_t bytes) = 0;
  virtual void all_reduce_on_device(const std::vector<DeviceFloats>& tensors) = 0;
  // False if the host takes part in these two, so that no graph can hold them.
  virtual bool can_be_captured() const = 0;
};

// The group of a program that trains on its own: rank 0 of 1, whose collectives do not change the numbers.
ProcessGroup& single_process();

}  // namespace fovea
