// Squeeze and excitation (arXiv 1709.01507). Bytes moved, in passes over batch * pixels * channels numbers of
// sizeof(T): forward 3 (the means 1, scaling 2), backward 4 (the sums of x dy 2, dx 2). The layers in between
// are small: their weights come from the L2 cache, once per image.
#include "cuda/kernels/squeeze_excite.h"

#include <algorithm>

#include "cuda/device/columns.h"
#include "cuda/device/pixel.h"
#include "cuda/device/unroll.h"
#include "cuda/kernels/activation.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

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

// to = from scale + shift, with a scale and a shift for each channel of each image; no shift if it is null.
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
  for (int64_t row = at.begin; row < at.end; row += blockDim.y) {
    Pack<T, N> pack = load_pack<N>(from + at.offset(row));
    for (int k = 0; k < N; ++k) pack.value[k] = T(R(pack.value[k]) * factor.value[k] + term.value[k]);
    store_pack(to + at.offset(row), pack);
  }
}

// How the threads of a block share the columns of a matrix: neighbouring threads have neighbouring columns,
// so that a row-major matrix is read in whole lines, and each takes four rows or more.
struct ColumnSplit {
  int width, lines;  // threads side by side, and those of one column
  Divisor by_width;

  ColumnSplit(int64_t rows, int64_t columns, int threads)
      : width(int(std::clamp<int64_t>(columns, 1, threads))),
        lines(int(std::min<int64_t>((rows + 3) / 4, threads / width))),
        by_width(width) {}
};

// Calls done(column, the sum over rows of value(row, column), more(column)) for each column, in one thread.
// A thread loads eight rows at once, after more() has loaded. All threads of the block must call it, with one
// number of `shared` each.
template <class R, class Value, class More, class Done>
__device__ void sum_columns(int rows, int columns, const ColumnSplit& split, R* shared, Value value,
                            More more, Done done) {
  constexpr int at_once = 8;
  const int thread = int(threadIdx.x), width = split.width, lines = split.lines,
            line_of_thread = int(split.by_width.quotient(threadIdx.x)),
            column_of_thread = thread - line_of_thread * width;
  NO_UNROLL for (int first = 0; first < columns; first += width) {
    EXPECT_TRIPS(1);
    const bool inside = first + column_of_thread < columns;
    const int column = inside ? first + column_of_thread : first, line = inside ? line_of_thread : lines;
    const R of_column = more(column);
    R sum = 0;
    NO_UNROLL for (int row = line < lines ? line : rows; row < rows; row += at_once * lines) {
      EXPECT_TRIPS(1);
      R values[at_once];
      UNROLL for (int i = 0; i < at_once; ++i) {  // the first again, if there are fewer: that takes no branch
        values[i] = value(row + i * lines < rows ? row + i * lines : row, column);
      }
      UNROLL for (int i = 0; i < at_once; ++i) {
        if (row + i * lines < rows) sum += values[i];
      }
    }
    shared[thread] = sum;
    __syncthreads();
    if (thread < width && inside) {
      UNROLL_BY_4 for (int i = 1; i < lines; ++i) {
        EXPECT_TRIPS(8);
        sum += shared[i * width + thread];
      }
      done(column, sum, of_column);
    }
    __syncthreads();
  }
}

constexpr int layer_threads = 1024;

// The layers of one image, in blocks that each compute its means and its hidden layer, and `slab` factors.
template <class R>
__global__ void gate_from_chunks(const R* partial, int chunks, SqueezeExcite<R> se, R per_pixel, int slab,
                                 ColumnSplit of_chunks, ColumnSplit of_reduced, ColumnSplit of_slab) {
  const int channels = int(se.channels), reduced = int(se.reduced);
  R *pooled = dynamic_shared<R>(), *activated = pooled + channels, *shared = activated + reduced;
  const int slabs = (channels + slab - 1) / slab, first = int(blockIdx.x) % slabs * slab;
  const int64_t image = int(blockIdx.x) / slabs;
  const auto nothing = [](int) { return R(0); };
  partial += image * chunks * channels;
  sum_columns(
      chunks, channels, of_chunks, shared, [&](int chunk, int c) { return partial[chunk * channels + c]; },
      nothing,
      [&](int c, R sum, R) {
        pooled[c] = sum * per_pixel;
        if (first == 0) se.pooled[image * channels + c] = pooled[c];
      });
  sum_columns(
      channels, reduced, of_reduced, shared,
      [&](int c, int j) { return pooled[c] * se.w_reduce[c * reduced + j]; },
      [&](int j) { return se.b_reduce[j]; },
      [&](int j, R sum, R bias) {
        sum += bias;
        activated[j] = Swish::forward(sum);
        if (first == 0) se.hidden[image * reduced + j] = sum;
      });
  const int count = channels - first < slab ? channels - first : slab;
  sum_columns(
      reduced, count, of_slab, shared,
      [&](int j, int c) { return activated[j] * se.w_expand[j * channels + first + c]; },
      [&](int c) { return se.b_expand[first + c]; },
      [&](int c, R sum, R bias) { se.gate[image * channels + first + c] = Sigmoid::forward(sum + bias); });
}

// From the sums of x dy: the gradients before the sigmoid (batch, channels) and before the swish (batch,
// reduced), and the output of the swish (batch, reduced). A block computes all of the first for its image,
// and `slab` numbers of the others.
template <class R>
__global__ void hidden_gradient_from_chunks(const R* partial, int chunks, SqueezeExcite<R> se, R* dlogit,
                                            R* dhidden, R* activated, int slab, ColumnSplit of_chunks,
                                            ColumnSplit of_slab) {
  const int channels = int(se.channels), reduced = int(se.reduced);
  R *logit = dynamic_shared<R>(), *shared = logit + channels;
  const int slabs = (reduced + slab - 1) / slab, first = int(blockIdx.x) % slabs * slab;
  const int64_t image = int(blockIdx.x) / slabs;
  partial += image * chunks * channels;
  sum_columns(
      chunks, channels, of_chunks, shared, [&](int chunk, int c) { return partial[chunk * channels + c]; },
      [&](int c) { return se.gate[image * channels + c]; },
      [&](int c, R sum, R gate) {
        logit[c] = sum * gate * (1 - gate);
        if (first == 0) dlogit[image * channels + c] = logit[c];
      });
  const R* weights = se.w_expand + int64_t(first) * channels;
  const int count = reduced - first < slab ? reduced - first : slab;
  sum_columns(
      channels, count, of_slab, shared, [&](int c, int j) { return logit[c] * weights[j * channels + c]; },
      [&](int j) { return se.hidden[image * reduced + first + j]; },
      [&](int j, R sum, R hidden) {
        const int64_t at = image * reduced + first + j;
        activated[at] = Swish::forward(hidden);
        dhidden[at] = sum * Swish::derivative(hidden);
      });
}

// to (rows, columns) = factor left right, where left (rows, inner) and right (inner, columns) have the steps
// given. `sums`, if any, are those of right's columns: one more row, for which left is ones.
template <class R>
struct Product {
  const R *left, *right;
  R *to, *sums, factor;
  int rows, inner, columns;
  int left_row, left_inner, right_inner, right_column;

  static constexpr int block_rows = 8, block_columns = 128;
  // The threads of a column share its terms, if there are many. Each takes as many at a time as its group of
  // threads can load of `left`, one number each.
  static constexpr int most_groups = 4, terms = block_columns / block_rows;
  HD int all_rows() const { return rows + (sums ? 1 : 0); }
  HD int slabs() const { return (columns + block_columns - 1) / block_columns; }
  HD int blocks() const { return (all_rows() + block_rows - 1) / block_rows * slabs(); }
};

// Three products in one launch. A block has 128 columns of eight rows.
template <class R>
__global__ void __launch_bounds__(Product<R>::block_columns* Product<R>::most_groups)
    small_products(Product<R> p, Product<R> second, Product<R> third) {
  constexpr int rows = Product<R>::block_rows, columns = Product<R>::block_columns, terms = Product<R>::terms,
                most_groups = Product<R>::most_groups;
  __shared__ R left[most_groups][terms][rows], partial[most_groups - 1][rows][columns];
  int block = int(blockIdx.x);
  if (block >= p.blocks()) block -= p.blocks(), p = second;
  if (block >= p.blocks()) block -= p.blocks(), p = third;
  const int groups = int(blockDim.y), thread = int(threadIdx.x), group = int(threadIdx.y),
            first = block / p.slabs() * rows, column = block % p.slabs() * columns + thread;
  const bool inside = column < p.columns;
  const int row = first + thread % rows, term = thread / rows;  // the number of `left` it loads
  R sum[rows] = {};
  NO_UNROLL for (int all = 0; all < p.inner; all += groups * terms) {
    const int begin = all + group * terms;
    const R* from = p.right + begin * p.right_inner + (inside ? column : 0) * p.right_column;
    R right[terms];
    UNROLL for (int k = 0; k < terms; ++k) {
      right[k] = begin + k < p.inner ? from[k * p.right_inner] : R(0);
    }
    R number = row < p.rows ? R(0) : R(1);  // the row of sums
    if (row < p.rows && begin + term < p.inner)
      number = p.left[row * p.left_row + (begin + term) * p.left_inner];
    __syncthreads();  // all threads have used the numbers before
    left[group][term][thread % rows] = number;
    __syncthreads();
    UNROLL for (int k = 0; k < terms; ++k) {
      UNROLL for (int i = 0; i < rows; ++i) { sum[i] += left[group][k][i] * right[k]; }
    }
  }
  if (group > 0) {
    UNROLL for (int i = 0; i < rows; ++i) { partial[group - 1][i][thread] = sum[i]; }
  }
  __syncthreads();
  if (group > 0 || !inside) return;
  UNROLL for (int i = 0; i < rows; ++i) {
    UNROLL for (int g = 1; g < most_groups; ++g) {
      if (g < groups) sum[i] += partial[g - 1][i][thread];
    }
    if (first + i < p.rows) p.to[(first + i) * p.columns + column] = sum[i] * p.factor;
    if (first + i == p.rows && p.sums) p.sums[column] = sum[i] * p.factor;
  }
}

// For scaling: one row per thread, as long as that makes few waves of blocks.
constexpr ColumnPlan plan_for_scaling = {4096, 1, 256, 32};

unsigned blocks_of(int64_t n, int64_t slab) { return unsigned((n + slab - 1) / slab); }

}  // namespace

template <class R>
void squeeze_excite_gate(const R* partial, int64_t chunks, const SqueezeExcite<R>& se) {
  // With few images, several blocks per image, of 64 channels or more: one for each multiprocessor of an
  // H200, since all of them compute the means and the hidden layer.
  const int64_t wanted = std::max<int64_t>(1, 132 / std::max<int64_t>(1, se.batch));
  const int64_t slab = std::max<int64_t>(64, blocks_of(se.channels, wanted));
  launch(gate_from_chunks<R>,
         {unsigned(se.batch) * blocks_of(se.channels, slab), layer_threads,
          size_t(se.channels + se.reduced + layer_threads) * sizeof(R)},
         partial, int(chunks), se, R(1.0 / double(se.pixels)), int(slab),
         ColumnSplit(chunks, se.channels, layer_threads), ColumnSplit(se.channels, se.reduced, layer_threads),
         ColumnSplit(se.reduced, slab, layer_threads));
}

template <class R>
void squeeze_excite_layer_gradients(const R* partial, int64_t chunks, const SqueezeExcite<R>& se,
                                    const SqueezeExciteGradients<R>& gradients, R* through_means) {
  const int n = int(se.batch), c = int(se.channels), s = int(se.reduced);
  const Workspace<R> logit(n * se.channels), hidden(n * se.reduced), activated(n * se.reduced);
  // As for the gates, but of eight numbers or more, and two blocks for each multiprocessor.
  const int slab = std::max(8, int(blocks_of(s, std::max(1, 264 / std::max(1, n)))));
  launch(hidden_gradient_from_chunks<R>,
         {unsigned(n) * blocks_of(s, slab), layer_threads, size_t(c + layer_threads) * sizeof(R)}, partial,
         int(chunks), se, logit.data(), hidden.data(), activated.data(), slab,
         ColumnSplit(chunks, se.channels, layer_threads), ColumnSplit(se.channels, slab, layer_threads));
  const Product<R> expand{
      activated.data(), logit.data(), gradients.w_expand, gradients.b_expand, 1, s, n, c, 1, s, c, 1};
  const Product<R> reduce{
      se.pooled, hidden.data(), gradients.w_reduce, gradients.b_reduce, 1, c, n, s, 1, c, s, 1};
  const Product<R> means{
      hidden.data(), se.w_reduce, through_means, nullptr, R(1.0 / double(se.pixels)), n, s, c, s, 1, 1, s};
  using P = Product<R>;
  const int parts = (std::max(n, s) + P::terms - 1) / P::terms, groups = std::min(parts, P::most_groups);
  LaunchConfig config({unsigned(expand.blocks() + reduce.blocks() + means.blocks())},
                      {P::block_columns, unsigned(groups)});
  config.steps = (parts + groups - 1) / groups;
  launch(small_products<R>, config, expand, reduce, means);
}

template <class T>
void squeeze_excite(const T* x, T* y, const SqueezeExcite<Accumulator<T>>& se) {
  using R = Accumulator<T>;
  with_column_pack<T>(se.channels, [&]<int N>() {
    const ColumnGrid sums = column_grid(se.batch, se.pixels, se.channels, N, plan_for_sums);
    const Workspace<R> partial(sums.partials());
    launch(pixel_sums_chunks<T, N, false>, {sums, sums.shared_bytes<R>(N)}, x, nullptr, partial.data(), sums);
    squeeze_excite_gate<R>(partial.data(), sums.chunks, se);
    const ColumnGrid grid = column_grid(se.batch, se.pixels, se.channels, N, plan_for_scaling);
    launch(scale_chunks<T, N>, {grid}, x, se.gate, nullptr, y, grid);
  });
}

template <class T>
void squeeze_excite_backward(const T* x, const T* dy, T* dx, const SqueezeExcite<Accumulator<T>>& se,
                             const SqueezeExciteGradients<Accumulator<T>>& gradients) {
  using R = Accumulator<T>;
  const Workspace<R> through_means(se.batch * se.channels);
  with_column_pack<T>(se.channels, [&]<int N>() {
    const ColumnGrid sums = column_grid(se.batch, se.pixels, se.channels, N, plan_for_sums);
    const Workspace<R> partial(sums.partials());
    launch(pixel_sums_chunks<T, N, true>, {sums, sums.shared_bytes<R>(N)}, x, dy, partial.data(), sums);
    squeeze_excite_layer_gradients<R>(partial.data(), sums.chunks, se, gradients, through_means.data());
    const ColumnGrid grid = column_grid(se.batch, se.pixels, se.channels, N, plan_for_scaling);
    launch(scale_chunks<T, N>, {grid}, dy, se.gate, through_means.data(), dx, grid);
  });
}

#define INSTANTIATE_LAYERS(R)                                                                 \
  template void squeeze_excite_gate<R>(const R*, int64_t, const SqueezeExcite<R>&);           \
  template void squeeze_excite_layer_gradients<R>(const R*, int64_t, const SqueezeExcite<R>&, \
                                                  const SqueezeExciteGradients<R>&, R*);
INSTANTIATE_LAYERS(float)
INSTANTIATE_LAYERS(double)
#define INSTANTIATE(T)                                                                                   \
  template void squeeze_excite<T>(const T*, T*, const SqueezeExcite<Accumulator<T>>&);                   \
  template void squeeze_excite_backward<T>(const T*, const T*, T*, const SqueezeExcite<Accumulator<T>>&, \
                                           const SqueezeExciteGradients<Accumulator<T>>&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
