#pragma once
#include <initializer_list>
#include <type_traits>

#include "core/device.h"
#include "core/dry_run.h"
#include "core/error.h"
#include "core/tensor.h"

namespace fovea {

// Returns a function of the same arguments that does nothing.
template <class... Arguments>
auto compute_nothing(void (*)(Arguments...)) {
  return +[](Arguments...) {};
}

// Every op's one line of dispatch: on<T>(x.device(), swish_cpu<Accumulator<T>>, cuda::swish<T>)(pointers,
// sizes...). Both functions have the same type, so a signature that drifts apart does not compile, and a
// reader can jump to either. In bfloat16 this returns the CUDA function, because with_compute_dtype has
// refused the CPU. In a dry run it returns neither.
template <class T, class Cpu, class Cuda>
Cuda* on(Device device, Cpu* cpu, Cuda* cuda) {
  if (is_dry_run()) return compute_nothing(cuda);
  if constexpr (std::is_same_v<T, bfloat16>) {
    return cuda;
  } else {
    static_assert(std::is_same_v<Cpu, Cuda>, "the CPU's and the GPU's function must have the same signature");
    return device == Device::cpu ? cpu : cuda;
  }
}

// Calls f.operator()<T>() with the C++ type of x's numbers: float32 or float64, and on CUDA bfloat16.
template <class F>
void with_compute_dtype(const Tensor& x, const char* op, F&& f) {
  if (x.dtype() == DType::float32) return f.template operator()<float>();
  if (x.dtype() == DType::float64) return f.template operator()<double>();
  if (x.dtype() == DType::bfloat16 && x.device() == Device::cuda) return f.template operator()<bfloat16>();
  fail("[{}] computes in float32 or float64{}, got {}: cast the tensor first", op,
       x.device() == Device::cpu ? " on the CPU" : " or bfloat16", x.dtype());
}

// The dtype of the parameters, statistics and sums that go with activations of `dtype`: float32 for bfloat16.
inline DType accumulator_dtype(DType dtype) { return dtype == DType::bfloat16 ? DType::float32 : dtype; }

// Throws unless all defined tensors are on one device.
inline void require_one_device(const char* op, std::initializer_list<Tensor> tensors) {
  const Tensor* first = nullptr;
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    if (!first) first = &tensor;
    require(tensor.device() == first->device(),
            "[{}] a tensor of {} is on {}, another of {} on {}: move them to one device with to()", op,
            first->shape(), name(first->device()), tensor.shape(), name(tensor.device()));
  }
}

}  // namespace fovea
