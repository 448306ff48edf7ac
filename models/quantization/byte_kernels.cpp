#include "models/quantization/byte_kernels.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>
#define FOVEA_VNNI 1
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/parallel.h"
#include "core/simd.h"

namespace fovea {
namespace {

constexpr int64_t lanes = 16;  // of 32 bits; on processors without AVX-512 the compiler splits such a vector
constexpr float most = 255.99f;  // what is rounded down is at most 255
typedef int32_t Ints __attribute__((vector_size(64)));
typedef float Floats __attribute__((vector_size(64)));
typedef uint8_t Bytes __attribute__((vector_size(16)));

uint8_t rounded(float value) { return uint8_t(value < 0 ? 0 : value > most ? most : value); }

// Where channel c lies in its block of 64 in ByteDepthwise: as unpacking bytes orders them.
int64_t place_of(int64_t c) { return c / 64 * 64 + c % 16 / 4 * 16 + c % 64 / 16 * 4 + c % 4; }

int64_t blocks_of(int64_t n, int64_t block) { return (n + block - 1) / block; }

// sum + the products of four unsigned bytes of x with four signed ones of w, in each lane.
[[gnu::always_inline]] inline Ints dot(Ints sum, Ints x, Ints w) {
#ifdef FOVEA_VNNI
  return Ints(_mm512_dpbusd_epi32(__m512i(sum), __m512i(x), __m512i(w)));
#else
  for (int j = 0; j < 4; ++j) sum += ((x >> (8 * j)) & 255) * ((w << (24 - 8 * j)) >> 24);
  return sum;
#endif
}

[[gnu::always_inline]] inline Floats scaled(Ints sum, const float* factor, const float* term) {
  return __builtin_convertvector(sum, Floats) * load<Floats>(factor) + load<Floats>(term);
}

[[gnu::always_inline]] inline void put(Floats value, float* y, int64_t count) {
  if (count >= lanes) return store(y, value);
  std::memcpy(y, &value, size_t(count) * sizeof(float));
}
[[gnu::always_inline]] inline void put(Floats value, uint8_t* y, int64_t count) {
  value = value < 0 ? Floats{} : value;
  value = value > most ? Floats{} + most : value;
  const Bytes bytes = __builtin_convertvector(__builtin_convertvector(value, Ints), Bytes);
  if (count >= lanes) return store(y, bytes);
  std::memcpy(y, &bytes, size_t(count));
}

// `rows` rows of x by two blocks of outputs: 16 sums stay in registers.
template <int rows, class Y>
void tile(const uint8_t* x, int64_t groups, const int8_t* w, const int32_t* start, const float* factor,
          const float* term, Y* y, int64_t row, int64_t count) {
  const int64_t block_bytes = groups * lanes * 4;
  Ints sums[rows][2];
  for (auto& sum : sums) sum[0] = load<Ints>(start), sum[1] = load<Ints>(start + lanes);
  for (int64_t g = 0; g < groups; ++g) {
    const Ints w0 = load<Ints>(w + g * lanes * 4), w1 = load<Ints>(w + block_bytes + g * lanes * 4);
    for (int r = 0; r < rows; ++r) {
      const Ints four = Ints{} + load<int32_t>(x + (r * groups + g) * 4);
      sums[r][0] = dot(sums[r][0], four, w0);
      sums[r][1] = dot(sums[r][1], four, w1);
    }
  }
  for (int r = 0; r < rows; ++r) {
    put(scaled(sums[r][0], factor, term), y + r * row, count);
    if (count > lanes)
      put(scaled(sums[r][1], factor + lanes, term + lanes), y + r * row + lanes, count - lanes);
  }
}

}  // namespace

ByteScale ByteScale::of_range(float low, float high) {
  low = std::min(low, 0.f), high = std::max(high, 0.f);
  const float scale = std::max((high - low) / 255, 1e-9f);
  return {scale, std::clamp(int(std::lround(-low / scale)), 0, 255)};
}

uint8_t ByteScale::byte(float number) const { return rounded(number / scale + float(zero) + 0.5f); }

ByteProduct::ByteProduct(std::span<const int8_t> weights, int64_t inputs, int64_t outputs, int zero)
    : outputs_(outputs), groups_(blocks_of(inputs, 4)) {
  const int64_t padded = blocks_of(outputs, 2 * lanes) * 2 * lanes;
  packed_.resize(size_t(padded * groups_ * 4));
  start_.resize(size_t(padded));
  for (int64_t c = 0; c < inputs; ++c)
    for (int64_t o = 0; o < outputs; ++o) {
      const int8_t w = weights[size_t(c * outputs + o)];
      packed_[size_t((((o / lanes) * groups_ + c / 4) * lanes + o % lanes) * 4 + c % 4)] = w;
      start_[size_t(o)] -= zero * w;
    }
}

template <class Y>
void ByteProduct::multiply(const uint8_t* x, int64_t rows, const ByteOutput& output, Y* y) const {
  constexpr int64_t chunk = 64;  // rows, whose bytes stay in the first-level cache
  const int64_t padded = int64_t(start_.size());
  std::vector<float> factor = output.factor, term = output.term;
  factor.resize(size_t(padded)), term.resize(size_t(padded));
  parallel_chunks(rows, chunk, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t o = 0; o < outputs_; o += 2 * lanes) {
      const auto tiles = [&]<int count>(int64_t r) {
        tile<count>(x + r * row_bytes(), groups_, packed_.data() + o * row_bytes(), start_.data() + o,
                    factor.data() + o, term.data() + o, y + r * outputs_ + o, outputs_, outputs_ - o);
      };
      int64_t r = begin;
      for (; r + 8 <= end; r += 8) tiles.template operator()<8>(r);
      for (; r < end; ++r) tiles.template operator()<1>(r);
    }
    if constexpr (sizeof(Y) == 1)
      if (!output.table.empty()) look_up(output.table, y + begin * outputs_, (end - begin) * outputs_);
  });
}

void ByteProduct::operator()(const uint8_t* x, int64_t rows, const ByteOutput& output, uint8_t* y) const {
  multiply(x, rows, output, y);
}
void ByteProduct::operator()(const uint8_t* x, int64_t rows, const ByteOutput& output, float* y) const {
  multiply(x, rows, output, y);
}

// AVX512-VNNI multiplies four bytes beside each other, so the bytes of four taps are interleaved: that brings
// 64 channels into four vectors, vector j with the channels 16 L + 4 j + i in its lanes 4 L + i.
ByteDepthwise::ByteDepthwise(std::span<const int8_t> weights, int64_t channels, Window window, int zero)
    : channels_(channels), window_(window), zero_(zero), weights_(weights.begin(), weights.end()) {
  const int64_t taps = int64_t(window.kernel) * window.kernel, groups = blocks_of(taps, 4);
  const int64_t padded = blocks_of(channels, 64) * 64;
  start_.resize(size_t(padded));
  packed_.resize(size_t(padded * groups * 4));
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t c = 0; c < channels; ++c) {
      const int8_t w = weights[size_t(t * channels + c)];
      packed_[size_t(((c / 64 * groups + t / 4) * 64 + place_of(c) % 64) * 4 + t % 4)] = w;
      start_[size_t(place_of(c))] -= zero * w;
    }
}

#ifdef FOVEA_VNNI
void ByteDepthwise::pixel(const uint8_t* const* taps, const ByteOutput& output, uint8_t* y) const {
  const int64_t groups = blocks_of(int64_t(window_.kernel) * window_.kernel, 4);
  for (int64_t c = 0; c < channels_; c += 64) {
    const __mmask64 mask = channels_ - c >= 64 ? ~uint64_t(0) : (uint64_t(1) << (channels_ - c)) - 1;
    const int8_t* w = packed_.data() + c * groups * 4;
    Ints sums[4];
    for (int j = 0; j < 4; ++j) sums[j] = load<Ints>(start_.data() + c + j * lanes);
    for (int64_t g = 0; g < groups; ++g, w += 256) {
      const auto tap = [&](int64_t t) { return _mm512_maskz_loadu_epi8(mask, taps[g * 4 + t] + c); };
      const __m512i a = tap(0), b = tap(1), d = tap(2), e = tap(3);
      const __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
      const __m512i de_low = _mm512_unpacklo_epi8(d, e), de_high = _mm512_unpackhi_epi8(d, e);
      sums[0] = dot(sums[0], Ints(_mm512_unpacklo_epi16(ab_low, de_low)), load<Ints>(w));
      sums[1] = dot(sums[1], Ints(_mm512_unpackhi_epi16(ab_low, de_low)), load<Ints>(w + 64));
      sums[2] = dot(sums[2], Ints(_mm512_unpacklo_epi16(ab_high, de_high)), load<Ints>(w + 128));
      sums[3] = dot(sums[3], Ints(_mm512_unpackhi_epi16(ab_high, de_high)), load<Ints>(w + 192));
    }
    __m512i bytes[4];
    for (int j = 0; j < 4; ++j) {
      const int64_t at = c + j * lanes;
      const Floats value = scaled(sums[j], output.factor.data() + at, output.term.data() + at);
      bytes[j] = __m512i(__builtin_convertvector(value > most ? Floats{} + most : value, Ints));
    }
    // Negative numbers saturate to 0 here, and the channels come back into their order.
    const __m512i packed =
        _mm512_packus_epi16(_mm512_packs_epi32(bytes[0], bytes[1]), _mm512_packs_epi32(bytes[2], bytes[3]));
    _mm512_mask_storeu_epi8(y + c, mask, packed);
  }
}
#else
void ByteDepthwise::pixel(const uint8_t* const* taps, const ByteOutput& output, uint8_t* y) const {
  const int64_t count = int64_t(window_.kernel) * window_.kernel;
  for (int64_t c = 0; c < channels_; c += lanes) {
    const int64_t width = std::min(lanes, channels_ - c);
    std::array<int32_t, lanes> sums{};
    for (int64_t t = 0; t < count; ++t) {
      const uint8_t* x = taps[t] + c;
      const int8_t* w = weights_.data() + t * channels_ + c;
      for (int64_t i = 0; i < width; ++i) sums[size_t(i)] += (int32_t(x[i]) - zero_) * w[i];
    }
    for (int64_t i = 0; i < width; ++i) {
      const auto at = size_t(place_of(c + i));
      y[c + i] = rounded(float(sums[size_t(i)]) * output.factor[at] + output.term[at]);
    }
  }
}
#endif

void ByteDepthwise::operator()(const uint8_t* x, int64_t images, int64_t height, int64_t width,
                               const ByteOutput& output, uint8_t* y) const {
  const int64_t out_height = window_.output_size(height), out_width = window_.output_size(width);
  const int64_t top = window_.pad_before(height), left = window_.pad_before(width), k = window_.kernel;
  const std::vector<uint8_t> outside(static_cast<size_t>(channels_), uint8_t(zero_));
  ByteOutput ordered;  // in the order of packed_
  ordered.factor.resize(start_.size()), ordered.term.resize(start_.size());
  for (int64_t c = 0; c < channels_; ++c) {
    const auto at = size_t(place_of(c));
    ordered.factor[at] = output.factor[size_t(c)], ordered.term[at] = output.term[size_t(c)];
  }
  parallel_for(images * out_height, 1, [&](int64_t begin, int64_t end) {
    std::vector<const uint8_t*> taps(size_t(blocks_of(k * k, 4) * 4), outside.data());
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / out_height, i0 = row % out_height * window_.stride - top;
      uint8_t* to = y + row * out_width * channels_;
      for (int64_t j = 0; j < out_width; ++j) {
        const int64_t j0 = j * window_.stride - left;
        for (int64_t a = 0; a < k; ++a)
          for (int64_t b = 0; b < k; ++b) {
            const int64_t i = i0 + a, at = j0 + b;
            taps[size_t(a * k + b)] = i < 0 || i >= height || at < 0 || at >= width
                                          ? outside.data()
                                          : x + ((n * height + i) * width + at) * channels_;
          }
        pixel(taps.data(), ordered, to + j * channels_);
      }
      if (!output.table.empty()) look_up(output.table, to, out_width * channels_);
    }
  });
}

void byte_windows(const uint8_t* x, int64_t images, int64_t height, int64_t width, int64_t channels,
                  Window window, int zero, int64_t row_bytes, uint8_t* y) {
  const int64_t out_height = window.output_size(height), out_width = window.output_size(width);
  const int64_t top = window.pad_before(height), left = window.pad_before(width);
  parallel_for(images * out_height, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t j = 0; j < out_width; ++j) {
        uint8_t* to = y + (row * out_width + j) * row_bytes;
        uint8_t* const last = to + row_bytes;
        const int64_t j0 = j * window.stride - left, run = window.kernel * channels;
        const int64_t begin_at = std::clamp<int64_t>(-j0, 0, window.kernel) * channels;
        const int64_t end_at = std::clamp<int64_t>(width - j0, 0, window.kernel) * channels;
        for (int a = 0; a < window.kernel; ++a, to += run) {
          const int64_t i = row % out_height * window.stride - top + a;
          if (i < 0 || i >= height || end_at - begin_at < run) std::fill_n(to, run, uint8_t(zero));
          if (i < 0 || i >= height) continue;
          const uint8_t* from = x + ((row / out_height * height + i) * width + j0) * channels;
          std::memcpy(to + begin_at, from + begin_at, size_t(end_at - begin_at));
        }
        std::fill(to, last, uint8_t(0));
      }
  });
}

void byte_max_pool(const uint8_t* x, int64_t images, int64_t height, int64_t width, int64_t channels,
                   Window down, Window across, uint8_t* y) {
  const int64_t out_height = down.output_size(height), out_width = across.output_size(width);
  const int64_t top = down.pad_before(height), left = across.pad_before(width);
  parallel_for(images * out_height, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t j = 0; j < out_width; ++j) {
        uint8_t* to = y + (row * out_width + j) * channels;
        std::fill_n(to, channels, uint8_t(0));
        const int64_t i0 = row % out_height * down.stride - top, j0 = j * across.stride - left;
        for (int64_t i = std::max<int64_t>(0, i0); i < std::min(height, i0 + down.kernel); ++i)
          for (int64_t at = std::max<int64_t>(0, j0); at < std::min(width, j0 + across.kernel); ++at) {
            const uint8_t* from = x + ((row / out_height * height + i) * width + at) * channels;
            for (int64_t c = 0; c < channels; ++c) to[c] = std::max(to[c], from[c]);
          }
      }
  });
}

void look_up(std::span<const uint8_t> table, uint8_t* bytes, int64_t count) {
  int64_t i = 0;
#if defined(FOVEA_VNNI) && defined(__AVX512VBMI__)
  const __m512i a = _mm512_loadu_si512(table.data()), b = _mm512_loadu_si512(table.data() + 64);
  const __m512i c = _mm512_loadu_si512(table.data() + 128), d = _mm512_loadu_si512(table.data() + 192);
  for (; i + 64 <= count; i += 64) {
    const __m512i index = _mm512_loadu_si512(bytes + i);
    const __m512i low = _mm512_permutex2var_epi8(a, index, b), high = _mm512_permutex2var_epi8(c, index, d);
    _mm512_storeu_si512(bytes + i, _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high));
  }
#endif
  for (; i < count; ++i) bytes[i] = table[bytes[i]];
}

void weighted_sum(std::span<const uint8_t* const> inputs, std::span<const float> factors, float term,
                  int64_t count, uint8_t* y) {
  int64_t c = 0;
  for (; c + lanes <= count; c += lanes) {
    Floats sum = Floats{} + term;
    for (size_t i = 0; i < inputs.size(); ++i)
      sum += __builtin_convertvector(load<Bytes>(inputs[i] + c), Floats) * factors[i];
    put(sum, y + c, lanes);
  }
  for (; c < count; ++c) {
    float sum = term;
    for (size_t i = 0; i < inputs.size(); ++i) sum += float(inputs[i][c]) * factors[i];
    y[c] = rounded(sum);
  }
}

void scale_channels(const uint8_t* x, int64_t pixels, int64_t channels, const float* factor,
                    const float* term, uint8_t* y) {
  for (int64_t p = 0; p < pixels; ++p, x += channels, y += channels) {
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes)
      put(__builtin_convertvector(load<Bytes>(x + c), Floats) * load<Floats>(factor + c) +
              load<Floats>(term + c),
          y + c, lanes);
    for (; c < channels; ++c) y[c] = rounded(float(x[c]) * factor[c] + term[c]);
  }
}

}  // namespace fovea
