#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fovea::cuda {

// What the memory system of a GPU would have to do for the reads, or for the writes, of one launch. A request
// is one instruction of one warp: one access of each lane that takes part. cuda/sim/README.md says how
// accesses are joined to requests, and where that is an approximation.
struct AccessScore {
  int64_t requests = 0;
  int64_t partial = 0;         // requests in which some lane of the warp takes no part
  int64_t lanes = 0;           // that take part, over all requests
  int64_t bytes = 0;           // that the threads ask for
  int64_t distinct_bytes = 0;  // of these, each address counted once; of shared memory 0
  int64_t sectors = 0;         // global memory: of 32 bytes, that the requests touch
  int64_t lines = 0;           // global memory: of 128 bytes
  int64_t wavefronts = 0;      // shared memory: rounds in which 32 banks of 4 bytes serve the requests
  int64_t conflicts = 0;       // of these, those that only bank conflicts make necessary

  // Each is 0 where there are no accesses.
  double times() const { return distinct_bytes ? double(bytes) / double(distinct_bytes) : 0; }
  double sectors_per_request() const { return requests ? double(sectors) / double(requests) : 0; }
  double lanes_per_request() const { return requests ? double(lanes) / double(requests) : 0; }
  AccessScore& operator+=(const AccessScore& other);
};

// One buffer in global memory that a launch touches.
struct BufferScore {
  std::string name;  // that name_buffer() gave it, otherwise "buffer 1", in the order of the arguments
  const void* begin = nullptr;
  int64_t buffer_bytes = 0;
  AccessScore reads, writes;
  int64_t atomics = 0;  // operations; they are in neither of the two
};

// One launch that ran to its end.
struct KernelScore {
  std::string kernel;  // "axpy", "depthwise_tiled<3, 1, 8, float>"
  int64_t blocks = 0, threads = 0;
  int64_t barriers = 0;              // that a block passes, over all blocks
  std::vector<BufferScore> buffers;  // those that arguments point to, in their order, then others
  AccessScore shared_reads, shared_writes;

  // Of the buffer that holds this address: zeros where the launch does not touch it.
  AccessScore reads(const void* address) const;
  AccessScore writes(const void* address) const;
  // Of all global memory. A request that touches two buffers counts twice.
  AccessScore reads() const;
  AccessScore writes() const;
};

// Counts what the kernels do that any thread launches on the simulated device while one of these lives. The
// counts are the same on every machine, and for every order of threads. On a GPU, and where the simulator
// does not see accesses (under sanitizers), there are no scores.
class ScoreKernels {
 public:
  ScoreKernels();
  ~ScoreKernels();
  ScoreKernels(const ScoreKernels&) = delete;
  ScoreKernels& operator=(const ScoreKernels&) = delete;

  static bool possible();                   // whether there will be scores
  std::vector<KernelScore> scores() const;  // of the launches so far, in order; what is queued is done first

 private:
  struct Counting;
  std::unique_ptr<Counting> counting_;
};

// What a score and a film of a kernel call the buffer that holds this address, until it is released.
void name_buffer(const void* address, const std::string& name);

// Some lines of text, each of which begins with "[simulator]".
std::string describe(const KernelScore& score);

}  // namespace fovea::cuda
