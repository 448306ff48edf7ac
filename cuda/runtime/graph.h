#pragma once
#include <functional>

#include "cuda/runtime/memory.h"

typedef struct CUgraph_st* cudaGraph_t;
typedef struct CUgraphExec_st* cudaGraphExec_t;

namespace fovea::cuda {

// A recorded sequence of device work, replayed by one call: the launches of a training step cost the host
// nothing then. What `work` allocates comes from a pool of the graph's own, at the same addresses each time.
class Graph {
 public:
  Graph() = default;
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // Runs the work as it is, in the graph's pool: once or twice before capture(), so that the pool has what it
  // needs.
  void warm_up(const std::function<void()>& work);

  // Records what `work` asks of the device on the current stream; nothing runs. `work` must not make the host
  // wait, nor read what the device computes. Throws CudaError, and forgets the recording, where it does.
  void capture(const std::function<void()>& work);

  bool captured() const { return executable_ != nullptr; }
  // On the current stream, which must be that of capture(), or it throws CudaError: kernels of the graph hold
  // that stream's tickets (Stream::tickets).
  void replay() const;

  // One of many runs of the same work: the first two are warm-ups, the third is captured and replayed, later
  // ones are replayed. `after_capture` brings what the capture asked for beside the graph.
  void run(const std::function<void()>& work, const std::function<void()>& after_capture);

 private:
  MemoryPool pool_;
  cudaGraphExec_t executable_ = nullptr;
  const unsigned* tickets_ = nullptr;  // those of the stream of capture()
  int warm_ups_ = 0;                   // of run()
};

bool is_capturing();  // on this thread

}  // namespace fovea::cuda
