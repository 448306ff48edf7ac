#pragma once
#include "cuda/device/bfloat16.h"

namespace fovea {

// N neighbouring elements as one load or store: 16 bytes at a time is what a GPU's memory system moves best.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T value[N];
};

// Elements of a 16-byte access.
template <class T>
inline constexpr int pack_size = 16 / int(sizeof(T));

// One access. The address must be a multiple of the pack's size.
template <int N, class T>
HD inline Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <class T, int N>
HD inline void store_pack(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// Whether rows of `length` elements, one after another from an aligned address, can be read in packs.
template <class T>
inline bool packs_fit(int64_t length) {
  return length % pack_size<T> == 0;
}

}  // namespace fovea
