// A BiFPN node in one kernel: y = F(z), z = sum_k w_k resample(x_k) (bifpn_node.h). A thread has N channels
// of one output pixel, for all inputs. N = 1 is the naive kernel, one thread per output, for any number of
// channels; N = 16 bytes is the fast one, for multiples. The w_k follow from numbers on the device, and each
// block computes them itself.
//
// Bytes moved, with n = bytes of y: an input of the node's own size has n, one of the finer level about 4 n,
// one of the coarser level n / 4. Pooling windows overlap, but repeated reads of a pixel hit a cache.
//
// Forward reads every x and writes y: 2.25 n for (same, upsample), 7 n for (same, same, pool). Resampling,
// weighing and swish as separate ops would move 6.25 n and 11 n.
//
// Backward, 5.5 n and (in bfloat16) 16 n, by separate ops 9.25 n and 19 n:
// 1. node_gradient reads dy and every x, because z is not kept, and writes g = dy F'(z), the dx of inputs
//    of the node's size, and for pooled ones a byte per output: where in its window the maximum is.
// 2. A pooled input's dx is computed from g and those bytes. This needs neither x again nor all pixels
//    of the 1 to 4 windows that a pixel is in.
// 3. An upsampled input's dx is computed from g.
// The gradients of the weights, dw_k = sum g resample(x_k), would cost another pass over g and every x.
// Instead node_gradient adds them up while it has both, as one partial sum per block, and the last block to
// finish adds those in the order of blocks. If an input of the node already has a gradient from elsewhere,
// its dx is added to it, which costs one more read.
#include "cuda/kernels/bifpn_node.h"

#include <algorithm>
#include <string>

#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
#include "cuda/device/pooling.h"
#include "cuda/device/reduce.h"
#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/activation.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

template <class T>
struct Input {
  const T* x;
  T* dx;
  bool adds;       // whether to add to dx
  uint8_t* first;  // for each output, which pixel of its window was the first maximum; or null
  Resample kind;
  PoolAxis vertical, horizontal;
  Divisor by_height, by_width;  // divide by the output's height and width
};
constexpr int usual_inputs = 3, without_pool = 2;  // in a BiFPN only pooling nodes have three inputs
constexpr int no_maximum = 255;  // what -1, for a window with a NaN, becomes: its gradient goes nowhere

template <class T>
struct Node {
  Input<T> input[max_node_inputs];
  int count;
  int channels;
  ImageGrid grid;  // the output's packs, each of which has a thread
  const Accumulator<T>* v;
  Fusion fusion;
};

// w_k, in the precision R. All v are loaded at once.
template <class R, class V>
__device__ R fusion_weight(const V* v, Fusion fusion, int count, int k) {
  if (fusion == Fusion::sum) {
    EXPECT_SKIPPED(0);
    return R(1);
  }
  V value[max_node_inputs];
  UNROLL for (int j = 0; j < max_node_inputs; ++j) { value[j] = v[j < count ? j : 0]; }
  const R own = R(v[k]);
  if (fusion == Fusion::softmax) {
    EXPECT_SKIPPED(1);
    R largest = R(value[0]), total = 0;
    UNROLL for (int j = 1; j < max_node_inputs; ++j) {
      largest = R(value[j]) > largest ? R(value[j]) : largest;
    }
    UNROLL for (int j = 0; j < max_node_inputs; ++j) {
      if (j < count) total += exponential(R(value[j]) - largest);
    }
    return exponential(own - largest) / total;
  }
  R total = R(fusion_epsilon);
  UNROLL for (int j = 0; j < max_node_inputs; ++j) {
    if (j < count) total += value[j] < V(0) ? R(0) : R(value[j]);
  }
  return (own < R(0) ? R(0) : own) / total;
}

// Computes all w_k into shared memory. All threads of the block must call it.
template <class T>
__device__ void share_weights(const Node<T>& node, Accumulator<T>* w) {
  const int k = int(threadIdx.x);
  if (k < node.count) w[k] = fusion_weight<Accumulator<T>>(node.v, node.fusion, node.count, k);
  __syncthreads();
}

// All inputs of an output pixel at the node's size, N channels each. They are numbers of T, maxima included,
// so nothing is rounded. Their loads do not wait for one another, except for the windows of pooled inputs:
// what is not needed is replaced by the first pack of an input, since a branch would separate the loads.
template <int N, int Most, bool POOLS, class T>
struct Inputs {
  Pack<T, N> x[Most];

  __device__ Inputs(const Node<T>& node, const ImagePlace& out) {
    UNROLL for (int k = 0; k < Most; ++k) {
      const Input<T>& in = node.input[k];
      const bool same = in.kind == Resample::same,
                 wanted = k < node.count && !(POOLS && in.kind == Resample::pool);
      // ResampleDims::source()
      const int row = same ? out.y : int(in.by_height.quotient(unsigned(out.y * in.vertical.in))),
                column = same ? out.x : int(in.by_width.quotient(unsigned(out.x * in.horizontal.in)));
      const int64_t place =
          offset(out.n, row, column, in.vertical.in, in.horizontal.in, node.channels) + out.c;
      x[k] = load_pack<N>(wanted ? in.x + place : node.input[0].x);
    }
  }
  // Computes the pooled inputs of output i; a node usually has at most one. WRITES: it also writes where the
  // maxima are, if the node wants to know. The search is compiled once, and x is still indexed by constants
  // only.
  template <bool WRITES>
  __device__ void pool(const Node<T>& node, const ImagePlace& out, int64_t i) {
    NO_UNROLL for (int pooled = 0; pooled < node.count; ++pooled) {
      EXPECT_TRIPS(1);
      const Input<T>& in = node.input[pooled];
      if (in.kind != Resample::pool) continue;
      int first[N];
      Accumulator<T> best[N];
      largest_in_window<N>(in.x, in.vertical, in.horizontal, node.channels, out, best, first);
      UNROLL for (int k = 0; k < Most; ++k) {
        UNROLL for (int c = 0; c < N; ++c) {
          if (k == pooled) x[k].value[c] = T(best[c]);
        }
      }
      if constexpr (WRITES) {
        if (in.first == nullptr) continue;
        Pack<uint8_t, N> bytes;
        UNROLL for (int c = 0; c < N; ++c) { bytes.value[c] = uint8_t(first[c]); }
        store_pack(in.first + i * N, bytes);
      }
    }
  }
  // z = sum w_k x_k
  __device__ void add_up(const Node<T>& node, const Accumulator<T>* w, Accumulator<T> (&z)[N]) const {
    UNROLL for (int k = 0; k < Most; ++k) {
      if (k >= node.count) break;
      UNROLL for (int c = 0; c < N; ++c) { z[c] += w[k] * Accumulator<T>(x[k].value[c]); }
    }
  }
};

// Writes N numbers of an input's dx, from i on: weight * sum, added to the old dx or to zeros.
template <int N, class T>
__device__ void write_gradient(const Input<T>& in, int64_t i, Accumulator<T> weight,
                               const Accumulator<T>* sum, Pack<T, N> dx) {
  for (int c = 0; c < N; ++c) dx.value[c] = T(Accumulator<T>(dx.value[c]) + weight * sum[c]);
  store_pack(in.dx + i, dx);
}

// N numbers of an input's old dx, or zeros if nothing is added to it: then it loads from `other`, since a
// branch would separate the loads.
template <int N, class T>
__device__ Pack<T, N> gradient_before(const Input<T>& in, int64_t i, bool adds, const T* other) {
  Pack<T, N> dx = load_pack<N>(adds ? in.dx + i : other);
  UNROLL for (int c = 0; c < N; ++c) { dx.value[c] = adds ? dx.value[c] : T(0); }
  return dx;
}

// Blocks that a multiprocessor should hold: more would leave a thread too few registers. One of compute
// capability 7.5 has at most 1024 threads, and nvcc refuses a bound beyond that.
template <int Most, bool POOLS>
inline constexpr int forward_blocks = Most > 3 ? 2
                                      : POOLS  ? 3
                                               : 6;
template <int Most, bool POOLS>
inline constexpr int forward_bound = std::min(forward_blocks<Most, POOLS>, 1024 / block_threads);
template <int Most, bool POOLS>
inline constexpr int gradient_blocks = Most > 3 || POOLS ? 2 : 3;

// Loops over the inputs run to a constant, the node's number of inputs, so that what they index stays in
// registers. POOLS: an input may be pooled.
template <class F, int N, int Most, bool POOLS, class T>
__global__ void __launch_bounds__(block_threads, forward_bound<Most, POOLS>)
    node_forward(Node<T> node, T* y) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  for (int64_t i : grid_stride(node.grid.packs)) {
    const ImagePlace out = node.grid.place(i);
    Inputs<N, Most, POOLS, T> inputs(node, out);
    if constexpr (POOLS) inputs.template pool<false>(node, out, i);
    Accumulator<T> z[N] = {};
    inputs.add_up(node, w, z);
    UNROLL for (int c = 0; c < N; ++c) { z[c] = F::template forward<T>(z[c]); }
    store_rounded<N>(y + i * N, z);
  }
}

// One block computes dv from the partial sums of dw: with s = sum_j w_j dw_j,
//   fast_normalized  dv_k = (dw_k - s) / total where v_k > 0, else 0; total = sum_j max(v_j, 0) + epsilon
//   softmax          dv_k = w_k (dw_k - s)
// dw_k and s nearly cancel if one weight dominates, so the difference is taken term by term: the w_j add up
// to 1 - epsilon / total, or to 1, hence dw_k - s = sum_j w_j (dw_k - dw_j) + dw_k epsilon / total.
template <int Most, class T, class R>
__device__ void fusion_gradient(const Node<T>& node, const R* partial, const R* w, R* dv) {
  __shared__ R dw[max_node_inputs];  // an array private to the first thread would be in local memory
  const int blocks = int(gridDim.x), thread = int(threadIdx.x);
  R v[Most] = {}, sum[Most] = {};
  UNROLL for (int k = 0; k < Most; ++k) {
    if (k < node.count) v[k] = node.v[k];
  }
  NO_UNROLL for (int b = thread; b < blocks; b += int(blockDim.x)) {
    EXPECT_TRIPS(2);
    UNROLL for (int k = 0; k < Most; ++k) {
      if (k < node.count) sum[k] += partial[k * blocks + b];
    }
  }
  block_sums(sum);
  if (thread == 0) {
    UNROLL for (int k = 0; k < Most; ++k) { dw[k] = sum[k]; }
  }
  __syncthreads();
  R total = R(fusion_epsilon), own = 0;
  UNROLL for (int k = 0; k < Most; ++k) {
    total += v[k] > R(0) ? v[k] : R(0);
    if (k == thread) own = v[k];
  }
  if (thread >= node.count) return;
  const R missing = node.fusion == Fusion::softmax ? R(0) : R(fusion_epsilon) / total;
  R change = dw[thread] * missing;
  UNROLL for (int j = 0; j < Most; ++j) {
    if (j < node.count) change += w[j] * (dw[thread] - dw[j]);
  }
  if (node.fusion == Fusion::softmax)
    dv[thread] = w[thread] * change;
  else
    dv[thread] = own > R(0) ? change / total : R(0);
}

// Computes g = dy F'(z), unless null; dx of the inputs that have the node's size; the first maxima of pooled
// inputs; and, unless null, dv, from each block's share of dw_k = sum g resample(x_k) in partial[k][block].
template <class F, int N, int Most, bool POOLS, class T>
__global__ void __launch_bounds__(block_threads, gradient_blocks<Most, POOLS>)
    node_gradient(Node<T> node, const T* dy, T* g, Accumulator<T>* partial, Accumulator<T>* dv,
                  unsigned* ticket) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  Accumulator<T> dot[Most] = {};
  for (int64_t i : grid_stride(node.grid.packs)) {
    const ImagePlace out = node.grid.place(i);
    const Pack<T, N> above = load_pack<N>(dy + i * N);
    Inputs<N, Most, POOLS, T> inputs(node, out);
    // The old dx is loaded before anything is stored, so that it waits for nothing, if there are registers.
    constexpr bool early = Most <= usual_inputs;
    Pack<T, N> before[Most] = {};
    UNROLL for (int k = 0; k < Most; ++k) {
      const bool adds = node.input[k].adds && node.input[k].kind == Resample::same;
      if (early) before[k] = gradient_before<N>(node.input[k], i * N, adds, dy);
    }
    if constexpr (POOLS) inputs.template pool<true>(node, out, i);
    Accumulator<T> z[N] = {}, gradient[N];
    inputs.add_up(node, w, z);
    UNROLL for (int c = 0; c < N; ++c) {
      gradient[c] = Accumulator<T>(above.value[c]) * F::template derivative<T>(z[c]);
    }
    UNROLL for (int k = 0; k < Most; ++k) {
      if (k >= node.count) break;
      UNROLL for (int c = 0; c < N; ++c) { dot[k] += gradient[c] * Accumulator<T>(inputs.x[k].value[c]); }
      if (node.input[k].kind != Resample::same || node.input[k].dx == nullptr) continue;
      if (!early) before[k] = gradient_before<N>(node.input[k], i * N, node.input[k].adds, dy);
      write_gradient<N>(node.input[k], i * N, w[k], gradient, before[k]);
    }
    if (g == nullptr) continue;
    store_rounded<N>(g + i * N, gradient);
  }
  if (dv == nullptr) return;
  block_sums(dot);
  if (threadIdx.x == 0) {
    UNROLL for (int k = 0; k < Most; ++k) {
      if (k < node.count) partial[k * gridDim.x + blockIdx.x] = dot[k];
    }
  }
  if (is_last_block(ticket, gridDim.x)) fusion_gradient<Most>(node, partial, w, dv);
}

// dx of upsampled input `which`: a pixel sums the gradients of its copies.
template <int N, class T>
__global__ void upsample_backward(Node<T> node, int which, const T* g, ImageGrid grid) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  const Input<T>& in = node.input[which];
  const PoolAxis &v = in.vertical, &h = in.horizontal;
  for (int64_t i : grid_stride(grid.packs)) {
    const ImagePlace at = grid.place(i);
    const int bottom = int(ResampleDims::first(at.y + 1, v.in, v.out));
    const int left = int(ResampleDims::first(at.x, h.in, h.out)),
              right = int(ResampleDims::first(at.x + 1, h.in, h.out));
    Accumulator<T> sum[N] = {};
    for (int y = int(ResampleDims::first(at.y, v.in, v.out)); y < bottom; ++y)
      for (int x = left; x < right; ++x) {
        const Pack<T, N> copy = load_pack<N>(g + offset(at.n, y, x, v.out, h.out, node.channels) + at.c);
        for (int c = 0; c < N; ++c) sum[c] += Accumulator<T>(copy.value[c]);
      }
    write_gradient<N>(in, i * N, w[which], sum, gradient_before<N>(in, i * N, in.adds, g));
  }
}

// dx of pooled input `which`: a pixel sums over the windows whose first maximum it is. The naive kernel
// searches each window's maximum again.
template <class T>
__global__ void pool_backward_naive(Node<T> node, int which, const T* g, ImageGrid grid) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  const Input<T>& in = node.input[which];
  const PoolAxis &v = in.vertical, &h = in.horizontal;
  for (int64_t i : grid_stride(grid.packs)) {
    const ImagePlace at = grid.place(i);
    Accumulator<T> sum = 0;
    for (int y = v.first_window(at.y); y < v.end_window(at.y); ++y)
      for (int x = h.first_window(at.x); x < h.end_window(at.x); ++x) {
        Accumulator<T> best;
        int first;
        largest_in_window<1>(in.x, v, h, node.channels, {at.n, y, x, at.c}, &best, &first);
        if (first == (at.y - v.start(y)) * h.kernel + at.x - h.start(x))
          sum += Accumulator<T>(g[offset(at.n, y, x, v.out, h.out, node.channels) + at.c]);
      }
    write_gradient<1>(in, i, w[which], &sum, gradient_before<1>(in, i, in.adds, g));
  }
}

// The fast one reads what node_gradient has found.
template <int N, class T>
__global__ void pool_backward_packed(Node<T> node, int which, const T* g, ImageGrid grid) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  const Input<T>& in = node.input[which];
  const PoolAxis &v = in.vertical, &h = in.horizontal;
  for (int64_t i : grid_stride(grid.packs)) {
    const ImagePlace at = grid.place(i);
    Accumulator<T> sum[N] = {};
    for (int y = v.first_window(at.y); y < v.end_window(at.y); ++y)
      for (int x = h.first_window(at.x); x < h.end_window(at.x); ++x) {
        const int64_t window = offset(at.n, y, x, v.out, h.out, node.channels) + at.c;
        const Pack<uint8_t, N> first = load_pack<N>(in.first + window);
        const Pack<T, N> gradient = load_pack<N>(g + window);
        const int number = (at.y - v.start(y)) * h.kernel + at.x - h.start(x);
        for (int c = 0; c < N; ++c)
          sum[c] += first.value[c] == number ? Accumulator<T>(gradient.value[c]) : Accumulator<T>(0);
      }
    write_gradient<N>(in, i * N, w[which], sum, gradient_before<N>(in, i * N, in.adds, g));
  }
}

template <class T>
bool pools(const Node<T>& node) {
  return std::any_of(node.input, node.input + node.count,
                     [](const Input<T>& in) { return in.kind == Resample::pool; });
}

// Calls f.operator()<Most, POOLS>() with those of the kernels for the node.
template <class T, class F>
void with_inputs(const Node<T>& node, F&& f) {
  const bool pooling = pools(node);
  if (node.count > (pooling ? usual_inputs : without_pool))
    return f.template operator()<max_node_inputs, true>();
  pooling ? f.template operator()<usual_inputs, true>() : f.template operator()<without_pool, false>();
}

// For threads with `pack` channels each. Throws CudaError if a level is larger than the kernels can divide.
template <class T>
Node<T> node_of(const std::vector<NodeInput<T>>& inputs, const Accumulator<T>* v, Fusion fusion,
                int64_t batch, int pack) {
  const ResampleDims& size = inputs[0].dims;
  constexpr int64_t most = 46340;  // whose square is below 2^31
  if (std::max(size.out_height, size.out_width) > most)
    throw CudaError("BiFPN node: its level has " + std::to_string(size.out_height) + " x " +
                    std::to_string(size.out_width) + " pixels; the kernels support up to " +
                    std::to_string(most) + " along each side");
  Node<T> node{};
  node.count = int(inputs.size());
  node.channels = int(size.channels);
  node.grid = {batch, int(size.out_height), int(size.out_width), node.channels, pack};
  node.v = v;
  node.fusion = fusion;
  for (size_t k = 0; k < inputs.size(); ++k) {
    const auto& [x, dx, adds, d] = inputs[k];
    node.input[k] = {x,
                     dx,
                     adds,
                     nullptr,
                     d.kind,
                     d.vertical_axis(),
                     d.horizontal_axis(),
                     Divisor(std::max(1, int(size.out_height))),
                     Divisor(std::max(1, int(size.out_width)))};
  }
  return node;
}

// As many blocks as the 132 multiprocessors of an H200 hold, the same on every GPU: their number is part of
// the order of sums. One writes dv, even without outputs.
template <class T>
LaunchConfig config_of(const Node<T>& node, int blocks_held) {
  const int64_t needed = (node.grid.packs + block_threads - 1) / block_threads;
  const int64_t blocks = std::clamp<int64_t>(needed, 1, 132 * blocks_held);
  LaunchConfig config(dim3(unsigned(blocks)), block_threads);
  config.steps = (needed + blocks - 1) / blocks;
  return config;
}

template <class F, int N, class T>
void backward(Node<T>& node, const T* dy, T* g, Accumulator<T>* dv, int64_t batch) {
  const int64_t outputs = node.grid.packs * N;
  bool g_wanted = false;
  int64_t maxima = 0;
  for (Input<T>& in : node.input) {
    if (in.kind == Resample::same || in.dx == nullptr) continue;
    g_wanted = true;
    if (in.kind == Resample::pool) maxima += outputs;
  }
  Workspace<uint8_t> first(maxima);
  uint8_t* free = first.data();
  for (Input<T>& in : node.input) {
    if (N == 1 || in.kind != Resample::pool || in.dx == nullptr) continue;
    if (in.vertical.kernel * in.horizontal.kernel > no_maximum)
      continue;  // their numbers would not fit into a byte
    in.first = free;
    free += outputs;
  }
  const auto bytes_of = [&](const Input<T>& in) {
    return batch * in.vertical.in * in.horizontal.in * node.channels * int64_t(sizeof(T));
  };
  int64_t moved = outputs * int64_t(sizeof(T)) * (g_wanted ? 2 : 1) + maxima;
  for (int k = 0; k < node.count; ++k)
    moved += bytes_of(node.input[k]) *
             (node.input[k].kind == Resample::same && node.input[k].dx ? 2 + node.input[k].adds : 1);
  with_inputs(node, [&]<int MOST, bool POOLS>() {
    const LaunchConfig config = config_of(node, gradient_blocks<MOST, POOLS>).moves(moved);
    const Workspace<Accumulator<T>> partial(int64_t(config.grid.x) * node.count);
    launch(node_gradient<F, N, MOST, POOLS, T>, config, node, dy, g_wanted ? g : nullptr, partial.data(), dv,
           current_stream().tickets(1));
  });
  for (int k = 0; k < node.count; ++k) {
    const Input<T>& in = node.input[k];
    if (in.kind == Resample::same || in.dx == nullptr) continue;
    const int pack = in.kind == Resample::upsample || in.first ? N : 1;
    const ImageGrid grid(batch, in.vertical.in, in.horizontal.in, node.channels, pack);
    const int64_t g_and_dx = outputs * int64_t(sizeof(T)) + bytes_of(in) * (in.adds ? 2 : 1);
    const LaunchConfig config = LaunchConfig(grid_for(grid.packs), block_threads);
    if (in.kind == Resample::upsample)
      launch(upsample_backward<N, T>, config.moves(g_and_dx), node, k, g, grid);
    else if (in.first)
      launch(pool_backward_packed<pack_size<T>, T>, config.moves(g_and_dx + outputs), node, k, g, grid);
    else
      launch(pool_backward_naive<T>, config.moves(g_and_dx + bytes_of(in)), node, k, g, grid);
  }
}

}  // namespace

template <class F, class T>
void bifpn_node(const std::vector<NodeInput<T>>& inputs, const Accumulator<T>* v, Fusion fusion, T* y,
                int64_t batch) {
  const auto run = [&]<int N>() {
    const Node<T> node = node_of(inputs, v, fusion, batch, N);
    with_inputs(node, [&]<int MOST, bool POOLS>() {
      launch(node_forward<F, N, MOST, POOLS, T>, config_of(node, forward_blocks<MOST, POOLS>), node, y);
    });
  };
  packs_fit<T>(inputs[0].dims.channels) ? run.template operator()<pack_size<T>>()
                                        : run.template operator()<1>();
}

template <class F, class T>
void bifpn_node_backward(const std::vector<NodeInput<T>>& inputs, const Accumulator<T>* v, Fusion fusion,
                         const T* dy, T* g, Accumulator<T>* dv, int64_t batch) {
  const auto run = [&]<int N>() {
    Node<T> node = node_of(inputs, v, fusion, batch, N);
    backward<F, N>(node, dy, g, dv, batch);
  };
  packs_fit<T>(inputs[0].dims.channels) ? run.template operator()<pack_size<T>>()
                                        : run.template operator()<1>();
}

#define INSTANTIATE(F, T)                                                                                  \
  template void bifpn_node<F, T>(const std::vector<NodeInput<T>>&, const Accumulator<T>*, Fusion, T*,      \
                                 int64_t);                                                                 \
  template void bifpn_node_backward<F, T>(const std::vector<NodeInput<T>>&, const Accumulator<T>*, Fusion, \
                                          const T*, T*, Accumulator<T>*, int64_t);
#define FOR_EACH_DTYPE(name, F) INSTANTIATE(F, float) INSTANTIATE(F, double) INSTANTIATE(F, bfloat16)
FOVEA_ACTIVATIONS(FOR_EACH_DTYPE)

}  // namespace fovea::cuda
