#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/sim/simulator.h"

namespace fovea::sim {

// A piece of global memory as the program allocated it.
struct Buffer {
  uintptr_t begin = 0;
  size_t bytes = 0;
  std::string name;
  bool holds(uintptr_t address) const { return address - begin < bytes; }
};

// The buffers of one launch: those that its arguments point to, in their order, and then those that are found
// by address, such as one that a table in device memory points to. Those without a name are "buffer 1" and so
// on.
class Buffers {
 public:
  explicit Buffers(const Kernel& kernel);
  size_t find(uintptr_t address);  // its place in all()
  const std::vector<Buffer>& all() const { return all_; }

 private:
  std::vector<Buffer> all_;
  size_t latest_ = 0;
};

// What is allocated, for Buffers; memory.cpp keeps it up to date.
void add_buffer(const void* begin, size_t bytes);
void remove_buffers(const void* begin, size_t bytes);
void name_buffer(const void* address, const std::string& name);

}  // namespace fovea::sim
