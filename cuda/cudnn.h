#pragma once
#include <cstdint>

#include "cuda/kernels/window.h"

// NVIDIA's library of convolutions, which is optional. A build for GPUs supports it if CMake found its header
// (FOVEA_CUDNN), and opens the library at the first convolution that it may do; without either, and in the
// simulator, available() is false and our own kernels run.
namespace fovea::cuda::cudnn {

// A dense convolution, or with groups = in_channels = out_channels a depthwise one.
struct Convolution {
  int64_t batch = 0, in_height = 0, in_width = 0, in_channels = 0, out_channels = 0;
  Window window;
  int64_t groups = 1;
};

// Which convolutions go to cuDNN, for the whole process. `where_faster` leaves up to four input channels, a
// network's first convolution, to our kernels (expected, not measured). The default is where_faster, or never
// if the environment has FOVEA_CUDNN=never.
enum class Use { never, where_faster, always };
void set_use(Use use);
Use use();

// What a training step needs of a convolution.
enum class Pass { forward, input_gradient, weight_gradient };

// The largest workspace for a pass; algorithms that need more are not chosen.
inline constexpr int64_t max_workspace_bytes = int64_t(64) << 20;

// Whether the library is in this build and on this machine.
bool available();

// Whether the library can do this pass, whatever use() says. The library must be available; the padding must
// be the same on both sides, since cuDNN supports no other (TensorFlow's SAME with stride 2 pads an even
// image on one side only); and a deterministic algorithm must fit into the workspace. The library is queried
// once for the same sizes. T: float, bfloat16; false for double.
template <class T>
bool takes(Pass pass, const Convolution& c);

// Runs a pass that takes() has accepted, on the current stream, with the workspace that it needs from the
// caching allocator. x and dx (batch, in_height, in_width, in_channels), y and dy (batch, height, width,
// out_channels), w and dw (out_channels, k, k, in_channels / groups), which is not our order. Sums are in
// float32 throughout, without TF32; dw of bfloat16 is rounded to bfloat16 at the end. Throws CudaError with
// the library's message.
template <class T>
void forward(const T* x, const T* w, T* y, const Convolution& c);
template <class T>
void input_gradient(const T* w, const T* dy, T* dx, const Convolution& c);
template <class T>
void weight_gradient(const T* x, const T* dy, T* dw, const Convolution& c);

}  // namespace fovea::cuda::cudnn
