#include "train/diagnose/timing.h"

#include "core/parallel.h"
#include "core/tensor.h"
#include "cuda/runtime/device.h"

namespace fovea {

double copy_rate(Device device, int repeats) {
  const bool simulated = device == Device::cuda && cuda::is_simulated();
  const Tensor from = full({simulated ? 1 << 16 : 1 << 26}, 1, DType::float32, device), to = empty_like(from);
  const auto copy = [&] {
    if (device == Device::cuda) return to.copy_from(from);
    const float* source = from.data<float>();
    float* target = to.data<float>();
    parallel_for(from.numel(), 1 << 16, [=](int64_t begin, int64_t end) {
      std::copy(source + begin, source + end, target + begin);
    });
  };
  return 2 * double(from.bytes()) / median_of(times_of(device, repeats, copy));
}

}  // namespace fovea
