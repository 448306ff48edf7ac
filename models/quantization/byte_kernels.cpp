#include "models/quantization/byte_kernels.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VBMI__)
#include <immintrin.h>
#define FOVEA_VNNI 1
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/parallel.h"
#include "core/simd.h"

namespace fovea {
namespace {

constexpr int64_t lanes = 16;  // of 32 bits; on processors without AVX-512 the compiler splits such a vector
constexpr int64_t block = 64;  // bytes that are written at once
typedef int32_t Ints __attribute__((vector_size(64)));
typedef float Floats __attribute__((vector_size(64)));
typedef uint8_t Bytes __attribute__((vector_size(16)));
typedef int8_t SignedBytes __attribute__((vector_size(16)));

int64_t blocks_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Elements of a parallel loop, each of `work` products, below which a second thread costs more than it does.
int64_t grain_of(int64_t work) { return blocks_of(1 << 17, std::max<int64_t>(work, 1)); }

// The first 16 of `count` elements, and zeros in place of those that are missing.
template <class V, class T>
[[gnu::always_inline]] inline V first(const T* from, int64_t count) {
  if (count >= lanes) return load<V>(from);
  V value{};
  std::memcpy(&value, from, size_t(std::max<int64_t>(count, 0)) * sizeof(T));
  return value;
}
[[gnu::always_inline]] inline Floats in_float(Ints ints) { return __builtin_convertvector(ints, Floats); }

// An activation's table, or none.
class Table {
 public:
  explicit Table(std::span<const uint8_t> bytes) : bytes_(bytes.empty() ? nullptr : bytes.data()) {
#ifdef FOVEA_VNNI
    for (int i = 0; i < 4 && bytes_; ++i) parts_[i] = _mm512_loadu_si512(bytes_ + 64 * i);
#endif
  }
  explicit operator bool() const { return bytes_ != nullptr; }
  uint8_t operator[](uint8_t byte) const { return bytes_[byte]; }
#ifdef FOVEA_VNNI
  [[gnu::always_inline]] __m512i operator[](__m512i bytes) const {
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes),
                                  _mm512_permutex2var_epi8(parts_[0], bytes, parts_[1]),
                                  _mm512_permutex2var_epi8(parts_[2], bytes, parts_[3]));
  }
#endif

 private:
  const uint8_t* bytes_;
#ifdef FOVEA_VNNI
  __m512i parts_[4] = {};
#endif
};

#ifdef FOVEA_VNNI
// Where position p lies in its block: as the instructions order them that unpack and pack bytes.
int64_t place_of(int64_t p) { return p / 64 * 64 + p % 16 / 4 * 16 + p % 64 / 16 * 4 + p % 4; }
// In a depthwise convolution, within its block: the weights of four taps are beside each other.
int64_t place_of_weight(int64_t tap, int64_t place) { return (tap / 4 * block + place) * 4 + tap % 4; }

// With masks, as in put(): without them GCC 12 warns. Its own conversion of vectors takes many steps.
constexpr __mmask16 all_lanes = 0xFFFF;
[[gnu::always_inline]] inline Ints widened(Bytes bytes) {
  return Ints(_mm512_maskz_cvtepu8_epi32(all_lanes, __m128i(bytes)));
}

// sum + the products of four unsigned bytes of x with four signed ones of w, in each lane.
[[gnu::always_inline]] inline Ints dot(Ints sum, Ints x, Ints w) {
  return Ints(_mm512_dpbusd_epi32(__m512i(sum), __m512i(x), __m512i(w)));
}

// The bytes of 16 * blocks numbers, of which `count` are written. interleaved: in the order of place_of().
template <int blocks, bool interleaved = false>
[[gnu::always_inline]] inline void put(const Floats* values, int zero, const Table& table, uint8_t* y,
                                       int64_t count) {
  __m512i ints[4] = {};
  for (int b = 0; b < blocks; ++b) {  // beyond 2^31 the conversion has no result; negative ones saturate
    const Floats most = Floats{} + 1e6f;
    ints[b] = _mm512_maskz_cvtps_epi32(all_lanes, __m512(values[b] > most ? most : values[b]));
  }
  const __m512i zeros = _mm512_set1_epi16(short(zero));
  __m512i bytes = _mm512_packus_epi16(_mm512_adds_epi16(_mm512_packs_epi32(ints[0], ints[1]), zeros),
                                      _mm512_adds_epi16(_mm512_packs_epi32(ints[2], ints[3]), zeros));
  const __m512i in_order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  if (!interleaved) bytes = _mm512_maskz_permutexvar_epi32(all_lanes, in_order, bytes);
  if (table) bytes = table[bytes];
  if (count >= block) return _mm512_storeu_si512(y, bytes);
  _mm512_mask_storeu_epi8(y, (uint64_t(1) << count) - 1, bytes);
}
#else
[[gnu::always_inline]] inline Ints widened(Bytes bytes) { return __builtin_convertvector(bytes, Ints); }
int64_t place_of(int64_t p) { return p; }
int64_t place_of_weight(int64_t tap, int64_t place) { return tap * block + place; }

[[gnu::always_inline]] inline Ints dot(Ints sum, Ints x, Ints w) {
  for (int j = 0; j < 4; ++j) sum += ((x >> (8 * j)) & 255) * ((w << (24 - 8 * j)) >> 24);
  return sum;
}

template <int blocks, bool = false>
[[gnu::always_inline]] inline void put(const Floats* values, int zero, const Table& table, uint8_t* y,
                                       int64_t count) {
  constexpr float shift = 12582912;  // 1.5 * 2^23: beside it a float has no digits behind the point
  for (int b = 0; b < blocks && b * lanes < count; ++b) {
    const Floats low = Floats{} - float(zero), high = low + 255;
    Floats value = values[b] < low ? low : values[b];
    value = value > high ? high : value;
    const Ints ints = __builtin_convertvector((value + shift) - shift, Ints) + zero;
    const Bytes bytes = __builtin_convertvector(ints, Bytes);
    std::memcpy(y + b * lanes, &bytes, size_t(std::min(lanes, count - b * lanes)));
  }
  for (int64_t i = 0; table && i < std::min(blocks * lanes, count); ++i) y[i] = table[y[i]];
}
#endif

template <int blocks>
[[gnu::always_inline]] inline void put(const Floats* values, int, const Table&, float* y, int64_t count) {
  for (int b = 0; b < blocks && b * lanes < count; ++b)
    std::memcpy(y + b * lanes, &values[b], size_t(std::min(lanes, count - b * lanes)) * sizeof(float));
}

// y[i] = round(the number of i) + zero. numbers(i): those of 16 positions from i on, called in order.
template <class F>
[[gnu::always_inline]] inline void each_block(int64_t count, int zero, uint8_t* y, F&& numbers) {
  const Table none({});
  for (int64_t i = 0; i < count; i += block) {
    Floats values[4];
    for (int b = 0; b < 4; ++b) values[b] = numbers(i + b * lanes);
    put<4>(values, zero, none, y + i, count - i);
  }
}

// Adds each byte to the sum of its position, which recur after sum.size(), a multiple of the lanes.
void add_up(const uint8_t* bytes, int64_t count, std::span<int32_t> sum) {
  const auto period = int64_t(sum.size()), at_once = (4096 + period - 1) / period * period;
  for (; count > 0; count -= at_once, bytes += at_once) {
    const int64_t n = std::min(count, at_once), whole = n / lanes * lanes;
    for (int64_t q = 0; q < period; q += lanes) {
      auto channels = load<Ints>(sum.data() + q);
      for (int64_t p = q; p < whole; p += period) channels += widened(load<Bytes>(bytes + p));
      store(sum.data() + q, channels);
    }
    for (int64_t p = whole; p < n; ++p) sum[size_t(p % period)] += bytes[p];
  }
}

// What a tile of outputs has of a convolution.
struct Outputs {
  const int8_t* weights;
  const int32_t* start;
  const float* factor;
  int zero;
};

// `rows` windows, `step` bytes apart, by `blocks` blocks of 16 outputs: at most 16 sums, which stay in
// registers. offsets: where a window's groups of four bytes begin.
template <int rows, int blocks, class Y>
void tile(const uint8_t* x, int64_t step, std::span<const int64_t> offsets, const Outputs& outputs,
          const Table& table, Y* y, int64_t row, int64_t count) {
  Ints sums[rows][blocks];
  for (auto& sum : sums)
    for (int b = 0; b < blocks; ++b) sum[b] = load<Ints>(outputs.start + b * lanes);
  const int8_t* w = outputs.weights;
  for (const int64_t offset : offsets) {
    Ints weights[blocks];
    for (int b = 0; b < blocks; ++b, w += block) weights[b] = load<Ints>(w);
    for (int r = 0; r < rows; ++r) {
      const Ints four = Ints{} + load<int32_t>(x + r * step + offset);
      for (int b = 0; b < blocks; ++b) sums[r][b] = dot(sums[r][b], four, weights[b]);
    }
  }
  for (int r = 0; r < rows; ++r) {
    Floats values[blocks];
    for (int b = 0; b < blocks; ++b)
      values[b] = in_float(sums[r][b]) * load<Floats>(outputs.factor + b * lanes);
    put<blocks>(values, outputs.zero, table, y + r * row, count);
  }
}

// The rows of images that lie under a row of windows, `zero` on both sides and in place of those outside.
class PaddedRows {
 public:
  PaddedRows(const uint8_t* x, int64_t height, int64_t width, int64_t channels, Window window, int zero)
      : x_(x),
        height_(height),
        row_(width * channels),
        top_(window.pad_before(height)),
        left_(window.pad_before(width) * channels),
        window_(window),
        zero_(uint8_t(zero)),
        rows_(size_t(window.kernel)),
        held_(size_t(window.kernel), none) {
    const int64_t columns = (window.output_size(width) - 1) * window.stride + window.kernel;
    // Beyond the last byte as many more as a vector may read.
    length_ = std::max(left_ + row_, columns * channels) + block;
    room_.assign(size_t(window.kernel * length_), zero_);
  }

  // The k rows under row i of the windows of image n.
  std::span<const uint8_t* const> under(int64_t n, int64_t i) {
    const int64_t k = window_.kernel;
    for (int64_t a = 0; a < k; ++a) {
      const int64_t from = i * window_.stride - top_ + a, slot = (from % k + k) % k;
      uint8_t* to = room_.data() + slot * length_;
      rows_[size_t(a)] = to;
      const bool inside = from >= 0 && from < height_;
      const int64_t row = inside ? n * height_ + from : outside;
      if (held_[size_t(slot)] == row) continue;
      held_[size_t(slot)] = row;
      if (inside)
        std::memcpy(to + left_, x_ + row * row_, size_t(row_));
      else
        std::memset(to, zero_, size_t(length_));
    }
    return rows_;
  }

 private:
  static constexpr int64_t none = -2, outside = -1;
  const uint8_t* x_;
  int64_t height_, row_, top_, left_, length_ = 0;
  Window window_;
  uint8_t zero_;
  std::vector<uint8_t> room_;
  std::vector<const uint8_t*> rows_;
  std::vector<int64_t> held_;  // the row of all images that a slot has
};

}  // namespace

ByteScale ByteScale::of_range(float low, float high) {
  low = std::min(low, 0.f), high = std::max(high, 0.f);
  const float scale = std::max((high - low) / 255, 1e-9f);
  return {scale, std::clamp(int(std::lround(-low / scale)), 0, 255)};
}

uint8_t ByteScale::byte(float number) const {
  return uint8_t(std::nearbyint(std::clamp(number / scale, float(-zero), float(255 - zero))) + float(zero));
}

ByteGate::ByteGate(std::span<const float> factor_of_channels, int from, int to)
    : factor(std::lcm(factor_of_channels.size(), size_t(block))), from_zero(from), zero(to) {
  for (size_t i = 0; i < factor.size(); ++i) factor[i] = factor_of_channels[i % factor_of_channels.size()];
}

ByteConv2d::ByteConv2d(std::span<const int8_t> weights, int64_t inputs, int64_t outputs, Window window,
                       int zero, const ByteOutput& output)
    : inputs_(inputs),
      outputs_(outputs),
      row_groups_(blocks_of(window.kernel * inputs, 4)),
      window_(window),
      zero_(zero),
      out_zero_(output.zero),
      start_(output.bias),
      factor_(output.factor),
      table_(output.table) {
  const int64_t padded = blocks_of(outputs, lanes) * lanes, run = window.kernel * inputs,
                groups = window.kernel * row_groups_;
  start_.resize(size_t(padded)), factor_.resize(size_t(padded));
  weights_.resize(size_t(padded * groups * 4));
  for (int64_t i = 0; i < window.kernel * run; ++i)
    for (int64_t o = 0; o < outputs; ++o) {
      const int64_t group = i / run * row_groups_ + i % run / 4, first = o / block * block;
      const int64_t blocks = std::min(block, padded - first) / lanes;
      const int8_t w = weights[size_t(i * outputs + o)];
      weights_[size_t(first * groups * 4 + (group * blocks * lanes + o - first) * 4 + i % run % 4)] = w;
      start_[size_t(o)] -= zero * w;
    }
}

// The outputs of `count` windows, `step` bytes apart.
template <class Y>
void ByteConv2d::windows(const uint8_t* x, int64_t step, std::span<const int64_t> offsets, int64_t count,
                         Y* y) const {
  const Table table(table_);
  for (int64_t o = 0; o < outputs_; o += block) {
    const int64_t left = std::min(block, outputs_ - o);
    const Outputs outputs{weights_.data() + o * int64_t(offsets.size()) * 4, start_.data() + o,
                          factor_.data() + o, out_zero_};
    const auto all = [&]<int rows, int blocks>() {
      int64_t r = 0;
      for (; r + rows <= count; r += rows)
        tile<rows, blocks>(x + r * step, step, offsets, outputs, table, y + r * outputs_ + o, outputs_, left);
      for (; r < count; ++r)
        tile<1, blocks>(x + r * step, step, offsets, outputs, table, y + r * outputs_ + o, outputs_, left);
    };
    switch (blocks_of(left, lanes)) {
      case 1:
        all.template operator()<8, 1>();
        break;
      case 2:
        all.template operator()<8, 2>();
        break;
      case 3:
        all.template operator()<4, 3>();
        break;
      default:
        all.template operator()<4, 4>();
    }
  }
}

template <class Y>
void ByteConv2d::convolve(const uint8_t* x, int64_t images, int64_t height, int64_t width,
                          std::span<const ByteGate> gates, Y* y) const {
  constexpr int64_t chunk = 64;  // pixels, whose bytes stay in the first-level cache
  const int64_t k = window_.kernel, work = k * k * inputs_ * outputs_;
  std::vector<int64_t> straight;
  for (int64_t g = 0; g < row_groups_; ++g) straight.push_back(4 * g);
  if (k == 1 && window_.stride == 1) {
    const int64_t pixels = height * width;
    parallel_for(images * pixels, grain_of(work), [&](int64_t begin, int64_t end) {
      std::vector<uint8_t> room(size_t(chunk * inputs_ + 4));
      for (int64_t p = begin, next = 0; p < end; p = next) {
        const int64_t image = p / pixels;
        next = std::min({end, p + chunk, (image + 1) * pixels});
        const uint8_t* from = x + p * inputs_;
        if (!gates.empty())
          apply(gates[size_t(image)], from, (next - p) * inputs_, room.data());
        else if (inputs_ % 4)  // a group reaches over the end
          std::memcpy(room.data(), from, size_t((next - p) * inputs_));
        windows(gates.empty() && inputs_ % 4 == 0 ? from : room.data(), inputs_, straight, next - p,
                y + p * outputs_);
      }
    });
    return;
  }
  const int64_t out_height = window_.output_size(height), out_width = window_.output_size(width);
  parallel_for(images * out_height, grain_of(work * out_width), [&](int64_t begin, int64_t end) {
    PaddedRows rows(x, height, width, inputs_, window_, zero_);
    std::vector<int64_t> offsets(size_t(k * row_groups_));
    for (int64_t row = begin; row < end; ++row) {
      const auto under = rows.under(row / out_height, row % out_height);
      for (int64_t g = 0; g < int64_t(offsets.size()); ++g)
        offsets[size_t(g)] = under[size_t(g / row_groups_)] - under[0] + straight[size_t(g % row_groups_)];
      windows(under[0], window_.stride * inputs_, offsets, out_width, y + row * out_width * outputs_);
    }
  });
}

void ByteConv2d::operator()(const uint8_t* x, int64_t images, int64_t height, int64_t width,
                            std::span<const ByteGate> gates, uint8_t* y) const {
  convolve(x, images, height, width, gates, y);
}
void ByteConv2d::operator()(const uint8_t* x, int64_t images, int64_t height, int64_t width,
                            std::span<const ByteGate> gates, float* y) const {
  convolve(x, images, height, width, gates, y);
}

// With stride 1, the bytes that a tap has of neighbouring pixels lie beside each other, too: a row of an
// image is computed as if it were one pixel, with the weights repeated. Where channels and vectors meet again
// only after many of these, pixel by pixel.
ByteDepthwise::ByteDepthwise(std::span<const int8_t> weights, int64_t channels, Window window, int zero,
                             const ByteOutput& output)
    : channels_(channels),
      groups_(blocks_of(int64_t(window.kernel) * window.kernel, 4)),
      period_(std::lcm(channels, block)),
      whole_rows_(window.stride == 1 && period_ <= 1024),
      window_(window),
      zero_(zero),
      out_zero_(output.zero),
      table_(output.table) {
  if (!whole_rows_) period_ = blocks_of(channels, block) * block;
  const int64_t taps = int64_t(window.kernel) * window.kernel;
  start_.resize(size_t(period_)), factor_.resize(size_t(period_));
  weights_.resize(size_t(period_ * groups_ * 4));
  for (int64_t p = 0; p < (whole_rows_ ? period_ : channels); ++p) {
    const int64_t c = p % channels, place = place_of(p);
    if (!output.bias.empty()) start_[size_t(place)] = output.bias[size_t(c)];
    factor_[size_t(place)] = output.factor[size_t(c)];
    for (int64_t t = 0; t < taps; ++t) {
      const int8_t w = weights[size_t(t * channels + c)];
      weights_[size_t(p / block * block * groups_ * 4 + place_of_weight(t, place % block))] = w;
      start_[size_t(place)] -= zero * w;
    }
  }
}

// `count` positions: bytes from taps[t] + at on, of tap t.
void ByteDepthwise::positions(const uint8_t* const* taps, int64_t at, int64_t count, uint8_t* y) const {
  const Table table(table_);
  for (int64_t p = 0, q = 0; p < count; p += block, q = q + block == period_ ? 0 : q + block) {
    const int8_t* w = weights_.data() + q * groups_ * 4;
    Ints sums[4];
    for (int j = 0; j < 4; ++j) sums[j] = load<Ints>(start_.data() + q + j * lanes);
#ifdef FOVEA_VNNI
    // The bytes of four taps are interleaved: that brings 64 positions into four vectors, vector j with the
    // positions 16 L + 4 j + i in its lanes 4 L + i.
    for (int64_t g = 0; g < groups_; ++g, w += 4 * block) {
      const auto tap = [&](int64_t t) { return _mm512_loadu_si512(taps[g * 4 + t] + at + p); };
      const __m512i a = tap(0), b = tap(1), c = tap(2), d = tap(3);
      const __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
      const __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
      sums[0] = dot(sums[0], Ints(_mm512_unpacklo_epi16(ab_low, cd_low)), load<Ints>(w));
      sums[1] = dot(sums[1], Ints(_mm512_unpackhi_epi16(ab_low, cd_low)), load<Ints>(w + block));
      sums[2] = dot(sums[2], Ints(_mm512_unpacklo_epi16(ab_high, cd_high)), load<Ints>(w + 2 * block));
      sums[3] = dot(sums[3], Ints(_mm512_unpackhi_epi16(ab_high, cd_high)), load<Ints>(w + 3 * block));
    }
#else
    for (int64_t t = 0; t < int64_t(window_.kernel) * window_.kernel; ++t, w += block)
      for (int j = 0; j < 4; ++j)
        sums[j] += widened(load<Bytes>(taps[t] + at + p + j * lanes)) *
                   __builtin_convertvector(load<SignedBytes>(w + j * lanes), Ints);
#endif
    Floats values[4];
    for (int j = 0; j < 4; ++j) values[j] = in_float(sums[j]) * load<Floats>(factor_.data() + q + j * lanes);
    put<4, true>(values, out_zero_, table, y + p, count - p);
  }
}

void ByteDepthwise::operator()(const uint8_t* x, int64_t images, int64_t height, int64_t width, uint8_t* y,
                               int32_t* sums) const {
  const int64_t out_height = window_.output_size(height), out_width = window_.output_size(width),
                k = window_.kernel, row_bytes = out_width * channels_;
  if (sums) std::fill_n(sums, images * channels_, 0);
  parallel_for(images * out_height, grain_of(row_bytes * k * k), [&](int64_t begin, int64_t end) {
    PaddedRows rows(x, height, width, channels_, window_, zero_);
    std::vector<const uint8_t*> taps(size_t(groups_ * 4));
    std::vector<int32_t> sum(size_t(std::lcm(channels_, lanes)));  // of the bytes of an image, by position
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / out_height;
      const auto under = rows.under(n, row % out_height);
      for (int64_t t = 0; t < int64_t(taps.size()); ++t)  // those after the last have no weight
        taps[size_t(t)] = under[size_t(t / k % k)] + t % k * channels_;
      uint8_t* to = y + row * row_bytes;
      if (whole_rows_) positions(taps.data(), 0, row_bytes, to);
      for (int64_t j = 0; j < (whole_rows_ ? 0 : out_width); ++j)
        positions(taps.data(), j * window_.stride * channels_, channels_, to + j * channels_);
      if (!sums || (row + 1 < end && (row + 1) / out_height == n)) continue;
      const int64_t first_row = std::max(begin, n * out_height);
      add_up(y + first_row * row_bytes, (row + 1 - first_row) * row_bytes, sum);
#pragma omp critical(fovea_byte_sums)
      for (size_t i = 0; i < sum.size(); ++i) sums[n * channels_ + int64_t(i) % channels_] += sum[i];
      std::fill(sum.begin(), sum.end(), 0);
    }
  });
}

void byte_max_pool_row(const uint8_t* x, int64_t height, int64_t width, int64_t channels, Window down,
                       Window across, int64_t i, uint8_t* to) {
  const int64_t out_width = across.output_size(width), row = width * channels;
  const int64_t i0 = i * down.stride - down.pad_before(height), left = across.pad_before(width);
  std::vector<uint8_t> column(static_cast<size_t>(row));  // the largest of the rows
  const auto grow = [](uint8_t* largest, const uint8_t* bytes, int64_t count) {
    for (int64_t c = 0; c < count; ++c) largest[c] = std::max(largest[c], bytes[c]);
  };
  for (int64_t a = std::max<int64_t>(0, i0); a < std::min(height, i0 + down.kernel); ++a)
    grow(column.data(), x + a * row, row);
  std::fill_n(to, out_width * channels, uint8_t(0));
  for (int64_t j = 0; j < out_width; ++j) {
    const int64_t j0 = j * across.stride - left;
    for (int64_t b = std::max<int64_t>(0, j0); b < std::min(width, j0 + across.kernel); ++b)
      grow(to + j * channels, column.data() + b * channels, channels);
  }
}

void look_up(std::span<const uint8_t> table, uint8_t* bytes, int64_t count) {
  int64_t i = 0;
#ifdef FOVEA_VNNI
  const Table in_registers(table);
  for (; i + block <= count; i += block)
    _mm512_storeu_si512(bytes + i, in_registers[_mm512_loadu_si512(bytes + i)]);
#endif
  for (; i < count; ++i) bytes[i] = table[bytes[i]];
}

void to_bytes(const float* x, int64_t count, float factor, int zero, uint8_t* y) {
  each_block(count, zero, y, [&](int64_t i) { return first<Floats>(x + i, count - i) * factor; });
}

void weighted_sum(std::span<const uint8_t* const> inputs, std::span<const int> zeros,
                  std::span<const float> factors, int zero, int64_t count, uint8_t* y) {
  each_block(count, zero, y, [&](int64_t i) {
    Floats sum{};
    for (size_t k = 0; k < inputs.size(); ++k)
      sum += in_float(widened(first<Bytes>(inputs[k] + i, count - i)) - zeros[k]) * factors[k];
    return sum;
  });
}

void apply(const ByteGate& gate, const uint8_t* x, int64_t count, uint8_t* y) {
  each_block(count, gate.zero, y, [&, q = size_t(0)](int64_t i) mutable {
    const auto factor = load<Floats>(gate.factor.data() + q);
    q = q + lanes == gate.factor.size() ? 0 : q + lanes;
    return in_float(widened(first<Bytes>(x + i, count - i)) - gate.from_zero) * factor;
  });
}

}  // namespace fovea
