// Depthwise convolution and its input gradient on tensor cores. Each channel has its own filter, so for eight
// channels a tap is a diagonal matrix D:
//   y (pixels, 8) = sum over taps of x at the tap (pixels, 8) D (8, 8)
// One multiplication takes 16 pixels and the diagonals of two taps. Of its 2048 multiply-adds, 256
// contribute to the result; the others multiply by zero. It still takes fewer issue slots than one
// instruction for each 32: a number of the result takes 11 (k 3) and 15 (k 5) instructions, and 2 more with
// statistics, while the products keep the tensor cores busy for as long as 10 and 26. The kernels of
// depthwise_conv2d.cu take 20 to 25 and 38 to 43. Predicted on an H200: 0.79 to 1.0 of the bandwidth for
// k 3, and 0.60 to 0.78 for k 5 (bench/NOTES.md). It has not run on a GPU yet.
//
// Zero times infinity is NaN, so a number that is not finite spreads to the pixel's other seven channels. The
// filter is rounded to bfloat16, as in all kernels of a bfloat16 convolution.
//
// A block has 32 channels of tiles of 16 x 16 pixels. Each of its four warps computes eight channels of the
// whole tile, eight rows by eight columns at a time: it loads a matrix of 8 pixels by 8 channels for each row
// and each horizontal shift, and uses it for every row of the result that it contributes to. The result takes
// the place of the source pixels that the warp has used, from where it is stored in packs.
#include "cuda/kernels/depthwise_tensor_cores.h"

#include "cuda/device/depthwise_tiles.h"
#include "cuda/device/output_epilogue.h"

namespace fovea::cuda {
namespace {

using namespace tensor_cores;

// Rows and columns of a tile that a warp computes at a time, and how often they fit along each side.
inline constexpr int part = 8, parts = tile / part;
// Blocks that a multiprocessor should hold, each with at most 65,536 / (128 blocks) registers a thread.
template <int K, class Output>
inline constexpr int blocks_held = (K == 3 ? 8 : 5) - std::is_same_v<Output, Normalized>;

// The filters of a warp's eight channels: for each row of a filter two neighbouring taps for a
// multiplication, of which a lane has the numbers for row lane / 4 and columns 2 (lane % 4) and the next.
// Most of them are 0.
template <int K, bool GRADIENT>
struct Diagonals {
  static constexpr int pairs = (K + 1) / 2;
  uint32_t of[K][pairs][2] = {};

  __device__ Diagonals(const float* w, int first, int channels, int lane) {
    const int row = lane / 4, channel = first + row;
    if (lane % 4 != row / 2 || channel >= channels) return;
    UNROLL for (int tap = 0; tap < K * K; ++tap) {
      const uint32_t bits = bfloat16(w[(GRADIENT ? K * K - 1 - tap : tap) * channels + channel]).bits;
      of[tap / K][tap % K / 2][tap % K % 2] = row % 2 ? bits << 16 : bits;
    }
  }
};

// Eight rows and columns of the result. It takes the source two rows at a time: those and two horizontal
// shifts are the four matrices of a multiplication, without a move between registers. Rows i and i + 1 of the
// source contribute by row a of the filter to rows i - a and i - a + 1 of the result, which are summed in two
// parts: `even` for pairs of rows that begin at an even row, `odd` for the others.
template <int K>
struct Part {
  static constexpr int pitch = source_tile<K>, rows = part + K - 1, pairs = (K + 1) / 2;

  // `source`: the pixel whose channels this lane loads for the first two rows and shifts; `last`: the same
  // for the last shift, which has no neighbour. Calls store(row, sums) for every other row, with this lane's
  // two channels of a pixel of that row and of the next.
  template <bool GRADIENT, class F>
  __device__ static void compute(const bfloat16* source, const bfloat16* last,
                                 const Diagonals<K, GRADIENT>& filter, F&& store) {
    float even[part / 2][4] = {}, odd[part / 2 + 1][4] = {};
    UNROLL for (int i = 0; i < rows; i += 2) {
      uint32_t pixels[pairs][4];
      UNROLL for (int j = 0; j < pairs; ++j) {
        const bfloat16* const from = 2 * j + 1 < K ? source : last;
        load_matrices<false>(pixels[j], reinterpret_cast<const Numbers*>(from + (i * pitch + 2 * j) * pixel));
      }
      UNROLL for (int a = 0; a < K; ++a) {
        const int row = i - a;
        if (row < -1 || row >= part) continue;
        UNROLL for (int j = 0; j < pairs; ++j) {
          multiply_add(a % 2 ? odd[(row + 1) / 2] : even[row / 2], pixels[j], filter.of[a][j]);
        }
      }
      const int done = i - (K - 1);
      if (done < 0) continue;
      const float(&of_even)[4] = even[done / 2], (&first)[4] = odd[done / 2],
            (&second)[4] = odd[done / 2 + 1];
      float sums[4] = {of_even[0] + first[2], of_even[1] + first[3], of_even[2] + second[0],
                       of_even[3] + second[1]};
      store(done, sums);
    }
  }
};

// Statistics of a warp's eight channels, over all pixels of its tiles.
template <int PITCH>
class TileSums {
 public:
  // `shared`: the tile, whose pixels have a free pack each behind their channels. There the first of each row
  // gets ones.
  __device__ TileSums(bfloat16* shared, int warp, int lane)
      : tile_(shared + warp * pack), lane_(lane), two_rows_(tile_ + (lane / 16 * PITCH + lane % 16) * pixel) {
    row_ = lane / 8 % 2 ? shared + slab<bfloat16> : tile_ + (lane / 16 * 8 + lane % 8) * pixel;
    if (warp == 0 && lane < tile)
      *reinterpret_cast<uint4*>(shared + lane * PITCH * pixel + slab<bfloat16>) = {ones, ones, ones, ones};
  }
  // Adds the tile's first `rows` and `columns`, and writes zeros to the others.
  __device__ void add(int rows, int columns, bool first) {
    __syncwarp();  // all lanes have stored their pixels
    if (rows < tile || columns < tile) {
      const int row = lane_ / tile, column = lane_ % tile;
      uint4* const numbers = reinterpret_cast<uint4*>(tile_ + (row * PITCH + column) * pixel);
      UNROLL for (int i = 0; i < tile; i += warp_size / tile) {
        if (row + i >= rows || column >= columns) numbers[i * PITCH * pixel / pack] = {0, 0, 0, 0};
      }
      __syncwarp();
    }
    UNROLL for (int row = 0; row < tile; row += 2) {
      uint32_t y[4], with_ones[4];
      load_matrices<true>(y, reinterpret_cast<const Numbers*>(two_rows_ + row * PITCH * pixel));
      UNROLL for (int i = 0; i < 2; ++i) {
        load_matrices<true>(with_ones, reinterpret_cast<const Numbers*>(row_ + (row + i) * PITCH * pixel));
        sums_.add(with_ones, y + 2 * i);
      }
    }
    sums_.end_group(rows * columns, first, lane_);
    pixels_ += rows * columns;
  }
  __device__ void store(const OutputEpilogue& epilogue, int chunk, int first_channel, int channels) const {
    const int channel = sums_.channel(lane_);
    if (channel >= 0 && first_channel + channel < channels)
      sums_.of_channel().store(epilogue, chunk, pixels_, first_channel + channel, channels);
  }

 private:
  static constexpr uint32_t ones = 0x3F803F80;
  bfloat16* tile_;
  int lane_;
  // The pixels whose channels this lane loads: of two rows, and of one row or ones.
  const bfloat16 *two_rows_, *row_;
  ProductSums sums_;
  int pixels_ = 0;
};

// The tiles chunk, chunk + chunks, ... of a slab of channels.
template <int K, bool GRADIENT, class Output>
__device__ inline void convolve_tiles(const bfloat16* from, const float* w, bfloat16* to, const Tiling& t,
                                      int chunks, const OutputEpilogue& epilogue) {
  using A = Axis<K, 1, GRADIENT>;
  using OfPart = Part<K>;
  constexpr int pitch = OfPart::pitch;
  constexpr bool normalized = std::is_same_v<Output, Normalized>, gathered = std::is_same_v<Output, Gathered>;
  bfloat16* const shared = dynamic_shared<bfloat16>();
  const int thread = int(threadIdx.y) * threads_across + int(threadIdx.x), lane = thread % warp_size,
            warp = thread / warp_size;
  const int channels = t.d.channels, first = int(t.by_slabs.remainder(blockIdx.x)) * slab<bfloat16>,
            chunk = int(t.by_slabs.quotient(blockIdx.x));
  const Diagonals<K, GRADIENT> filter(w, first + warp * pack, channels, lane);
  OutputNorm<2> norm;
  if constexpr (normalized) {
    const int channel = first + warp * pack + lane % 4 * 2;
    if (channel < channels) norm = OutputNorm<2>(epilogue, channel);
  }
  // Matrices 0 and 1 are one below the other, 2 and 3 a column to the right.
  bfloat16* const of_warp = shared + warp * pack;
  const bfloat16* const last = of_warp + (lane / 8 % 2 * pitch + lane % 8) * pixel;
  const bfloat16* const source = last + lane / 16 * pixel;
  // A word of the result, and a pack of the tile that is stored.
  bfloat16* const words = of_warp + lane / 4 * pixel + lane % 4 * 2;
  const int own = thread % packs * pack, column = thread / packs % tile, row = thread / packs / tile;
  constexpr int rows_at_once = threads / packs / tile;
  TileSums<pitch> sums(shared, warp, lane);
  NO_UNROLL for (int index = chunk; index < t.d.batch * t.tiles; index += chunks) {
    const TilePlace at(unsigned(index), t);
    const FeatureMap& map = at.level.*A::to;
    fetch_source<K>(shared, from, at.level.*A::from, at.image, A::begin(at.level.pad_y) + at.row,
                    A::begin(at.level.pad_x) + at.column, first, channels);
    wait_for_copies();
    __syncthreads();
    NO_UNROLL for (int i = 0; i < parts * parts; ++i) {
      EXPECT_TRIPS(parts * parts);
      const int corner = (i / parts * pitch + i % parts) * part * pixel;
      OfPart::compute(source + corner, last + corner, filter, [&](int row_of_part, float(&sums_of)[4]) {
        if constexpr (normalized) norm.template apply<bfloat16>(epilogue.activation, sums_of);
        bfloat16* const result = words + corner + row_of_part * pitch * pixel;
        __syncwarp();  // all lanes have loaded the pixels that the result replaces
        *reinterpret_cast<uint32_t*>(result) = rounded_pair(sums_of[0], sums_of[1]);
        *reinterpret_cast<uint32_t*>(result + pitch * pixel) = rounded_pair(sums_of[2], sums_of[3]);
      });
    }
    const int rows = map.height - at.row < tile ? map.height - at.row : tile,
              columns = map.width - at.column < tile ? map.width - at.column : tile;
    if constexpr (gathered) sums.add(rows, columns, index == chunk);
    __syncthreads();
    bfloat16* result = to + map.pixel(at.image, at.row + row, at.column + column) * channels + first + own;
    const uint4* staged = reinterpret_cast<const uint4*>(shared + (row * pitch + column) * pixel + own);
    const bool wanted = column < columns && first + own < channels;
    UNROLL for (int r = 0; r < tile; r += rows_at_once) {
      if (wanted && row + r < rows) *reinterpret_cast<uint4*>(result) = staged[r * pitch * pixel / pack];
      result += rows_at_once * map.width * channels;  // nvcc would compute a product anew for each row
    }
    __syncthreads();
  }
  if constexpr (gathered) sums.store(epilogue, chunk, first + warp * pack, channels);
}

template <int K, class Output>
__global__ void __launch_bounds__(threads, blocks_held<K, Output>)
    depthwise_diagonals(const bfloat16* x, const float* w, bfloat16* y, Tiling t, int chunks,
                        OutputEpilogue epilogue) {
  convolve_tiles<K, false, Output>(x, w, y, t, chunks, epilogue);
}
template <int K>
__global__ void __launch_bounds__(threads, blocks_held<K, Plain>)
    input_gradient_diagonals(const float* w, const bfloat16* dy, bfloat16* dx, Tiling t, int chunks) {
  convolve_tiles<K, true, Plain>(dy, w, dx, t, chunks, {});
}

}  // namespace

template <class T>
int64_t depthwise_conv2d_chunks_on_tensor_cores(const DepthwiseConv2dDims& d) {
  int64_t chunks = 0;
  with_tiles<false>(d, [&]<int K>(const Tiling& t) { chunks = t.chunks(blocks_held<K, Gathered>); });
  return chunks;
}

template <class T>
bool depthwise_conv2d_on_tensor_cores(const T* x, const float* w, T* y, const DepthwiseConv2dDims& d,
                                      const OutputEpilogue& epilogue) {
  return with_tiles<false>(d, [&]<int K>(const Tiling& t) {
    const auto run = [&]<class Output>(Output) {
      const int64_t chunks = t.chunks(blocks_held<K, Output>);
      launch(depthwise_diagonals<K, Output>, config_of(t, chunks, source_tile<K> * source_tile<K>), x, w, y,
             t, int(chunks), epilogue);
    };
    if (epilogue.statistics) return run(Gathered());
    epilogue.weight ? run(Normalized()) : run(Plain());
  });
}

template <class T>
bool depthwise_conv2d_input_gradient_on_tensor_cores(const float* w, const T* dy, T* dx,
                                                     const DepthwiseConv2dDims& d) {
  return with_tiles<true>(d, [&]<int K>(const Tiling& t) {
    const int64_t chunks = t.chunks(blocks_held<K, Plain>);
    launch(input_gradient_diagonals<K>, config_of(t, chunks, source_tile<K> * source_tile<K>), w, dy, dx, t,
           int(chunks));
  });
}

#define INSTANTIATE(T)                                                                                      \
  template int64_t depthwise_conv2d_chunks_on_tensor_cores<T>(const DepthwiseConv2dDims&);                  \
  template bool depthwise_conv2d_on_tensor_cores<T>(const T*, const float*, T*, const DepthwiseConv2dDims&, \
                                                    const OutputEpilogue&);                                 \
  template bool depthwise_conv2d_input_gradient_on_tensor_cores<T>(const float*, const T*, T*,              \
                                                                   const DepthwiseConv2dDims&);
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
