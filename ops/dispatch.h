#pragma once
#include "core/device.h"
#include "core/error.h"

namespace fovea {

// Every op's one line of dispatch: on(x.device(), swish_cpu<T>, cuda::swish<T>)(pointers, sizes...). Both
// functions have the same type, so a signature that drifts apart does not compile, and a reader can jump to
// either.
template <class Function>
Function* on(Device device, Function* cpu, Function* cuda = nullptr) {
  Function* chosen = device == Device::cpu ? cpu : cuda;
  require(chosen != nullptr, "this op has no kernel for device {}", name(device));
  return chosen;
}

}  // namespace fovea
