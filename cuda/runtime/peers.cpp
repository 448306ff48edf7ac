#include "cuda/runtime/peers.h"

namespace fovea::cuda {
namespace {

std::unique_ptr<Peers> joined;

}  // namespace

Peers* peers() { return joined.get(); }
void set_peers(std::unique_ptr<Peers> peers) { joined = std::move(peers); }

}  // namespace fovea::cuda
