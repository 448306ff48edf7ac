// Tickets and fences order the accesses of two blocks of one launch (cuda/device/last_block.h). When a thread
// takes a ticket after a fence, its block publishes what it did before the fence: that thread's own accesses,
// and those of all threads before the barrier that precedes the fence. The block whose ticket is the last
// one, which atomicInc turns back to 0, gets what all earlier tickets published, after a fence of its own: at
// once in the thread that took the ticket, after a barrier in the others.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "cuda/sim/simulator.h"

namespace fovea::sim {
namespace {

struct Fence {
  uint32_t tick = 0, barrier = 0;  // when it was, and the last barrier before it
};
struct Published {
  uint32_t block;  // when it began
  uint32_t thread;
  Fence fence;
};
struct Seen {
  uint32_t block, thread;
  uint32_t since;  // the last barrier before the fence; 0: there was none yet
  std::vector<Published> tickets;
};

Fence fences[1024];  // the latest of each thread
std::map<unsigned*, std::vector<Published>> taken;
std::vector<Seen> seen;

}  // namespace

void take_ticket(unsigned* ticket, bool is_last) {
  const uint32_t self = current_thread();
  taken[ticket].push_back({epochs.block, self, fences[self]});
  ++epochs.tick;
  if (!is_last) return;
  seen.push_back({epochs.block, self, 0, std::move(taken[ticket])});
  taken.erase(ticket);
}

bool is_published(uint32_t tick, uint32_t thread) {
  const uint32_t self = current_thread();
  for (const Seen& s : seen) {
    if (s.block != epochs.block || !s.since || (s.thread != self && s.since == epochs.now)) continue;
    const auto later = std::upper_bound(s.tickets.begin(), s.tickets.end(), tick,
                                        [](uint32_t t, const Published& p) { return t < p.block; });
    if (later == s.tickets.begin()) continue;
    const Published& p = *std::prev(later);
    if (tick < p.fence.barrier || (thread == p.thread && tick < p.fence.tick)) return true;
  }
  return false;
}

size_t give_back_tickets() {
  size_t blocks = 0;
  for (const auto& [ticket, published] : taken) {
    *ticket = 0;
    blocks += published.size();
  }
  taken.clear();
  seen.clear();
  return blocks;
}

}  // namespace fovea::sim

void __threadfence() {
  using namespace fovea::sim;
  const SimulatorCode simulator;
  fences[current_thread()] = {++epochs.tick, epochs.now};
  for (Seen& s : seen)
    if (s.block == epochs.block && s.thread == current_thread() && !s.since) s.since = epochs.now;
}
