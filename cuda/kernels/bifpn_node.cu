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

#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
#include "cuda/device/pooling.h"
#include "cuda/device/reduce.h"
#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/activation.h"
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
};
constexpr int usual_inputs = 3, without_pool = 2;  // in a BiFPN only pooling nodes have three inputs
constexpr int no_maximum = 255;  // what -1, for a window with a NaN, becomes: its gradient goes nowhere

template <class T>
struct Node {
  Input<T> input[max_node_inputs];
  int count;
  int height, width, channels;
  const Accumulator<T>* v;
  Fusion fusion;
};

// w_k, in the precision R. All v are loaded at once.
template <class R, class V>
__device__ R fusion_weight(const V* v, Fusion fusion, int count, int k) {
  if (fusion == Fusion::sum) return R(1);
  V value[max_node_inputs];
  UNROLL for (int j = 0; j < max_node_inputs; ++j) { value[j] = v[j < count ? j : 0]; }
  const R own = R(v[k]);
  if (fusion == Fusion::softmax) {
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
// so nothing is rounded. Their loads do not wait for one another, except for the windows of pooled inputs.
template <int N, int Most, class T>
struct Inputs {
  Pack<T, N> x[Most];

  __device__ Inputs(const Node<T>& node, const ImagePlace& out) {
    UNROLL for (int k = 0; k < Most; ++k) {
      const Input<T>& in = node.input[k];
      if (k >= node.count || in.kind == Resample::pool) continue;
      const bool same = in.kind == Resample::same;
      const int row = same ? out.y : int(ResampleDims::source(out.y, in.vertical.in, in.vertical.out)),
                column = same ? out.x : int(ResampleDims::source(out.x, in.horizontal.in, in.horizontal.out));
      x[k] = load_pack<N>(in.x + offset(out.n, row, column, in.vertical.in, in.horizontal.in, node.channels) +
                          out.c);
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

// Writes N numbers of an input's dx, from i on: weight * sum.
template <int N, class T>
__device__ void write_gradient(const Input<T>& in, int64_t i, Accumulator<T> weight,
                               const Accumulator<T>* sum) {
  Pack<T, N> dx{};
  if (in.adds) dx = load_pack<N>(in.dx + i);
  for (int c = 0; c < N; ++c) dx.value[c] = T(Accumulator<T>(dx.value[c]) + weight * sum[c]);
  store_pack(in.dx + i, dx);
}

// Loops over the inputs run to a constant, the node's number of inputs, so that what they index stays in
// registers. POOLS: an input may be pooled.
template <class F, int N, int Most, bool POOLS, class T>
__global__ void node_forward(Node<T> node, T* y, int64_t packs) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  for (int64_t i : grid_stride(packs)) {
    const ImagePlace out = place_of(i, node.height, node.width, node.channels / N, N);
    Inputs<N, Most, T> inputs(node, out);
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
  const int blocks = int(gridDim.x);
  R sum[Most] = {};
  for (int b = int(threadIdx.x); b < blocks; b += int(blockDim.x)) {
    EXPECT_TRIPS(4);
    UNROLL for (int k = 0; k < Most; ++k) {
      if (k < node.count) sum[k] += partial[k * blocks + b];
    }
  }
  UNROLL for (int k = 0; k < Most; ++k) {
    if (k >= node.count) break;
    const R of_all = block_sum(sum[k]);
    if (threadIdx.x == 0) dw[k] = of_all;
  }
  if (threadIdx.x > 0) return;
  R total = R(fusion_epsilon);
  for (int k = 0; k < node.count; ++k) total += node.v[k] > R(0) ? node.v[k] : R(0);
  const R missing = node.fusion == Fusion::softmax ? R(0) : R(fusion_epsilon) / total;
  for (int k = 0; k < node.count; ++k) {
    R change = dw[k] * missing;
    for (int j = 0; j < node.count; ++j) change += w[j] * (dw[k] - dw[j]);
    if (node.fusion == Fusion::softmax)
      dv[k] = w[k] * change;
    else
      dv[k] = node.v[k] > R(0) ? change / total : R(0);
  }
}

// Computes g = dy F'(z), unless null; dx of the inputs that have the node's size; the first maxima of pooled
// inputs; and, unless null, dv, from each block's share of dw_k = sum g resample(x_k) in partial[k][block].
// With three blocks per multiprocessor a thread may have 80 registers, with two 128.
template <class F, int N, int Most, bool POOLS, class T>
__global__ void __launch_bounds__(block_threads, Most > 3 || POOLS ? 2 : 3)
    node_gradient(Node<T> node, const T* dy, T* g, Accumulator<T>* partial, Accumulator<T>* dv,
                  unsigned* ticket, int64_t packs) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  Accumulator<T> dot[Most] = {};
  for (int64_t i : grid_stride(packs)) {
    const ImagePlace out = place_of(i, node.height, node.width, node.channels / N, N);
    const Pack<T, N> above = load_pack<N>(dy + i * N);
    Inputs<N, Most, T> inputs(node, out);
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
      write_gradient<N>(node.input[k], i * N, w[k], gradient);
    }
    if (g == nullptr) continue;
    store_rounded<N>(g + i * N, gradient);
  }
  if (dv == nullptr) return;
  for (int k = 0; k < Most; ++k) {
    if (k >= node.count) break;
    const Accumulator<T> sum = block_sum(dot[k]);
    if (threadIdx.x == 0) partial[k * gridDim.x + blockIdx.x] = sum;
  }
  if (is_last_block(ticket, gridDim.x)) fusion_gradient<Most>(node, partial, w, dv);
}

// dx of upsampled input `which`: a pixel sums the gradients of its copies.
template <int N, class T>
__global__ void upsample_backward(Node<T> node, int which, const T* g, int64_t packs) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  const Input<T>& in = node.input[which];
  const PoolAxis &v = in.vertical, &h = in.horizontal;
  for (int64_t i : grid_stride(packs)) {
    const ImagePlace at = place_of(i, v.in, h.in, node.channels / N, N);
    const int bottom = int(ResampleDims::first(at.y + 1, v.in, v.out));
    const int left = int(ResampleDims::first(at.x, h.in, h.out)),
              right = int(ResampleDims::first(at.x + 1, h.in, h.out));
    Accumulator<T> sum[N] = {};
    for (int y = int(ResampleDims::first(at.y, v.in, v.out)); y < bottom; ++y)
      for (int x = left; x < right; ++x) {
        const Pack<T, N> copy = load_pack<N>(g + offset(at.n, y, x, v.out, h.out, node.channels) + at.c);
        for (int c = 0; c < N; ++c) sum[c] += Accumulator<T>(copy.value[c]);
      }
    write_gradient<N>(in, i * N, w[which], sum);
  }
}

// dx of pooled input `which`: a pixel sums over the windows whose first maximum it is. The naive kernel
// searches each window's maximum again.
template <class T>
__global__ void pool_backward_naive(Node<T> node, int which, const T* g, int64_t n) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  const Input<T>& in = node.input[which];
  const PoolAxis &v = in.vertical, &h = in.horizontal;
  for (int64_t i : grid_stride(n)) {
    const ImagePlace at = place_of(i, v.in, h.in, node.channels, 1);
    Accumulator<T> sum = 0;
    for (int y = v.first_window(at.y); y < v.end_window(at.y); ++y)
      for (int x = h.first_window(at.x); x < h.end_window(at.x); ++x) {
        Accumulator<T> best;
        int first;
        largest_in_window<1>(in.x, v, h, node.channels, {at.n, y, x, at.c}, &best, &first);
        if (first == (at.y - v.start(y)) * h.kernel + at.x - h.start(x))
          sum += Accumulator<T>(g[offset(at.n, y, x, v.out, h.out, node.channels) + at.c]);
      }
    write_gradient<1>(in, i, w[which], &sum);
  }
}

// The fast one reads what node_gradient has found.
template <int N, class T>
__global__ void pool_backward_packed(Node<T> node, int which, const T* g, int64_t packs) {
  __shared__ Accumulator<T> w[max_node_inputs];
  share_weights(node, w);
  const Input<T>& in = node.input[which];
  const PoolAxis &v = in.vertical, &h = in.horizontal;
  for (int64_t i : grid_stride(packs)) {
    const ImagePlace at = place_of(i, v.in, h.in, node.channels / N, N);
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
    write_gradient<N>(in, i * N, w[which], sum);
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

template <class T>
Node<T> node_of(const std::vector<NodeInput<T>>& inputs, const Accumulator<T>* v, Fusion fusion) {
  const ResampleDims& size = inputs[0].dims;
  Node<T> node{};
  node.count = int(inputs.size());
  node.height = int(size.out_height);
  node.width = int(size.out_width);
  node.channels = int(size.channels);
  node.v = v;
  node.fusion = fusion;
  for (size_t k = 0; k < inputs.size(); ++k) {
    const auto& [x, dx, adds, d] = inputs[k];
    node.input[k] = {x, dx, adds, nullptr, d.kind, d.vertical_axis(), d.horizontal_axis()};
  }
  return node;
}

template <class F, int N, class T>
void backward(Node<T>& node, const T* dy, T* g, Accumulator<T>* dv, int64_t batch) {
  const int64_t outputs = batch * node.height * node.width * node.channels;
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
  // Enough blocks to keep a GPU busy, the same on every GPU: their number is part of the order of sums.
  const int64_t needed = (outputs / N + block_threads - 1) / block_threads;
  const int blocks = int(std::clamp<int64_t>(needed, 1, 1024));  // one writes dv, even without outputs
  Workspace<Accumulator<T>> partial(int64_t(blocks) * node.count);
  const auto bytes_of = [&](const Input<T>& in) {
    return batch * in.vertical.in * in.horizontal.in * node.channels * int64_t(sizeof(T));
  };
  int64_t moved = outputs * int64_t(sizeof(T)) * (g_wanted ? 2 : 1) + maxima;
  for (int k = 0; k < node.count; ++k)
    moved += bytes_of(node.input[k]) *
             (node.input[k].kind == Resample::same && node.input[k].dx ? 2 + node.input[k].adds : 1);
  with_inputs(node, [&]<int MOST, bool POOLS>() {
    launch(node_gradient<F, N, MOST, POOLS, T>,
           LaunchConfig(dim3(unsigned(blocks)), block_threads).moves(moved), node, dy, g_wanted ? g : nullptr,
           partial.data(), dv, current_stream().tickets(1), outputs / N);
  });
  for (int k = 0; k < node.count; ++k) {
    const Input<T>& in = node.input[k];
    if (in.kind == Resample::same || in.dx == nullptr) continue;
    const int64_t n = batch * in.vertical.in * in.horizontal.in * node.channels;
    const int64_t g_and_dx = outputs * int64_t(sizeof(T)) + bytes_of(in) * (in.adds ? 2 : 1);
    const LaunchConfig config = LaunchConfig(grid_for(n / N), block_threads);
    if (in.kind == Resample::upsample)
      launch(upsample_backward<N, T>, config.moves(g_and_dx), node, k, g, n / N);
    else if (in.first)
      launch(pool_backward_packed<pack_size<T>, T>, config.moves(g_and_dx + outputs), node, k, g, n / N);
    else
      launch(pool_backward_naive<T>, LaunchConfig(grid_for(n), block_threads).moves(g_and_dx + bytes_of(in)),
             node, k, g, n);
  }
}

}  // namespace

template <class F, class T>
void bifpn_node(const std::vector<NodeInput<T>>& inputs, const Accumulator<T>* v, Fusion fusion, T* y,
                int64_t batch) {
  const Node<T> node = node_of(inputs, v, fusion);
  const int64_t outputs = batch * node.height * node.width * node.channels;
  const auto run = [&]<int N>() {
    with_inputs(node, [&]<int MOST, bool POOLS>() {
      launch(node_forward<F, N, MOST, POOLS, T>, {grid_for(outputs / N), block_threads}, node, y,
             outputs / N);
    });
  };
  packs_fit<T>(node.channels) ? run.template operator()<pack_size<T>>() : run.template operator()<1>();
}

template <class F, class T>
void bifpn_node_backward(const std::vector<NodeInput<T>>& inputs, const Accumulator<T>* v, Fusion fusion,
                         const T* dy, T* g, Accumulator<T>* dv, int64_t batch) {
  Node<T> node = node_of(inputs, v, fusion);
  if (packs_fit<T>(node.channels))
    backward<F, pack_size<T>>(node, dy, g, dv, batch);
  else
    backward<F, 1>(node, dy, g, dv, batch);
}

#define INSTANTIATE(F, T)                                                                                  \
  template void bifpn_node<F, T>(const std::vector<NodeInput<T>>&, const Accumulator<T>*, Fusion, T*,      \
                                 int64_t);                                                                 \
  template void bifpn_node_backward<F, T>(const std::vector<NodeInput<T>>&, const Accumulator<T>*, Fusion, \
                                          const T*, T*, Accumulator<T>*, int64_t);
#define FOR_EACH_DTYPE(name, F) INSTANTIATE(F, float) INSTANTIATE(F, double) INSTANTIATE(F, bfloat16)
FOVEA_ACTIVATIONS(FOR_EACH_DTYPE)

}  // namespace fovea::cuda
