#pragma once
#include <bit>
#include <cstdint>
#include <vector>

#include "cuda/device/bfloat16.h"
#include "cuda/device/host_device.h"
#include "cuda/kernels/pool2d.h"

namespace fovea {

// How a BiFPN node weighs its inputs (arXiv 1911.09070, section 3.3), where v are the learned numbers:
//   fast_normalized  w_i = max(v_i, 0) / (sum_j max(v_j, 0) + 1e-4)
//   softmax          w_i = e^v_i / sum_j e^v_j
//   sum              w_i = 1
enum class Fusion { fast_normalized, softmax, sum };
inline constexpr double fusion_epsilon = 1e-4;

// How one input of a BiFPN node is brought to the node's size (EfficientDet, arXiv 1911.09070, section 3.3):
// unchanged, by max pooling from a finer level, or by nearest-neighbour upsampling from a coarser one.
enum class Resample { same, pool, upsample };

// The sizes on both sides of one input's resampling.
struct ResampleDims {
  Resample kind = Resample::same;
  int64_t in_height = 0, in_width = 0, out_height = 0, out_width = 0, channels = 0;
  Padding padding = Padding::same;  // of pooling

  // A level is pooled with kernel = stride + 1, stride = the ratio of the sizes rounded up to a power of two:
  // 2 between neighbours. Over more levels the ratio itself is not enough, because each level has half the
  // size of the one before, rounded up: 9 to 3 pixels are two levels, and only stride 4 fits them in either
  // padding. An axis that keeps its size is not pooled with symmetric padding, which would make it longer.
  Window vertical() const { return window(in_height, out_height); }
  Window horizontal() const { return window(in_width, out_width); }
  PoolAxis vertical_axis() const { return pool_axis(vertical(), in_height, out_height); }
  PoolAxis horizontal_axis() const { return pool_axis(horizontal(), in_width, out_width); }

  // Nearest upsampling copies input row floor(i * in / out) to output row i; input row j fills the rows
  // [first(j), first(j + 1)).
  FOVEA_HOST_DEVICE static int64_t source(int64_t i, int64_t in, int64_t out) { return i * in / out; }
  FOVEA_HOST_DEVICE static int64_t first(int64_t j, int64_t in, int64_t out) {
    return (j * out + in - 1) / in;
  }

 private:
  Window window(int64_t in, int64_t out) const {
    const int stride = int(std::bit_ceil(uint64_t((in - 1) / out + 1)));
    return {padding == Padding::symmetric && stride == 1 ? 1 : stride + 1, stride, padding};
  }
};

// One input of a node. The node's size, out_height x out_width x channels, is the same for all of them.
template <class T>
struct NodeInput {
  const T* x;  // (batch, in_height, in_width, channels)
  T* dx;       // for the backward pass: its gradient, of the same shape; null if not needed
  bool adds;   // whether to add to dx instead of overwriting it
  ResampleDims dims;
};

namespace cuda {

inline constexpr int max_node_inputs = 6;  // one from each level of D7x, if all are connected

// y = F(z), z = sum_i w_i resample(x_i), y (batch, out_height, out_width, channels); v has one number for
// each of the one to max_node_inputs inputs, and may be null for Fusion::sum. F: one of FOVEA_ACTIVATIONS; T:
// float, double, bfloat16.
template <class F, class T>
void bifpn_node(const std::vector<NodeInput<T>>& inputs, const Accumulator<T>* v, Fusion fusion, T* y,
                int64_t batch);

// Writes or adds to each input's dx that is not null, and writes dv unless it is null. g is scratch space of
// y's size: dy F'(z).
template <class F, class T>
void bifpn_node_backward(const std::vector<NodeInput<T>>& inputs, const Accumulator<T>* v, Fusion fusion,
                         const T* dy, T* g, Accumulator<T>* dv, int64_t batch);

}  // namespace cuda
}  // namespace fovea
