// Ladder: a BiFPN node with three inputs, fast normalised fusion and swish, in float.
#include <cmath>

#include "cuda/device/grid.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/bifpn_node.h"
#include "cuda/runtime/launch.h"
#include "examples/ladders/ladder.h"

using namespace fovea;

namespace {

// The node's size. The finer level has twice as many rows and columns, the coarser one half as many.
constexpr int height = 8, width = 8, channels = 64, outputs = height * width * channels;

// The largest number of a window of 3 x 3, with stride 2.
__device__ inline float largest(const float* finer, int row, int column, int channel) {
  float best = -INFINITY;
  for (int i = 2 * row; i < 2 * row + 3 && i < 2 * height; ++i)
    for (int j = 2 * column; j < 2 * column + 3 && j < 2 * width; ++j)
      best = std::fmax(best, finer[(i * 2 * width + j) * channels + channel]);
  return best;
}

__global__ void max_pool(const float* finer, float* pooled) {
  for (int64_t i : grid_stride(outputs)) {
    const int channel = int(i) % channels, column = int(i) / channels % width,
              row = int(i) / channels / width;
    pooled[i] = largest(finer, row, column, channel);
  }
}

__global__ void upsample(const float* coarser, float* repeated) {
  for (int64_t i : grid_stride(outputs)) {
    const int channel = int(i) % channels, column = int(i) / channels % width,
              row = int(i) / channels / width;
    repeated[i] = coarser[(row / 2 * (width / 2) + column / 2) * channels + channel];
  }
}

// max(v_k, 0) / (sum_j max(v_j, 0) + 1e-4), arXiv 1911.09070, section 3.3
__device__ inline float weight_of(const float* v, int k) {
  const float total = std::fmax(v[0], 0.0f) + std::fmax(v[1], 0.0f) + std::fmax(v[2], 0.0f);
  return std::fmax(v[k], 0.0f) / (total + 1e-4f);
}

__global__ void weighted_sum(const float* pooled, const float* own, const float* repeated, const float* v,
                             float* z) {
  for (int64_t i : grid_stride(outputs))
    z[i] = weight_of(v, 0) * pooled[i] + weight_of(v, 1) * own[i] + weight_of(v, 2) * repeated[i];
}

__global__ void apply_swish(const float* z, float* y) {
  for (int64_t i : grid_stride(outputs)) y[i] = Swish::forward(z[i]);
}

// weighted_sum and apply_swish in one pass, which finds the repeated number itself.
__global__ void sum_and_swish(const float* pooled, const float* own, const float* coarser, const float* v,
                              float* y) {
  for (int64_t i : grid_stride(outputs)) {
    const int channel = int(i) % channels, column = int(i) / channels % width,
              row = int(i) / channels / width;
    const float repeated = coarser[(row / 2 * (width / 2) + column / 2) * channels + channel];
    y[i] =
        Swish::forward(weight_of(v, 0) * pooled[i] + weight_of(v, 1) * own[i] + weight_of(v, 2) * repeated);
  }
}

// The whole node in one pass.
__global__ void whole_node(const float* finer, const float* own, const float* coarser, const float* v,
                           float* y) {
  for (int64_t i : grid_stride(outputs)) {
    const int channel = int(i) % channels, column = int(i) / channels % width,
              row = int(i) / channels / width;
    const float pooled = largest(finer, row, column, channel);
    const float repeated = coarser[(row / 2 * (width / 2) + column / 2) * channels + channel];
    y[i] = Swish::forward(weight_of(v, 0) * pooled + weight_of(v, 1) * own[i] + weight_of(v, 2) * repeated);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const ladders::Array<float> finer("finer", ladders::numbers(4 * outputs)),
      own("own", ladders::numbers(outputs)), coarser("coarser", ladders::numbers(outputs / 4)),
      v("v", {1.0f, 2.0f, 0.5f}), y("y", outputs), z("z", outputs), pooled("pooled", outputs),
      repeated("repeated", outputs);
  const auto over_outputs = [](auto kernel, auto... arguments) {
    cuda::launch(kernel, {grid_for(outputs), block_threads}, arguments...);
  };
  const std::string here = "examples/ladders/bifpn_node.cu", largest_code = "inline float largest(",
                    weight_code = "inline float weight_of(";
  return ladders::run(
      {.title = "A BiFPN node",
       .inputs = {{"finer", finer.data()}, {"own", own.data()}, {"v", v.data()}},
       .least_bytes = double(finer.bytes() + own.bytes() + coarser.bytes() + v.bytes() + y.bytes()),
       .clear = [&] { cuda::fill_bytes(y.data(), 0xFF, y.bytes()); },
       .result = [&] { return y.values(); },
       .rungs =
           {{"1 op by op",
             {{here,
               {largest_code, "void max_pool(", "void upsample(", weight_code, "void weighted_sum(",
                "void apply_swish("}}},
             [&] {
               over_outputs(max_pool, finer.data(), pooled.data());
               over_outputs(upsample, coarser.data(), repeated.data());
               over_outputs(weighted_sum, pooled.data(), own.data(), repeated.data(), v.data(), z.data());
               over_outputs(apply_swish, z.data(), y.data());
             }},
            {"2 all but the pool in one",
             {{here, {largest_code, "void max_pool(", weight_code, "void sum_and_swish("}}},
             [&] {
               over_outputs(max_pool, finer.data(), pooled.data());
               over_outputs(sum_and_swish, pooled.data(), own.data(), coarser.data(), v.data(), y.data());
             }},
            {"3 one launch",
             {{here, {largest_code, weight_code, "void whole_node("}}},
             [&] { over_outputs(whole_node, finer.data(), own.data(), coarser.data(), v.data(), y.data()); }},
            {"4 the kernel in use",
             {{"cuda/kernels/bifpn_node.cu",
               {"R fusion_weight(const V* v", "void share_weights(", "struct Inputs", "node_forward(Node"}},
              {"cuda/device/pooling.h",
               {"struct ImagePlace", "struct ImageGrid", "int64_t offset(int64_t n",
                "void largest_in_window("}}},
             [&] {
               const auto input = [](const ladders::Array<float>& from, Resample kind, int64_t in) {
                 return NodeInput<float>{
                     from.data(), nullptr, false, {kind, in, in, height, width, channels}};
               };
               cuda::bifpn_node<Swish, float>(
                   {input(finer, Resample::pool, 2 * height), input(own, Resample::same, height),
                    input(coarser, Resample::upsample, height / 2)},
                   v.data(), Fusion::fast_normalized, y.data(), 1);
             }}}},
      argc, argv);
}
