// Counts what a launch asks of a GPU's memory system.
#include "cuda/sim/score.h"

#include <algorithm>
#include <bit>

#include "cuda/runtime/profile.h"

namespace fovea::sim {
namespace {

// Divides each by `size` and keeps each result once, in order.
void divide(std::vector<uintptr_t>& addresses, uintptr_t size) {
  for (uintptr_t& address : addresses) address /= size;
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
}

}  // namespace

void Scorer::begin(const Kernel& kernel) {
  RequestWatcher::begin(kernel);
  score_ = {};
  std::string& name = names_[kernel.function];
  if (name.empty()) name = cuda::kernel_name(kernel.function);
  score_.kernel = name;
  score_.blocks = int64_t(kernel.grid.x) * kernel.grid.y * kernel.grid.z;
  score_.threads = int64_t(kernel.block.x) * kernel.block.y * kernel.block.z;
  buffers_.emplace(kernel);
  touched_.clear();
}

void Scorer::barrier() {
  RequestWatcher::barrier();
  ++score_.barriers;
}

void Scorer::request(const Request& request) {
  if (request.kind == Access::atomic && !request.is_shared) {
    for (uint32_t left = request.lanes; left != 0; left &= left - 1)
      ++buffer(request.address[std::countr_zero(left)]).atomics;
  } else if (request.kind != Access::atomic) {
    request.is_shared ? score_shared(request) : score_global(request);
  }
}

cuda::BufferScore& Scorer::buffer(uintptr_t address) {
  const size_t place = buffers_->find(address);
  for (size_t i = score_.buffers.size(); i < buffers_->all().size(); ++i) {
    const Buffer& b = buffers_->all()[i];
    score_.buffers.push_back({b.name, reinterpret_cast<const void*>(b.begin), int64_t(b.bytes), {}, {}, 0});
    touched_.emplace_back(b.bytes);
  }
  return score_.buffers[place];
}

void Scorer::score_global(const Request& request) {
  constexpr uintptr_t sector = 32, line = 128;
  // Nearly always one buffer; the lanes of each are taken together.
  for (uint32_t left = request.lanes; left != 0;) {
    cuda::BufferScore& b = buffer(request.address[std::countr_zero(left)]);
    std::vector<uint8_t>& touched = touched_[size_t(&b - score_.buffers.data())];
    const bool write = request.kind == Access::write;
    cuda::AccessScore& score = write ? b.writes : b.reads;
    std::vector<uintptr_t> ends;  // first and last bytes: an access is shorter than a sector
    for (int lane = 0; lane < 32; ++lane) {
      const uintptr_t at = request.address[lane] - uintptr_t(b.begin);
      if (!(left >> lane & 1) || at >= touched.size()) continue;
      left &= ~(1u << lane);
      ++score.lanes;
      score.bytes += request.bytes[lane];
      for (size_t i = at; i < std::min(touched.size(), at + request.bytes[lane]); ++i)
        touched[i] |= write ? 2 : 1;
      ends.insert(ends.end(), {request.address[lane], request.address[lane] + request.bytes[lane] - 1});
    }
    ++score.requests;
    score.partial += !request.whole;
    divide(ends, sector);
    score.sectors += int64_t(ends.size());
    divide(ends, line / sector);
    score.lines += int64_t(ends.size());
  }
}

// Lanes that ask for the same word get it in one round. Words of 8 bytes are served to half a warp at a time,
// those of 16 to a quarter.
void Scorer::score_shared(const Request& request) {
  cuda::AccessScore& score = request.kind == Access::write ? score_.shared_writes : score_.shared_reads;
  ++score.requests;
  score.partial += !request.whole;
  const int widest = *std::max_element(request.bytes, request.bytes + 32);
  const int together = widest > 8 ? 8 : widest > 4 ? 16 : 32;
  for (int first = 0; first < 32; first += together) {
    std::vector<uintptr_t> words;
    for (int lane = first; lane < first + together; ++lane) {
      if (!(request.lanes >> lane & 1)) continue;
      ++score.lanes;
      score.bytes += request.bytes[lane];
      for (uintptr_t byte = 0; byte < request.bytes[lane]; ++byte)
        words.push_back(request.address[lane] + byte);
    }
    if (words.empty()) continue;
    divide(words, 4);
    int64_t in_bank[32] = {};
    for (const uintptr_t word : words) ++in_bank[word % 32];
    const int64_t rounds = *std::max_element(in_bank, in_bank + 32);
    score.wavefronts += rounds;
    score.conflicts += rounds - 1;
  }
}

void Scorer::end(const std::string& fault) {
  RequestWatcher::end(fault);
  if (!fault.empty()) return;
  for (size_t i = 0; i < touched_.size(); ++i) {
    cuda::BufferScore& b = score_.buffers[i];
    for (const uint8_t byte : touched_[i]) {
      b.reads.distinct_bytes += byte & 1;
      b.writes.distinct_bytes += byte >> 1;
    }
  }
  std::erase_if(score_.buffers, [](const cuda::BufferScore& b) {
    return b.reads.requests + b.writes.requests + b.atomics == 0;
  });
  scores_.push_back(std::move(score_));
}

}  // namespace fovea::sim
