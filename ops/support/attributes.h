#pragma once
#include "core/op.h"
#include "cuda/kernels/bifpn_node.h"

namespace fovea {

// The attributes that ops report to a TapeObserver.

// The names in a recorded graph, and so in messages about one.
inline std::string name(Padding padding) {
  if (padding == Padding::same) return "same";
  if (padding == Padding::symmetric) return "symmetric";
  return padding == Padding::valid ? "valid" : std::to_string(padding.number);
}
inline Padding parse_padding(const std::string& name) {  // the inverse of name()
  for (const Padding padding : {Padding::same, Padding::symmetric, Padding::valid})
    if (name == fovea::name(padding)) return padding;
  return Padding::pixels(std::stoi(name));
}
inline std::string name(Fusion fusion) {
  return fusion == Fusion::sum ? "sum" : fusion == Fusion::softmax ? "softmax" : "fast_normalized";
}

// The attributes of a convolution or a pool: kernel, stride, padding.
inline Attributes attributes(Window window) {
  return {{"kernel", window.kernel}, {"stride", window.stride}, {"padding", name(window.padding)}};
}

}  // namespace fovea
