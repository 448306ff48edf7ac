// Which buffer an address of global memory belongs to, and what it is called.
#include "cuda/sim/buffers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace fovea::sim {
namespace {

std::mutex mutex;
// By address. Never destroyed: tensors in static storage may outlive any static destructor.
std::map<uintptr_t, Buffer>& allocated() {
  static auto* const instance = new std::map<uintptr_t, Buffer>;
  return *instance;
}

// Null where no buffer holds the address. The caller holds the mutex.
Buffer* allocated_at(uintptr_t address) {
  const auto after = allocated().upper_bound(address);
  if (after == allocated().begin()) return nullptr;
  Buffer& before = std::prev(after)->second;
  return before.holds(address) ? &before : nullptr;
}

}  // namespace

void add_buffer(const void* begin, size_t bytes) {
  const std::lock_guard lock(mutex);
  allocated()[uintptr_t(begin)] = {uintptr_t(begin), bytes, ""};
}

void remove_buffers(const void* begin, size_t bytes) {
  const std::lock_guard lock(mutex);
  auto& all = allocated();
  all.erase(all.lower_bound(uintptr_t(begin)), all.lower_bound(uintptr_t(begin) + bytes));
}

void name_buffer(const void* address, const std::string& name) {
  const std::lock_guard lock(mutex);
  if (Buffer* const buffer = allocated_at(uintptr_t(address))) buffer->name = name;
}

Buffers::Buffers(const Kernel& kernel) {
  const std::lock_guard lock(mutex);
  for (const void* word : kernel.words(kernel.arguments)) {
    const Buffer* const buffer = allocated_at(uintptr_t(word));
    const auto same = [&](const Buffer& b) { return b.begin == buffer->begin; };
    if (buffer && std::none_of(all_.begin(), all_.end(), same)) all_.push_back(*buffer);
  }
  for (size_t i = 0; i < all_.size(); ++i)
    if (all_[i].name.empty()) all_[i].name = fmt::format("buffer {}", i + 1);
}

size_t Buffers::find(uintptr_t address) {
  if (latest_ < all_.size() && all_[latest_].holds(address)) return latest_;
  const auto known =
      std::find_if(all_.begin(), all_.end(), [&](const Buffer& b) { return b.holds(address); });
  latest_ = size_t(known - all_.begin());
  if (known != all_.end()) return latest_;
  const std::lock_guard lock(mutex);
  const Buffer* const buffer = allocated_at(address);
  all_.push_back(buffer ? *buffer : Buffer{address / 4096 * 4096, 4096, "memory that is not allocated"});
  if (all_.back().name.empty()) all_.back().name = fmt::format("buffer {}", all_.size());
  return latest_;
}

}  // namespace fovea::sim
