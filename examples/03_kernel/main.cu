// Lesson 3: a first CUDA kernel, run and stepped through without a GPU.
#include <cstdio>
#include <vector>

#include "cuda/device/grid.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/kernel_score.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

using namespace fovea;

namespace {

// y += a x for n elements. Of t threads in the grid, each takes the elements i, i + t, i + 2 t, ...
__global__ void axpy(float a, const float* x, float* y, int64_t n) {
  for (int64_t i : grid_stride(n)) y[i] += a * x[i];
}

// The sum of each block's 64 numbers, in shared memory: each pass adds the upper half to the lower.
__global__ void block_sums(const float* x, float* sums) {
  __shared__ float values[64];
  values[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  for (unsigned half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = values[0];
}

// The same without the first barrier: thread 0 may add a number that thread 32 has not yet written.
__global__ void block_sums_without_barrier(const float* x, float* sums) {
  __shared__ float values[64];
  values[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  for (unsigned half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = values[0];
}

}  // namespace

int main() {
  constexpr int64_t n = 256;
  std::vector<float> x(n), y(n, 1.0f);
  for (int64_t i = 0; i < n; ++i) x[size_t(i)] = float(i);

  // The host cannot access device memory, so numbers are copied there and back.
  const cuda::Workspace<float> device_x(n), device_y(n), sums(n / 64);
  cuda::copy_to_device(device_x.data(), x.data(), n * 4);
  cuda::copy_to_device(device_y.data(), y.data(), n * 4);

  // The simulator counts what these launches ask of a GPU's memory.
  cuda::name_buffer(device_x.data(), "x");
  cuda::name_buffer(device_y.data(), "y");
  cuda::name_buffer(sums.data(), "sums");
  const cuda::ScoreKernels scoring;
  cuda::launch(axpy, {2, 32}, 0.5f, device_x.data(), device_y.data(), n);  // 64 threads, four elements each
  cuda::copy_to_host(y.data(), device_y.data(), n * 4);
  std::printf("y[10] = 1 + 0.5 * 10 = %g\n", double(y[10]));

  cuda::launch(block_sums, {n / 64, 64}, device_x.data(), sums.data());
  std::vector<float> totals(n / 64);
  cuda::copy_to_host(totals.data(), sums.data(), n / 64 * 4);
  std::printf("sums of 64: %g %g %g %g\n", double(totals[0]), double(totals[1]), double(totals[2]),
              double(totals[3]));

  for (const cuda::KernelScore& score : scoring.scores()) std::puts(cuda::describe(score).c_str());

  // Mistakes that a GPU may let pass are errors in the simulator, with kernel, block, thread and line.
  try {
    cuda::launch(axpy, {2, 32}, 0.5f, device_x.data(), device_y.data(), n + 1);
  } catch (const CudaError& error) {
    std::printf("one element too many: %.46s...\n", error.what());
  }
  try {
    cuda::launch(block_sums_without_barrier, {1, 64}, device_x.data(), sums.data());
  } catch (const CudaError& error) {
    std::printf("a barrier forgotten:  %.46s...\n", error.what());
  }
}
