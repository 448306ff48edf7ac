#pragma once
#include <functional>

#include "cuda/runtime/memory.h"

typedef struct CUgraph_st* cudaGraph_t;
typedef struct CUgraphExec_st* cudaGraphExec_t;

namespace fovea::cuda {

// A recorded sequence of device work, replayed by one call: the launches of a training step then cost the
// host nothing. What `work` allocates comes from the graph's own pool, at the same addresses each time.
class Graph {
 public:
  Graph() = default;
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // Runs the work directly, in the graph's pool. Call it once or twice before capture(), so that the pool has
  // what it needs.
  void warm_up(const std::function<void()>& work);

  // Records the device work of `work` on the current stream; nothing runs. `work` must not make the host wait
  // or read what the device computes: if it does, capture() drops the recording and throws CudaError.
  void capture(const std::function<void()>& work);

  bool captured() const { return executable_ != nullptr; }
  // Replays on the current stream, which must be that of capture(), or it throws CudaError: the graph's
  // kernels use that stream's tickets (Stream::tickets).
  void replay() const;

  // One of many runs of the same work: the first two are warm-ups, the third is captured and replayed, later
  // ones are replayed. `after_capture` then supplies what the capture requested outside the graph.
  void run(const std::function<void()>& work, const std::function<void()>& after_capture);

 private:
  MemoryPool pool_;
  cudaGraphExec_t executable_ = nullptr;
  const unsigned* tickets_ = nullptr;  // those of the stream of capture()
  int warm_ups_ = 0;                   // of run()
};

bool is_capturing();  // on this thread

}  // namespace fovea::cuda
