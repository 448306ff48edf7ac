#pragma once
#include "cuda/device/bfloat16.h"
#include "cuda/device/unroll.h"
#include "cuda/platform.h"

namespace fovea {

// N neighbouring elements as one load or store: a GPU's memory system moves 16 bytes at a time best.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T value[N];
};

// Elements of a 16-byte access.
template <class T>
inline constexpr int pack_size = 16 / int(sizeof(T));

// The words that move a pack. A GPU accesses 1, 2, 4, 8 or 16 bytes.
template <int Bytes>
struct WordOf {
  using type = uint4;  // 16 bytes, and larger packs in several of these
};
template <>
struct WordOf<8> {
  using type = uint2;  // 8 bytes
};
template <>
struct WordOf<4> {
  using type = uint32_t;  // 4 bytes
};
template <>
struct WordOf<2> {
  using type = uint16_t;  // 2 bytes
};
template <>
struct WordOf<1> {
  using type = uint8_t;  // 1 byte
};

// The pack of N with this index, in one multiplication and one addition.
template <int N, class T>
HD inline T* pack_at(T* from, unsigned index) {
  return reinterpret_cast<T*>(reinterpret_cast<Pack<T, N>*>(from) + index);
}
template <int N, class T>
HD inline const T* pack_at(const T* from, unsigned index) {
  return reinterpret_cast<const T*>(reinterpret_cast<const Pack<T, N>*>(from) + index);
}

// One access per 16 bytes of the pack, from and to global memory. The address must be a multiple of the
// pack's size.
template <int N, class T>
HD inline Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <class T, int N>
HD inline void store_pack(T* to, const Pack<T, N>& pack) {
#ifdef __CUDA_ARCH__
  // nvcc splits a pack that was assembled in registers into one store per number, even when it is assigned as
  // one word. It leaves the store of an intrinsic whole.
  using Word = typename WordOf<int(sizeof pack)>::type;
  constexpr int words = int(sizeof(pack) / sizeof(Word));
  Word word[words];
  memcpy(word, &pack, sizeof pack);
  for (int i = 0; i < words; ++i) __stwb(reinterpret_cast<Word*>(to) + i, word[i]);
#else
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
#endif
}

// Stores N numbers as one pack, rounded to T if they have another type.
template <int N, class T, class R>
__device__ inline void store_rounded(T* to, const R* values) {
  Pack<T, N> pack;
  UNROLL for (int k = 0; k < N; ++k) { pack.value[k] = T(values[k]); }
  store_pack(to, pack);
}

// Whether rows of `length` elements, one after another from an aligned address, can be read in packs.
template <class T>
inline bool packs_fit(int64_t length) {
  return length % pack_size<T> == 0;
}

}  // namespace fovea
