#include "nn/trace.h"

namespace fovea {
namespace {
thread_local Trace* current = nullptr;
}

Trace::Trace() : previous_(current) { current = this; }
Trace::~Trace() { current = previous_; }
bool is_traced() { return current != nullptr; }

void trace(const Module& layer, const std::string& kind, const Tensor& output, int64_t multiply_adds) {
  if (!current) return;
  current->layers.push_back({layer.path(), kind, output.shape(), layer.parameter_count(), multiply_adds});
}

}  // namespace fovea
