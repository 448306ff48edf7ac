#include "ops/support/gemm.h"

#include <dnnl.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/storage.h"

namespace fovea {
namespace {

// oneDNN uses all available threads; inside our blocks it must use one, or the number of threads would decide
// where its sums are cut.
class OneThread {
 public:
  OneThread() : threads_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(threads_); }

 private:
  int threads_;
};

struct Operand {
  bool transposed;
  int64_t leading;  // elements from one stored row to the next
};

// What happens to the numbers in c.
enum class Before { overwritten, added_to };

void multiply(int64_t m, int64_t n, int64_t k, const float* a, Operand ta, const float* b, Operand tb,
              float* c, int64_t ldc, Before before = Before::overwritten) {
  const bool add = before == Before::added_to;
  if (k == 0) {  // oneDNN would write nothing
    for (int64_t i = 0; i < m && !add; ++i) std::fill_n(c + i * ldc, n, 0.0f);
    return;
  }
  const OneThread one_thread;
  const dnnl_status_t status = dnnl_sgemm(ta.transposed ? 'T' : 'N', tb.transposed ? 'T' : 'N', m, n, k, 1.0f,
                                          a, ta.leading, b, tb.leading, add ? 1.0f : 0.0f, c, ldc);
  if (status != dnnl_success)
    std::fill_n(c, m * ldc, __builtin_nanf(""));  // cannot throw here, but must not fail silently
}

void multiply(int64_t m, int64_t n, int64_t k, const double* a, Operand ta, const double* b, Operand tb,
              double* c, int64_t ldc, Before before = Before::overwritten) {
  for (int64_t i = 0; i < m; ++i) {
    double* row = c + i * ldc;
    if (before == Before::overwritten) std::fill_n(row, n, 0.0);
    for (int64_t p = 0; p < k; ++p) {
      const double x = ta.transposed ? a[p * ta.leading + i] : a[i * ta.leading + p];
      for (int64_t j = 0; j < n; ++j)
        row[j] += x * (tb.transposed ? b[j * tb.leading + p] : b[p * tb.leading + j]);
    }
  }
}

// A block's input and output rows should fit in the second-level cache. oneDNN loses hardly anything on a
// block of 32 rows, what follows a block (RowsDone) more.
constexpr int64_t block_bytes = 1 << 19;
constexpr int64_t min_rows = 32;

// Few rows and many columns (the classifier at the end of a network): cut the columns instead.
constexpr int64_t few_rows = 64, block_columns = 256;

template <class T>
void gemm_by_columns(int64_t m, int64_t n, int64_t k, const T* a, const T* b, Operand tb, T* c,
                     Before before = Before::overwritten) {
  parallel_chunks(n, block_columns, [&](int64_t, int64_t begin, int64_t end) {
    const T* columns = tb.transposed ? b + begin * tb.leading : b + begin;
    multiply(m, end - begin, k, a, {false, k}, columns, tb, c + begin, n, before);
  });
}

}  // namespace

// Eight blocks, or a multiple of it, or else 4 or 2, so that 2, 4 or 8 threads get equal shares.
int64_t gemm_block_rows(int64_t m, int64_t n, int64_t k) {
  const int64_t cached = std::max(min_rows, block_bytes / int64_t(sizeof(float)) / (n + k) / 16 * 16);
  int64_t blocks = std::max<int64_t>(1, chunk_count(chunk_count(m, cached), 8)) * 8;
  while (blocks > 1 && m < blocks * min_rows) blocks /= 2;
  return std::max<int64_t>(1, chunk_count(m, blocks));
}

int64_t gemm_block_count(int64_t m, int64_t n, int64_t k) { return chunk_count(m, gemm_block_rows(m, n, k)); }

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, const RowsDone& done) {
  if (m == 0 || n == 0) return;
  if (m <= few_rows && n >= 2 * block_columns && !done) return gemm_by_columns(m, n, k, a, b, {false, n}, c);
  parallel_chunks(m, gemm_block_rows(m, n, k), [&](int64_t block, int64_t begin, int64_t end) {
    multiply(end - begin, n, k, a + begin * k, {false, k}, b, {false, n}, c + begin * n, n);
    if (done) done(block, begin, end);
  });
}

template <class T>
void gemm_nt(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool add) {
  if (m == 0 || n == 0) return;
  const Before before = add ? Before::added_to : Before::overwritten;
  if (m <= few_rows && n >= 2 * block_columns) return gemm_by_columns(m, n, k, a, b, {true, k}, c, before);
  parallel_chunks(m, gemm_block_rows(m, n, k), [&](int64_t, int64_t begin, int64_t end) {
    multiply(end - begin, n, k, a + begin * k, {false, k}, b, {true, k}, c + begin * n, n, before);
  });
}

template <class T>
void gemm_tn(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c) {
  if (m == 0 || n == 0) return;
  // Partial sums over pieces of k: enough for every core, but no more memory than the operands take.
  constexpr int64_t max_pieces = 16, min_piece = 256;
  const int64_t fitting = std::max<int64_t>(1, k * (m + n) / (m * n));
  const int64_t pieces = std::clamp<int64_t>(chunk_count(k, min_piece), 1, std::min(max_pieces, fitting));
  if (pieces == 1) {
    parallel_chunks(m, std::max<int64_t>(16, (m + 7) / 8), [&](int64_t, int64_t begin, int64_t end) {
      multiply(end - begin, n, k, a + begin, {true, m}, b, {false, n}, c + begin * n, n);
    });
    return;
  }
  const Storage partial(pieces * m * n * int64_t(sizeof(T)), Device::cpu);
  T* sums = reinterpret_cast<T*>(partial.data());
  parallel_chunks(k, chunk_count(k, pieces), [&](int64_t piece, int64_t begin, int64_t end) {
    multiply(m, n, end - begin, a + begin * m, {true, m}, b + begin * n, {false, n}, sums + piece * m * n, n);
  });
  add_pieces(sums, chunk_count(k, chunk_count(k, pieces)), m * n, c);
}

template <class T>
void add_pieces(const T* pieces, int64_t count, int64_t size, T* sum) {
  parallel_for(size, 4096, [&](int64_t begin, int64_t end) {
    std::copy(pieces + begin, pieces + end, sum + begin);
    for (int64_t piece = 1; piece < count; ++piece) {
      const T* term = pieces + piece * size;
      for (int64_t i = begin; i < end; ++i) sum[i] += term[i];
    }
  });
}

template <class T>
void block_product(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, int64_t b_row) {
  multiply(m, n, k, a, {false, k}, b, {false, b_row ? b_row : n}, c, n);
}

template <class T>
void block_product_nt(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool add) {
  multiply(m, n, k, a, {false, k}, b, {true, k}, c, n, add ? Before::added_to : Before::overwritten);
}

template <class T>
void add_block_product_tn(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c) {
  multiply(m, n, k, a, {true, m}, b, {false, n}, c, n, Before::added_to);
}

// T is a type, which takes no parentheses: NOLINTBEGIN(bugprone-macro-parentheses)
#define INSTANTIATE(T)                                                                        \
  template void gemm<T>(int64_t, int64_t, int64_t, const T*, const T*, T*, const RowsDone&);  \
  template void gemm_nt<T>(int64_t, int64_t, int64_t, const T*, const T*, T*, bool);          \
  template void gemm_tn<T>(int64_t, int64_t, int64_t, const T*, const T*, T*);                \
  template void block_product<T>(int64_t, int64_t, int64_t, const T*, const T*, T*, int64_t); \
  template void block_product_nt<T>(int64_t, int64_t, int64_t, const T*, const T*, T*, bool); \
  template void add_block_product_tn<T>(int64_t, int64_t, int64_t, const T*, const T*, T*);   \
  template void add_pieces<T>(const T*, int64_t, int64_t, T*);
INSTANTIATE(float)
INSTANTIATE(double)
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace fovea
