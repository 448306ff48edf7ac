#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace fovea::cuda {

// Free memory by address, for an allocator: of the CPU, of a device, or of no memory at all, for counting
// only. Segments come from the system. A request is cut from the smallest free block that is large enough,
// and joined with its free neighbours when it is returned: steps that need many sizes in turn, like those
// that recompute, share the same segments. Small requests have segments of their own, so that they do not
// split large ones.
class BlockPool {
 public:
  struct Segment {
    uintptr_t address;
    int64_t size;
  };

  // Returns the address of `size` bytes, or 0 if there is no room: then add a segment of segment_size(size)
  // and try again. Sizes are multiples of the allocator's granularity.
  uintptr_t take(int64_t size) {
    Blocks& blocks = blocks_of(size);
    const auto found = blocks.by_size.lower_bound({size, 0});
    if (found == blocks.by_size.end()) return 0;
    const auto [whole, address] = *found;
    blocks.remove(address, whole);
    if (whole > size) blocks.add(address + uintptr_t(size), whole - size);
    return address;
  }

  // Takes back what take(size) returned.
  void give(uintptr_t address, int64_t size) {
    Blocks& blocks = blocks_of(size);
    const auto next = blocks.by_address.find(address + uintptr_t(size));
    if (next != blocks.by_address.end() && !blocks.segments.contains(next->first)) {
      const int64_t more = next->second;
      blocks.remove(next->first, more);
      size += more;
    }
    if (!blocks.segments.contains(address)) {
      const auto after = blocks.by_address.lower_bound(address);
      if (after != blocks.by_address.begin()) {
        const auto [before, more] = *std::prev(after);
        if (before + uintptr_t(more) == address) {
          blocks.remove(before, more);
          address = before;
          size += more;
        }
      }
    }
    blocks.add(address, size);
  }

  static int64_t segment_size(int64_t size) { return is_small(size) ? small_segment : size; }
  void add_segment(Segment segment, int64_t for_size) {  // of segment_size(for_size) or more, all of it free
    Blocks& blocks = blocks_of(for_size);
    blocks.segments.emplace(segment.address, segment.size);
    blocks.add(segment.address, segment.size);
  }

  // Takes the segments without a block in use, to be returned to the system.
  std::vector<Segment> take_free_segments() {
    std::vector<Segment> result;
    for (Blocks& blocks : kinds_)
      for (auto it = blocks.segments.begin(); it != blocks.segments.end();) {
        const auto [address, size] = *it;
        const auto found = blocks.by_address.find(address);
        if (found == blocks.by_address.end() || found->second != size) {
          ++it;
          continue;
        }
        blocks.remove(address, size);
        it = blocks.segments.erase(it);
        result.push_back({address, size});
      }
    return result;
  }

 private:
  static constexpr int64_t small_limit = 1 << 16, small_segment = 1 << 20;
  static bool is_small(int64_t size) { return size < small_limit; }

  struct Blocks {
    std::map<uintptr_t, int64_t> segments;    // all
    std::map<uintptr_t, int64_t> by_address;  // what is free
    std::set<std::pair<int64_t, uintptr_t>> by_size;

    void add(uintptr_t address, int64_t size) {
      by_address.emplace(address, size);
      by_size.emplace(size, address);
    }
    void remove(uintptr_t address, int64_t size) {
      by_address.erase(address);
      by_size.erase({size, address});
    }
  };
  Blocks& blocks_of(int64_t size) { return kinds_[is_small(size)]; }
  Blocks kinds_[2];
};

}  // namespace fovea::cuda
