// Squeeze and excitation (arXiv 1709.01507). Bytes moved, in passes over batch * pixels * channels numbers of
// sizeof(T): forward 3 (the means 1, scaling 2), backward 4 (the sums of x dy 2, dx 2). The layers between
// are small: their weights come from the L2 cache, once for each image.
#include "cuda/kernels/squeeze_excite.h"

#include <algorithm>

#include "cuda/device/columns.h"
#include "cuda/kernels/activation.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// Loads that a thread asks for before it uses the first, to hide the latency of memory: rows of an image
// where stores come between, and terms of a sum.
constexpr int rows_ahead = 4, terms_ahead = 8;

// partial (batch, chunks, channels) = the sums over a chunk of pixels of x, or of x dy.
template <class T, int N, bool times_gradient>
__global__ void pixel_sums_chunks(const T* x, const T* dy, Accumulator<T>* partial, ColumnGrid grid) {
  using R = Accumulator<T>;
  const ColumnPlace<N> at(grid);
  R sum[N] = {};
  for (int64_t row = at.begin; row < at.end; row += blockDim.y) {
    const Pack<T, N> value = load_pack<N>(x + at.offset(row));
    Pack<T, N> gradient = {};
    if (times_gradient) gradient = load_pack<N>(dy + at.offset(row));
    for (int k = 0; k < N; ++k)
      sum[k] += times_gradient ? R(value.value[k]) * R(gradient.value[k]) : R(value.value[k]);
  }
  block_column_sum(sum);
  if (at.first_line()) store_rounded<N>(partial + at.partial(grid), sum);
}

// to = from scale + shift, with a scale and a shift for each channel of each image; no shift where it is
// null.
template <class T, int N>
__global__ void scale_chunks(const T* from, const Accumulator<T>* scale, const Accumulator<T>* shift, T* to,
                             ColumnGrid grid) {
  using R = Accumulator<T>;
  const ColumnPlace<N> at(grid);
  if (!at.inside) return;
  const int64_t channel = at.matrix * grid.columns + at.column;
  const Pack<R, N> factor = load_pack<N>(scale + channel);
  Pack<R, N> term = {};
  if (shift) term = load_pack<N>(shift + channel);
  for (int64_t first = at.begin; first < at.end; first += rows_ahead * blockDim.y) {
    Pack<T, N> pack[rows_ahead] = {};
    UNROLL for (int i = 0; i < rows_ahead; ++i) {
      const int64_t row = first + i * blockDim.y;
      if (row < at.end) pack[i] = load_pack<N>(from + at.offset(row));
    }
    UNROLL for (int i = 0; i < rows_ahead; ++i) {
      UNROLL for (int k = 0; k < N; ++k) {
        pack[i].value[k] = T(R(pack[i].value[k]) * factor.value[k] + term.value[k]);
      }
      const int64_t row = first + i * blockDim.y;
      if (row < at.end) store_pack(to + at.offset(row), pack[i]);
    }
  }
}

// Calls done(column, the sum over rows of value(row, column)) for each column, by one thread. Neighbouring
// threads have neighbouring columns, so that a row-major matrix is read in whole lines. All threads of the
// block must call it, with `shared` for a number each.
template <class R, class Value, class Done>
__device__ void sum_columns(int rows, int columns, R* shared, Value value, Done done) {
  const int threads = int(blockDim.x), thread = int(threadIdx.x);
  const int width = columns < threads ? columns : threads, lines = threads / width, line = thread / width;
  for (int column = thread % width, first = 0; first < columns; first += width, column += width) {
    const bool inside = line < lines && column < columns;
    R sum = 0;
    for (int begin = inside ? line : rows; begin < rows; begin += terms_ahead * lines) {
      R term[terms_ahead];
      UNROLL for (int i = 0; i < terms_ahead; ++i) {
        const int row = begin + i * lines;
        term[i] = row < rows ? value(row, column) : R(0);
      }
      UNROLL for (int i = 0; i < terms_ahead; ++i) { sum += term[i]; }
    }
    for (int left = lines; left > 1;) {
      const int half = (left + 1) / 2;
      if (line >= half && line < left) shared[thread] = sum;
      __syncthreads();
      if (line < left - half) sum += shared[thread + half * width];
      __syncthreads();
      left = half;
    }
    if (inside && line == 0) done(column, sum);
  }
}

// The layers of one image, by blocks that each compute its means and its hidden layer, and `slab` factors.
constexpr int gate_threads = 512;
template <class R>
__global__ void gate_from_chunks(const R* partial, int chunks, SqueezeExcite<R> se, R per_pixel, int slab) {
  const int channels = int(se.channels), reduced = int(se.reduced);
  R *pooled = dynamic_shared<R>(), *activated = pooled + channels, *shared = activated + reduced;
  const int slabs = (channels + slab - 1) / slab, first = int(blockIdx.x) % slabs * slab;
  const int64_t image = int(blockIdx.x) / slabs;
  partial += image * chunks * channels;
  sum_columns(
      chunks, channels, shared, [&](int chunk, int c) { return partial[chunk * channels + c]; },
      [&](int c, R sum) {
        pooled[c] = sum * per_pixel;
        if (first == 0) se.pooled[image * channels + c] = pooled[c];
      });
  __syncthreads();
  sum_columns(
      channels, reduced, shared, [&](int c, int j) { return pooled[c] * se.w_reduce[c * reduced + j]; },
      [&](int j, R sum) {
        sum += se.b_reduce[j];
        activated[j] = Swish::forward(sum);
        if (first == 0) se.hidden[image * reduced + j] = sum;
      });
  __syncthreads();
  const int count = channels - first < slab ? channels - first : slab;
  sum_columns(
      reduced, count, shared,
      [&](int j, int c) { return activated[j] * se.w_expand[j * channels + first + c]; },
      [&](int c, R sum) {
        se.gate[image * channels + first + c] = Sigmoid::forward(sum + se.b_expand[first + c]);
      });
}

// The gradients before the sigmoid (batch, channels), before the swish (batch, reduced) and of the means,
// divided by the pixels (batch, channels); and what the swish had made (batch, reduced).
template <class R>
struct Inner {
  R *logit, *hidden, *pooled, *activated;
};

// From the sums of x dy, by blocks that each compute all of an image's `logit` and `slab` hidden numbers.
constexpr int inner_threads = 256, hidden_slab = 8;
template <class R>
__global__ void hidden_gradient_from_chunks(const R* partial, int chunks, SqueezeExcite<R> se, Inner<R> to) {
  const int channels = int(se.channels), reduced = int(se.reduced);
  R *logit = dynamic_shared<R>(), *shared = logit + channels;
  const int slabs = (reduced + hidden_slab - 1) / hidden_slab, first = int(blockIdx.x) % slabs * hidden_slab;
  const int64_t image = int(blockIdx.x) / slabs;
  partial += image * chunks * channels;
  sum_columns(
      chunks, channels, shared, [&](int chunk, int c) { return partial[chunk * channels + c]; },
      [&](int c, R sum) {
        const R gate = se.gate[image * channels + c];
        logit[c] = sum * gate * (1 - gate);
        if (first == 0) to.logit[image * channels + c] = logit[c];
      });
  __syncthreads();
  const R* weights = se.w_expand + int64_t(first) * channels;
  const int count = reduced - first < hidden_slab ? reduced - first : hidden_slab;
  sum_columns(
      channels, count, shared, [&](int c, int j) { return logit[c] * weights[j * channels + c]; },
      [&](int j, R sum) {
        const int64_t at = image * reduced + first + j;
        to.activated[at] = Swish::forward(se.hidden[at]);
        to.hidden[at] = sum * Swish::derivative(se.hidden[at]);
      });
}

// to (rows, columns) = factor left right, where left (rows, inner) and right (inner, columns) lie as their
// steps say. Where there are `sums`, they are those of right's columns: one more row, left being ones there.
template <class R>
struct Product {
  const R *left, *right;
  R *to, *sums, factor;
  int rows, inner, columns;
  int left_row, left_inner, right_inner, right_column;

  __host__ __device__ int64_t size() const { return int64_t(rows + (sums ? 1 : 0)) * columns; }
};

// Three products in one launch: the y axis of the grid says which. A block has some numbers of the result.
constexpr int product_slab = 128;
template <class R>
__global__ void small_products(Product<R> first, Product<R> second, Product<R> third) {
  const Product<R> p = blockIdx.y == 0 ? first : blockIdx.y == 1 ? second : third;
  const int64_t begin = int64_t(blockIdx.x) * product_slab, left = p.size() - begin;
  if (left <= 0) return;
  sum_columns(
      p.inner, left < product_slab ? int(left) : product_slab, dynamic_shared<R>(),
      [&](int k, int i) {
        const int row = int((begin + i) / p.columns), column = int((begin + i) % p.columns);
        const R factor = row < p.rows ? p.left[row * p.left_row + k * p.left_inner] : R(1);
        return factor * p.right[k * p.right_inner + column * p.right_column];
      },
      [&](int i, R sum) {
        const int64_t of_sums = begin + i - int64_t(p.rows) * p.columns;
        if (of_sums < 0)
          p.to[begin + i] = sum * p.factor;
        else
          p.sums[of_sums] = sum;
      });
}

unsigned blocks_of(int64_t n, int64_t slab) { return unsigned((n + slab - 1) / slab); }

template <class T, int N>
void scale(const T* from, const Accumulator<T>* scale, const Accumulator<T>* shift, T* to,
           const SqueezeExcite<Accumulator<T>>& se) {
  const ColumnGrid grid = column_grid(se.batch, se.pixels, se.channels, N, plan_for_elements);
  LaunchConfig config(grid);
  config.steps = blocks_of(grid.steps(), rows_ahead);
  launch(scale_chunks<T, N>, config, from, scale, shift, to, grid);
}

}  // namespace

template <class T>
void squeeze_excite(const T* x, T* y, const SqueezeExcite<Accumulator<T>>& se) {
  using R = Accumulator<T>;
  with_column_pack<T>(se.channels, [&]<int N>() {
    const ColumnGrid sums = column_grid(se.batch, se.pixels, se.channels, N, plan_for_sums);
    const Workspace<R> partial(sums.partials());
    launch(pixel_sums_chunks<T, N, false>, {sums, sums.shared_bytes<R>(N)}, x, nullptr, partial.data(), sums);
    // Few images make several blocks each, of 64 channels or more, so that no multiprocessor is idle.
    const int64_t wanted = std::max<int64_t>(1, 256 / std::max<int64_t>(1, se.batch));
    const int64_t slab = std::max<int64_t>(64, blocks_of(se.channels, wanted));
    launch(gate_from_chunks<R>,
           {unsigned(se.batch) * blocks_of(se.channels, slab), gate_threads,
            size_t(se.channels + se.reduced + gate_threads) * sizeof(R)},
           partial.data(), int(sums.chunks), se, R(1.0 / double(se.pixels)), int(slab));
    scale<T, N>(x, se.gate, nullptr, y, se);
  });
}

template <class T>
void squeeze_excite_backward(const T* x, const T* dy, T* dx, const SqueezeExcite<Accumulator<T>>& se,
                             const SqueezeExciteGradients<Accumulator<T>>& gradients) {
  using R = Accumulator<T>;
  const int n = int(se.batch), c = int(se.channels), s = int(se.reduced);
  const Workspace<R> logit(n * se.channels), hidden(n * se.reduced), pooled(n * se.channels),
      activated(n * se.reduced);
  const Inner<R> inner{logit.data(), hidden.data(), pooled.data(), activated.data()};
  with_column_pack<T>(se.channels, [&]<int N>() {
    const ColumnGrid sums = column_grid(n, se.pixels, c, N, plan_for_sums);
    const Workspace<R> partial(sums.partials());
    launch(pixel_sums_chunks<T, N, true>, {sums, sums.shared_bytes<R>(N)}, x, dy, partial.data(), sums);
    launch(hidden_gradient_from_chunks<R>,
           {unsigned(n) * blocks_of(s, hidden_slab), inner_threads, size_t(c + inner_threads) * sizeof(R)},
           partial.data(), int(sums.chunks), se, inner);
    const Product<R> expand{
        inner.activated, inner.logit, gradients.w_expand, gradients.b_expand, 1, s, n, c, 1, s, c, 1};
    const Product<R> reduce{
        se.pooled, inner.hidden, gradients.w_reduce, gradients.b_reduce, 1, c, n, s, 1, c, s, 1};
    const Product<R> means{
        inner.hidden, se.w_reduce, inner.pooled, nullptr, R(1.0 / double(se.pixels)), n, s, c, s, 1, 1, s};
    launch(small_products<R>,
           {dim3(blocks_of(std::max({expand.size(), reduce.size(), means.size()}), product_slab), 3),
            inner_threads, inner_threads * sizeof(R)},
           expand, reduce, means);
    scale<T, N>(dy, se.gate, inner.pooled, dx, se);
  });
}

#define INSTANTIATE(T)                                                                                   \
  template void squeeze_excite<T>(const T*, T*, const SqueezeExcite<Accumulator<T>>&);                   \
  template void squeeze_excite_backward<T>(const T*, const T*, T*, const SqueezeExcite<Accumulator<T>>&, \
                                           const SqueezeExciteGradients<Accumulator<T>>&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
