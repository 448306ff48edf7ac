#include <catch2/catch.hpp>
#include <numeric>
#include <vector>

#include "cuda/kernels/elementwise.h"
#include "cuda/runtime/counters.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "tests/support/execution.h"

using namespace fovea;
using Catch::Contains;

namespace {

std::vector<float> on_host(const float* device, size_t n) {
  std::vector<float> values(n);
  cuda::copy_to_host(values.data(), device, n * sizeof(float));
  return values;
}

}  // namespace

TEST_CASE("there is a CUDA device, with properties") {
  CHECK(cuda::device_count() >= 1);
  const cuda::DeviceProperties& device = cuda::device_properties();
  CHECK_FALSE(device.name.empty());
  CHECK(device.multiprocessors > 0);
  CHECK(device.major * 10 + device.minor >= 75);
  CHECK(device.simulated == cuda::is_simulated());
  CHECK_THROWS_WITH(cuda::select_device(99), Contains("no CUDA device 99"));
}

TEST_CASE("device memory is reused, and counted") {
  cuda::release_cached_device_memory();
  const cuda::DeviceMemoryUse before = cuda::device_memory_use();
  void* a = cuda::allocate(1 << 20);
  CHECK(cuda::device_memory_use().current == before.current + (1 << 20));
  cuda::release(a);
  CHECK(cuda::device_memory_use().current == before.current);
  const int64_t reserved = cuda::device_memory_use().reserved - before.reserved;
  CHECK(reserved >= 1 << 20);
  CHECK(reserved <= (1 << 20) + 512);  // the simulator's blocks do not touch
  CHECK(cuda::device_memory_use().peak >= before.current + (1 << 20));
  const int64_t allocations = cuda::counters().allocations;
  void* b = cuda::allocate((1 << 20) - 100);
  CHECK(b == a);
  CHECK(cuda::counters().allocations == allocations);
  void* small = cuda::allocate(1000);
  CHECK(small != a);
  cuda::release(b);
  cuda::release(small);
  cuda::release_cached_device_memory();
  CHECK(cuda::device_memory_use().reserved == before.reserved);
  cuda::reset_device_peak();
  CHECK(cuda::device_memory_use().peak == cuda::device_memory_use().current);
}

TEST_CASE("a block is not given to another stream while its own may still use it") {
  void* a = cuda::allocate(5000);
  cuda::release(a);
  const cuda::Stream other;
  {
    const cuda::StreamGuard uses(other);
    void* b = cuda::allocate(5000);
    CHECK(b != a);
    cuda::release(b);
    CHECK(cuda::allocate(5000) == b);
    cuda::release(b);
  }
  void* c = cuda::allocate(5000);
  CHECK(c == a);
  cuda::release(c);
}

TEST_CASE("when device memory runs out, cached memory is freed first, and then the error has the numbers") {
  const size_t total = cuda::device_properties().memory_bytes;
  CHECK_THROWS_WITH(cuda::allocate(total * 2), Contains("CUDA device is out of memory") &&
                                                   Contains("MB requested") && Contains("MB in use here") &&
                                                   Contains("MB free of"));
  CHECK_THROWS_AS(cuda::allocate(total * 2), Error);  // and not only as a CudaError
  if (!cuda::is_simulated()) return;                  // other programs may use a real one
  cuda::release_cached_device_memory();
  void* half = cuda::allocate(total * 5 / 8);
  cuda::release(half);
  void* other = cuda::allocate(total * 6 / 8);  // does not fit beside the cached block
  CHECK(other != nullptr);
  cuda::release(other);
  cuda::release_cached_device_memory();
}

TEST_CASE("events order streams and measure the time between") {
  const cuda::Stream first, second;
  cuda::Event begin, end;
  begin.record(first);
  end.wait(second);
  {
    const cuda::StreamGuard uses(first);
    const cuda::Workspace<float> x(1000);
    cuda::fill(x.data(), 3.0f, 1000);
    CHECK(on_host(x.data(), 1000)[999] == 3.0f);
  }
  end.record(first);
  end.synchronize();
  CHECK(end.milliseconds_since(begin) >= 0);
}

TEST_CASE("a captured graph replays on new numbers in the same places, without allocating or waiting") {
  constexpr int64_t n = 1000;
  const cuda::Workspace<float> x(n), sum(n);
  cuda::fill(x.data(), 1.0f, n);
  cuda::fill(sum.data(), 0.0f, n);
  const auto work = [&] {
    const cuda::Workspace<float> scratch(n);  // from the graph's own pool
    cuda::fill(scratch.data(), 10.0f, n);
    cuda::accumulate(scratch.data(), static_cast<const float*>(x.data()), n);
    cuda::accumulate(sum.data(), static_cast<const float*>(scratch.data()), n);
  };
  cuda::Graph graph;
  CHECK_FALSE(graph.captured());
  CHECK_THROWS_WITH(graph.replay(), Contains("never captured"));
  graph.warm_up(work);
  CHECK(on_host(sum.data(), n)[5] == 11.0f);
  graph.capture(work);
  CHECK(graph.captured());
  CHECK(on_host(sum.data(), n)[5] == 11.0f);  // recorded, not run
  {
    const cuda::Stream other;
    const cuda::StreamGuard guard(other);
    CHECK_THROWS_WITH(graph.replay(), Contains("another stream"));
  }
  { const cuda::Workspace<float> of_somebody_else(n); }

  const cuda::Counters before = cuda::counters();
  for (int step = 0; step < 3; ++step) graph.replay();
  CHECK(cuda::counters().graph_replays == before.graph_replays + 3);
  CHECK(cuda::counters().allocations == before.allocations);
  CHECK(cuda::counters().synchronizations == before.synchronizations);
  CHECK(cuda::counters().launches == before.launches);
  CHECK(on_host(sum.data(), n)[n - 1] == 44.0f);
  cuda::fill(x.data(), 2.0f, n);
  graph.replay();
  CHECK(on_host(sum.data(), n)[0] == 56.0f);
}

TEST_CASE("work that makes the host wait cannot be captured, and leaves no capture active") {
  const cuda::Workspace<float> x(10);
  cuda::fill(x.data(), 1.0f, 10);
  cuda::Graph graph;
  CHECK_THROWS_WITH(graph.capture([&] { on_host(x.data(), 10); }),
                    Contains("not permitted when stream is capturing"));
  CHECK_FALSE(graph.captured());
  CHECK_FALSE(cuda::is_capturing());
  CHECK(on_host(x.data(), 10)[0] == 1.0f);
}

TEST_CASE("numbers go through pinned memory to the device and back") {
  const cuda::PinnedMemory from(400), to(400);
  float* numbers = reinterpret_cast<float*>(from.data());
  std::iota(numbers, numbers + 100, 0.0f);
  const cuda::Workspace<float> x(100);
  cuda::copy_to_device(x.data(), from.data(), 400);
  cuda::copy_to_host_async(to.data(), x.data(), 400);
  cuda::current_stream().synchronize();
  CHECK(reinterpret_cast<const float*>(to.data())[99] == 99.0f);
}

TEST_CASE("a deferred device does its work when the host waits, and reads pinned memory then") {
  if (!cuda::is_simulated()) return;
  const WithExecution with(cuda::Execution::deferred);
  cuda::PinnedMemory pinned(4);
  float& source = *reinterpret_cast<float*>(pinned.data());
  float pageable = 1;
  const cuda::Workspace<float> x(1), y(1);
  source = 1;
  cuda::copy_to_device(x.data(), &source, 4);
  cuda::copy_to_device(y.data(), &pageable, 4);
  source = pageable = 2;
  CHECK(on_host(x.data(), 1)[0] == 2.0f);
  CHECK(on_host(y.data(), 1)[0] == 1.0f);
  const cuda::Stream other;  // and on any stream, in the order of the requests
  cuda::fill(x.data(), 3.0f, 1);
  {
    const cuda::StreamGuard uses(other);
    cuda::accumulate(y.data(), static_cast<const float*>(x.data()), 1);
  }
  other.synchronize();
  cuda::fill(y.data(), 9.0f, 1);
  cuda::copy_to_host_async(&source, y.data(), 4);
  CHECK(source == 2.0f);
  cuda::synchronize();
  CHECK(source == 9.0f);
}

TEST_CASE("an event of a deferred device is done when the host has waited for it or for a later one") {
  if (!cuda::is_simulated()) return;
  const WithExecution with(cuda::Execution::deferred);
  cuda::Event first, second, third, never;
  CHECK(never.done());
  for (cuda::Event* event : {&first, &second, &third}) event->record(cuda::current_stream());
  CHECK_FALSE(first.done());
  CHECK_THROWS_WITH(second.milliseconds_since(first), Contains("device not ready"));
  const cuda::Counters before = cuda::counters();
  second.throttle();
  CHECK(first.done());
  CHECK(second.done());
  CHECK_FALSE(third.done());
  CHECK(second.milliseconds_since(first) >= 0);
  second.throttle();  // done: no wait
  CHECK(cuda::counters().throttles == before.throttles + 1);
  CHECK(cuda::counters().synchronizations == before.synchronizations);
  third.synchronize();
  CHECK(third.done());
  CHECK(cuda::counters().synchronizations == before.synchronizations + 1);

  // In a graph, at each replay.
  const cuda::Workspace<float> x(1);
  cuda::Graph graph;
  graph.capture([&] {
    first.record(cuda::current_stream());
    cuda::fill(x.data(), 4.0f, 1);
    second.record(cuda::current_stream());
  });
  CHECK(second.done());
  for (int replay = 0; replay < 2; ++replay) {
    graph.replay();
    CHECK_FALSE(first.done());
    second.synchronize();
    CHECK(second.milliseconds_since(first) >= 0);
  }
  CHECK(on_host(x.data(), 1)[0] == 4.0f);
}

TEST_CASE("a fault on a deferred device is thrown once, where the host next waits") {
  if (!cuda::is_simulated()) return;
  const WithExecution with(cuda::Execution::deferred);
  const std::vector<float> numbers(100);
  void* gone = cuda::allocate(400);
  cuda::release(gone);
  CHECK_NOTHROW(cuda::copy_to_device(gone, numbers.data(), 400));
  cuda::release_cached_device_memory();  // which waits, and cannot throw
  CHECK_THROWS_WITH(cuda::current_stream().synchronize(),
                    Contains("copy of 400 bytes: the destination is wrong"));
  CHECK_NOTHROW(cuda::synchronize());
}
