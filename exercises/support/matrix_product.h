#pragma once
// For the exercises of chapter 5: launches of c = a b, a reference, and matrices that show what is mixed up.
#include "check.h"
#include "kernels.h"

namespace fovea::learn {

// (m, n, k, a, b, c): a is m x k, b is k x n.
using ProductKernel = void (*)(int, int, int, const float*, const float*, float*);

// Blocks of `threads` x `threads` threads, each with `side` x `side` numbers of c.
struct ProductLaunch {
  ProductKernel kernel;
  unsigned threads, side;
  cuda::LaunchConfig config(int m, int n) const {
    return {dim3((unsigned(n) + side - 1) / side, (unsigned(m) + side - 1) / side), dim3(threads, threads)};
  }
};

inline std::vector<float> product_of(const ProductLaunch& launch, int m, int n, int k,
                                     const std::vector<float>& a, const std::vector<float>& b) {
  const Buffer<float> device_a(a), device_b(b), c(int64_t(m) * n);
  cuda::launch(launch.kernel, launch.config(m, n), m, n, k, device_a.data(), device_b.data(), c.data());
  return c.values();
}

// In every order of the threads, against sums in double.
inline void expect_product(const ProductLaunch& launch, int m, int n, int k) {
  const std::vector<float> a = sample_float(int64_t(m) * k, 1), b = sample_float(int64_t(k) * n, 2);
  std::vector<double> expected(size_t(m) * size_t(n), 0.0);
  for (int i = 0; i < m; ++i)
    for (int l = 0; l < k; ++l)
      for (int j = 0; j < n; ++j) expected[i * n + j] += double(a[i * k + l]) * double(b[l * n + j]);
  expect_close(in_every_order([&] { return product_of(launch, m, n, k, a, b); }), expected,
               fmt::format("a ({} x {}) times b ({} x {})", m, k, k, n), 1e-5, {m, n});
}

// {{1, 2}, {3, 4}, {5, 6}} times {{1, 10}, {100, 1000}}: a wrong sum shows which numbers were multiplied.
inline void expect_small_product(const ProductLaunch& launch) {
  expect_close(product_of(launch, 3, 2, 2, {1, 2, 3, 4, 5, 6}, {1, 10, 100, 1000}),
               std::vector<double>{201, 2010, 403, 4030, 605, 6050},
               "{{1, 2}, {3, 4}, {5, 6}} times {{1, 10}, {100, 1000}}", 1e-5, {3, 2});
}

// a times the identity is a: a wrong place in c shows.
inline void expect_identity(const ProductLaunch& launch, int m, int n) {
  std::vector<float> a(size_t(m) * size_t(n)), identity(size_t(n) * size_t(n));
  for (int i = 0; i < m * n; ++i) a[i] = float(100 * (i / n) + i % n);
  for (int j = 0; j < n; ++j) identity[j * n + j] = 1;
  expect_close(product_of(launch, m, n, n, a, identity), std::vector<double>(a.begin(), a.end()),
               fmt::format("a ({} x {}, a[i][j] = 100 i + j) times the identity", m, n), 1e-5, {m, n});
}

// What one product costs.
struct ProductScore {
  cuda::KernelScore kernel;
  cuda::AccessScore a, b, c;  // a's and b's reads, c's writes
};
// Counted in one launch.
inline ProductScore score_of_product(const ProductLaunch& launch, int m, int n, int k) {
  const Buffer<float> a(sample_float(int64_t(m) * k, 1)), b(sample_float(int64_t(k) * n, 2)),
      c(int64_t(m) * n);
  const cuda::KernelScore score = score_of(
      [&] { cuda::launch(launch.kernel, launch.config(m, n), m, n, k, a.data(), b.data(), c.data()); });
  return {score, score.reads(a.data()), score.reads(b.data()), score.writes(c.data())};
}

}  // namespace fovea::learn
