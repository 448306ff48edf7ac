#include "cuda/runtime/profile.h"

#include <catch2/catch.hpp>

#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/gemm.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("a launch timer in a graph names each launch and counts the bytes of its buffers") {
  constexpr int64_t n = 1000;  // of 4 bytes
  const cuda::Workspace<float> x(n), sum(n);
  const auto work = [&] {
    cuda::fill(x.data(), 2.0f, n);
    cuda::accumulate(sum.data(), static_cast<const float*>(x.data()), n);
    cuda::fill_bytes(sum.data(), 0, 100);
    cuda::copy_on_device(sum.data(), x.data(), 400);
  };
  cuda::fill(sum.data(), 1.0f, n);
  cuda::Graph graph;
  cuda::LaunchTimer timer;
  CHECK(cuda::LaunchTimer::running());
  graph.capture([&] {
    work();
    timer.stop();
  });
  CHECK_FALSE(cuda::LaunchTimer::running());
  work();  // is not recorded
  graph.replay();
  const std::vector<cuda::LaunchTime> times = timer.times();
  REQUIRE(times.size() == 4);
  CHECK(times[0].kernel == "fill_naive<float>");
  CHECK(times[0].bytes == 4 * n);
  CHECK(times[1].kernel == "accumulate_packed<float>");
  CHECK(times[1].bytes == 12 * n);  // the sum is read and written
  CHECK(times[2].kernel == "fill");
  CHECK(times[2].bytes == 100);
  CHECK(times[3].kernel == "copy");
  CHECK(times[3].bytes == 800);
  for (const cuda::LaunchTime& time : times) CHECK(time.seconds >= 0);
}

TEST_CASE("a matrix product is recorded with the bytes of its operands and result") {
  const cuda::Workspace<float> a(6 * 5), b(5 * 7), c(6 * 7);
  cuda::fill(a.data(), 1.0f, 6 * 5);
  cuda::fill(b.data(), 1.0f, 5 * 7);
  cuda::LaunchTimer timer;
  cuda::gemm<float>(6, 7, 5, a.data(), b.data(), nullptr, c.data());
  CHECK_THROWS_WITH(timer.times(), Contains("before it was stopped"));
  timer.stop();
  CHECK_THROWS_WITH(timer.stop(), Contains("stopped twice"));
  const std::vector<cuda::LaunchTime> times = timer.times();
  REQUIRE(times.size() == 1);
  CHECK(times[0].kernel == "gemm");
  CHECK(times[0].bytes == 4 * (6 * 5 + 5 * 7 + 6 * 7));
}

TEST_CASE("bytes of buffers: from each pointer to its buffer's end, each buffer once") {
  const cuda::Workspace<float> x(1000), y(10);
  struct {
    int number = 7;
    const float *first, *again, *other, *host;
  } arguments;
  const float on_host = 0;
  arguments.first = x.data() + 900;
  arguments.again = x.data() + 200;
  arguments.other = y.data();
  arguments.host = &on_host;
  CHECK(cuda::bytes_of_buffers(&arguments, sizeof arguments) == 800 * 4 + 40);
  arguments.other = x.data() + 1000;  // one past the end
  CHECK(cuda::bytes_of_buffers(&arguments, sizeof arguments) == 800 * 4);
  CHECK(cuda::bytes_of_buffers(&arguments, 0) == 0);
}

TEST_CASE("kernels are named without namespaces and parameters") {
  CHECK(cuda::short_kernel_name("void fovea::cuda::(anonymous namespace)::add<float, 4>(float*, long)") ==
        "add<float, 4>");
  CHECK(cuda::short_kernel_name("fovea::cuda::(anonymous namespace)::finish_norm(double const*, long)") ==
        "finish_norm");
  CHECK(cuda::short_kernel_name(
            "void fovea::cuda::(anonymous namespace)::node<fovea::cuda::Swish, (int)8>(int)") ==
        "node<Swish, 8>");
}
