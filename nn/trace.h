#pragma once
#include <string>
#include <vector>

#include "core/tensor.h"
#include "nn/module.h"

namespace fovea {

// What one layer did in one forward pass.
struct TracedLayer {
  std::string path;  // "backbone.blocks.1.0.conv_dw"
  std::string kind;  // "depthwise 3x3 /2"
  Shape output;
  int64_t parameters = 0;
  int64_t multiply_adds = 0;  // as the papers count FLOPs: one for a multiplication with its addition
};

// While one lives, layers on this thread record what they do: `fovea info` runs the network itself and so
// cannot disagree with it.
class Trace {
 public:
  Trace();
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;
  std::vector<TracedLayer> layers;

 private:
  Trace* previous_;
};

bool is_traced();  // whether one lives on this thread
// Records a layer if a Trace lives.
void trace(const Module& layer, const std::string& kind, const Tensor& output, int64_t multiply_adds);

}  // namespace fovea
