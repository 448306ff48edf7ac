#pragma once
#include <cstdint>
#include <functional>

namespace fovea {

// Matrix products on the CPU, by oneDNN's sgemm, which otherwise only the simulator calls; float64, which
// only gradient checks use, by plain loops. All matrices are row-major and dense. Work is cut into blocks
// that depend only on the sizes, each computed by one thread, and partial sums are added in order, which
// gives the same bits on any number of threads.

// Called for rows [begin, end) of the result as soon as they are complete, while they are still in the cache;
// from several threads at once, and always with the same ranges for the same sizes.
using RowsDone = std::function<void(int64_t block, int64_t begin, int64_t end)>;

// c (m x n) = a (m x k) * b (k x n). T: float, double. Nothing is checked.
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, const RowsDone& done = {});
// c (m x n) = a (m x k) * b^T, with b (n x k); where `add`, c += that
template <class T>
void gemm_nt(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool add);
// c (m x n) = a^T * b, with a (k x m) and b (k x n); long sums over k are cut into partial sums
template <class T>
void gemm_tn(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c);

// For callers that cut a product into blocks themselves; these run on the calling thread.
// c (m x n) = a (m x k) * b (k x n), whose rows begin `b_row` elements apart; 0: n
template <class T>
void block_product(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, int64_t b_row = 0);
// c (m x n) = a (m x k) * b^T, with b (n x k); where `add`, c += that
template <class T>
void block_product_nt(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool add);
// c (m x n) += a^T * b, with a (k x m) and b (k x n)
template <class T>
void add_block_product_tn(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c);
// sum (size) = the sum of the `count` >= 1 arrays of `size` numbers at `pieces`, in order; on all threads
template <class T>
void add_pieces(const T* pieces, int64_t count, int64_t size, T* sum);

// The rows of a block of gemm() for these sizes, and the number of blocks: what RowsDone is called with.
int64_t gemm_block_rows(int64_t m, int64_t n, int64_t k);
int64_t gemm_block_count(int64_t m, int64_t n, int64_t k);

}  // namespace fovea
