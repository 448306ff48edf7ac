// Puts the accesses of single threads together to requests of warps.
#include "cuda/sim/requests.h"

#include <algorithm>
#include <bit>

namespace fovea::sim {

void RequestWatcher::begin(const Kernel& kernel) {
  threads_ = int64_t(kernel.block.x) * kernel.block.y * kernel.block.z;
  warps_.assign(size_t(threads_ + 31) / 32, {});
}

void RequestWatcher::access(const Access& access) {
  constexpr size_t widest = 16;  // bytes that one instruction moves for a lane
  const unsigned lane = current_thread() % 32;
  Warp& warp = warps_[current_thread() / 32];
  if (block_ != epochs.block) finish();
  block_ = epochs.block;
  if (warp.barrier != epochs.now || warp.synchronisations != current_warp_count()) {
    finish(current_thread() / 32);
    warp.barrier = epochs.now;
    warp.synchronisations = current_warp_count();
    std::fill_n(warp.latest, 32, -1);
  }
  Warp::Site& site = warp.sites[access.from];
  for (size_t done = 0; done < access.bytes; done += widest) {
    const uint32_t made = site.made[lane]++;
    if (made == site.requests.size()) site.requests.push_back(insert(warp, warp.latest[lane], access));
    const int place = warp.latest[lane] = site.requests[made];
    Request& request = warp.requests[size_t(place)];
    request.lanes |= 1u << lane;
    request.address[lane] = access.address + done;
    request.bytes[lane] = uint8_t(std::min(widest, access.bytes - done));
  }
}

// A new request, which follows the lane's previous one: what other lanes have done after that one comes
// later.
int RequestWatcher::insert(Warp& warp, int after, const Access& access) {
  const int place = int(warp.requests.size());
  Request& request = warp.requests.emplace_back();
  request.from = access.from;
  request.kind = access.kind;
  request.is_shared = access.is_shared;
  request.block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  request.warp = current_thread() / 32;
  int& link = after < 0 ? warp.first : warp.next[size_t(after)];
  const int follows = link;
  link = place;
  warp.next.push_back(follows);
  return place;
}

void RequestWatcher::finish(unsigned index) {
  Warp& warp = warps_[index];
  const int lanes = int(std::min<int64_t>(32, threads_ - 32 * int64_t(index)));
  for (int place = warp.first; place >= 0; place = warp.next[size_t(place)]) {
    Request& made = warp.requests[size_t(place)];
    made.whole = std::popcount(made.lanes) == lanes;
    request(made);
  }
  warp.first = -1;
  warp.requests.clear();
  warp.next.clear();
  for (auto& [from, site] : warp.sites) {
    site.requests.clear();
    std::fill_n(site.made, 32, 0u);
  }
  std::fill_n(warp.latest, 32, -1);
}

void RequestWatcher::finish() {
  for (unsigned warp = 0; warp < warps_.size(); ++warp) finish(warp);
}

}  // namespace fovea::sim
