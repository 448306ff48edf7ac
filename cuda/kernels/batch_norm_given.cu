// The statistics that the preceding convolution gathered become a batch norm's coefficients: a small launch
// after each convolution. It takes as long as two loads, one after the other, and the additions.
#include "cuda/device/reduce.h"
#include "cuda/kernels/norm_channels.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {
namespace {

// A block has all chunks of four packs of channels. These are neighbouring lanes.
constexpr int packs = 4, lines = 128, threads = packs * lines, lanes = 32, warps = threads / lanes;
constexpr int at_once = 2;  // chunks that a thread loads before it uses the first

template <int N>
__global__ void __launch_bounds__(threads)
    merge_chunks(BatchNormChunks<float> given, BatchNormParameters<float> of, float epsilon, float momentum,
                 BatchNormCoefficients<float> norm, unsigned channels, int64_t rows) {
  __shared__ float of_warps[2 * N * packs][warps + 1], pivots[N * packs];
  const unsigned thread = threadIdx.x, chunks = unsigned(given.count), pack = thread % packs,
                 column = (blockIdx.x * packs + pack) * N;
  const float* const from = given.statistics + (column < channels ? column : 0);
  const Pack<float, N> pivot = load_pack<N>(from);
  // In the end, the first threads have a channel each.
  const unsigned first_channel = blockIdx.x * packs * N, channel = first_channel + thread;
  const bool finishes = thread < packs * N && channel < channels;
  const NormChannel<float> parameters(of, finishes ? channel : first_channel);
  float sums[2 * N] = {};
  NO_UNROLL for (unsigned first = thread / packs; first < chunks; first += at_once * lines) {
    EXPECT_TRIPS(1);
    Pack<float, N> mean[at_once], squares[at_once];
    float count[at_once];
    // If there are fewer, it loads one again: that takes no branch.
    UNROLL for (unsigned i = 0; i < at_once; ++i) {
      const unsigned chunk = first + i * lines < chunks ? first + i * lines : first;
      mean[i] = load_pack<N>(from + 2 * chunk * channels);
      squares[i] = load_pack<N>(from + (2 * chunk + 1) * channels);
      count[i] = float(given.rows[chunk]);
    }
    UNROLL for (unsigned i = 0; i < at_once; ++i) {
      if (first + i * lines < chunks) add_chunk<N>(pivot, count[i], mean[i], squares[i], sums);
    }
  }
  UNROLL for (int k = 0; k < 2 * N; ++k) {
    UNROLL for (int step = packs; step < lanes; step *= 2) {
      sums[k] += __shfl_xor_sync(all_lanes, sums[k], step);
    }
  }
  if (thread % lanes < packs) {
    UNROLL for (int k = 0; k < 2 * N; ++k) { of_warps[pack * 2 * N + k][thread / lanes] = sums[k]; }
  }
  if (thread < packs) {
    UNROLL for (int k = 0; k < N; ++k) { pivots[pack * N + k] = pivot.value[k]; }
  }
  __syncthreads();
  if (!finishes) return;
  const unsigned place = thread / N * 2 * N + thread % N;
  float totals[2] = {};
  UNROLL for (int i = 0; i < warps; ++i) {
    totals[0] += of_warps[place][i];
    totals[1] += of_warps[place + N][i];
  }
  from_pivot(pivots[thread], float(rows), totals);
  parameters.write(totals, rows, epsilon, momentum, norm, channel);
}

}  // namespace

void merge_given(const BatchNormChunks<float>& given, const BatchNormTable<float>& norms,
                 const BatchNormCoefficients<float>& norm, const BatchNormDims& d) {
  const auto run = [&]<int N>() {
    const int64_t blocks = (d.channels + packs * N - 1) / (packs * N);
    const auto config = LaunchConfig({unsigned(blocks)}, {threads})
                            .moves(2 * given.count * d.channels * int64_t(sizeof(float)));
    launch(merge_chunks<N>, config, given, norms.of[0], norms.epsilon, norms.momentum, norm,
           unsigned(d.channels), d.rows(0));
  };
  d.channels % 4 == 0 ? run.template operator()<4>() : run.template operator()<1>();
}

}  // namespace fovea::cuda
