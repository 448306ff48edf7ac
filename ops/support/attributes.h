#pragma once
#include "core/op.h"
#include "cuda/kernels/bifpn_node.h"

namespace fovea {

// What ops say of themselves to a TapeObserver.

// The words for them in a recorded graph, and so in messages about one.
inline std::string name(Padding padding) { return padding == Padding::same ? "same" : "symmetric"; }
inline std::string name(Fusion fusion) {
  return fusion == Fusion::sum ? "sum" : fusion == Fusion::softmax ? "softmax" : "fast_normalized";
}

// Of a convolution or a pool: kernel, stride, padding.
inline Attributes attributes(Window window) {
  return {{"kernel", window.kernel}, {"stride", window.stride}, {"padding", name(window.padding)}};
}

}  // namespace fovea
