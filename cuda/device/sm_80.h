#pragma once
#include "cuda/device/vector.h"

// For GPUs of compute capability 8.0 and later: copies to shared memory for which no thread waits, and
// products on tensor cores. The simulator copies at once, and the lanes of a warp exchange their parts of the
// matrices (cuda/sim/matrices.cpp). PTX ISA 9.0, "Data Movement and Conversion Instructions" and "Warp Level
// Matrix Multiply-Accumulate Instructions".
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define FOVEA_SM_80
#endif

namespace fovea {

// Starts to copy 16 bytes from global to shared memory; the thread does not wait and needs no registers for
// them. If not `wanted`, it writes zeros and reads nothing. Below compute capability 8.0 and in the simulator
// the copy is synchronous.
template <class T>
__device__ inline void copy_async(T* to, const T* from, bool wanted) {
#ifdef FOVEA_SM_80
  const unsigned address = unsigned(__cvta_generic_to_shared(to));
  const int bytes = wanted ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes)
               : "memory");
#else
  constexpr int N = pack_size<T>;
  Pack<T, N> pack = {};
  if (wanted) pack = load_pack<N>(from);
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
#endif
}

// Waits for the copies that this thread has started. After a barrier those of other threads are complete.
__device__ inline void wait_for_copies() {
#ifdef FOVEA_SM_80
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// Makes a group of the copies that this thread has started since the last group; it may be empty.
__device__ inline void end_copy_group() {
#ifdef FOVEA_SM_80
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits for all groups except the last `NEWER`.
template <int NEWER>
__device__ inline void wait_for_copy_groups() {
#ifdef FOVEA_SM_80
  asm volatile("cp.async.wait_group %0;" ::"n"(NEWER) : "memory");
#endif
}

// All 32 lanes of a warp call the functions below together; lane = 4 row + column. Below compute capability
// 8.0 they end the kernel with an error.
template <class... Arguments>
__device__ inline void never(const Arguments&...) {
#ifdef __CUDA_ARCH__
  asm volatile("trap;");
#endif
}

// Four matrices of 8 x 8 from shared memory. Lane l has the address of row l % 8 of matrix l / 8, a pack, and
// gets two neighbouring numbers of each: matrix[row][2 column] and the next or, TURNED, matrix[2 column][row]
// and the one below. The first is the lower half of a word. It orders no other access to shared memory.
template <bool TURNED>
__device__ inline void load_matrices(uint32_t (&to)[4], const Pack<bfloat16, 8>* row) {
#ifdef FOVEA_SM_80
  const unsigned address = unsigned(__cvta_generic_to_shared(row));
#define FOVEA_LDMATRIX(turn)                                                              \
  asm volatile("ldmatrix.sync.aligned.m8n8.x4" turn ".shared.b16 {%0, %1, %2, %3}, [%4];" \
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])                       \
               : "r"(address)                                                             \
               : "memory")
  if constexpr (TURNED)
    FOVEA_LDMATRIX(".trans");
  else
    FOVEA_LDMATRIX("");
#undef FOVEA_LDMATRIX
#elif defined(FOVEA_SIM)
  const Pack<bfloat16, 8> numbers = *row;
  sim::matrix_operation(TURNED ? sim::WarpOp::load_turned : sim::WarpOp::load_matrices,
                        {&numbers, nullptr, to});
#else
  never(to, row);
#endif
}

// sum (16 x 8) += a (16 x 16) b (16 x 8), in float. The four matrices of `a` are rows 0 to 7 and 8 to 15 of
// its left half, then of its right half, as load_matrices() loads them; the two of `b` are its upper and its
// lower half, turned. A lane has sum[row][2 column] and the next, then those of row + 8.
__device__ inline void multiply_add(float (&sum)[4], const uint32_t (&a)[4], const uint32_t* b) {
#ifdef FOVEA_SM_80
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif defined(FOVEA_SIM)
  sim::matrix_operation(sim::WarpOp::multiply_add, {a, b, sum});
#else
  never(sum, a, b);
#endif
}

// Two rounded numbers in one word, as above. nvcc stores it whole, while it would split a pack.
__device__ inline uint32_t rounded_pair(float first, float second) {
  uint32_t word = 0;
#ifdef FOVEA_SM_80
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
#else
  word = bfloat16(first).bits | uint32_t(bfloat16(second).bits) << 16;
#endif
  return word;
}

// The two numbers of such a word, in one instruction each.
__device__ inline void unrounded_pair(float (&to)[2], uint32_t word) {
  const uint32_t low = word << 16, high = word & 0xFFFF0000u;
  memcpy(&to[0], &low, sizeof low);
  memcpy(&to[1], &high, sizeof high);
}

}  // namespace fovea
