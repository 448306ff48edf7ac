#include "cuda/runtime/kernel_score.h"

#include <fmt/format.h>

#ifdef FOVEA_SIM
#include "cuda/sim/queue.h"
#include "cuda/sim/score.h"
#endif

namespace fovea::cuda {

AccessScore& AccessScore::operator+=(const AccessScore& other) {
  requests += other.requests;
  partial += other.partial;
  lanes += other.lanes;
  bytes += other.bytes;
  distinct_bytes += other.distinct_bytes;
  sectors += other.sectors;
  lines += other.lines;
  wavefronts += other.wavefronts;
  conflicts += other.conflicts;
  return *this;
}

namespace {

AccessScore sum(const std::vector<BufferScore>& buffers, AccessScore BufferScore::*part) {
  AccessScore total;
  for (const BufferScore& buffer : buffers) total += buffer.*part;
  return total;
}

AccessScore of(const std::vector<BufferScore>& buffers, const void* address, AccessScore BufferScore::*part) {
  for (const BufferScore& buffer : buffers)
    if (uintptr_t(address) - uintptr_t(buffer.begin) < uintptr_t(buffer.buffer_bytes)) return buffer.*part;
  return {};
}

std::string size(int64_t bytes) {
  if (bytes < 10000) return fmt::format("{} bytes", bytes);
  return bytes < 10000000 ? fmt::format("{:.1f} KB", double(bytes) / 1e3)
                          : fmt::format("{:.1f} MB", double(bytes) / 1e6);
}

}  // namespace

AccessScore KernelScore::reads() const { return sum(buffers, &BufferScore::reads); }
AccessScore KernelScore::writes() const { return sum(buffers, &BufferScore::writes); }
AccessScore KernelScore::reads(const void* address) const {
  return of(buffers, address, &BufferScore::reads);
}
AccessScore KernelScore::writes(const void* address) const {
  return of(buffers, address, &BufferScore::writes);
}

std::string describe(const KernelScore& score) {
  AccessScore all = score.reads();
  for (const AccessScore& more : {score.writes(), score.shared_reads, score.shared_writes}) all += more;
  std::string text = fmt::format("[simulator] {}: {} x {} threads, {:.1f} lanes a request", score.kernel,
                                 score.blocks, score.threads, all.lanes_per_request());
  if (score.barriers > 0)
    text += fmt::format(", {:.4g} barriers a block", double(score.barriers) / double(score.blocks));
  for (const BufferScore& buffer : score.buffers) {
    for (const auto& [verb, part] : {std::pair("reads", &buffer.reads), std::pair("writes", &buffer.writes)})
      if (part->requests > 0)
        text += fmt::format("\n[simulator]   {:<6} {}: {}, each {:.2f} times; {} requests of {:.2f} sectors",
                            verb, buffer.name, size(part->distinct_bytes), part->times(), part->requests,
                            part->sectors_per_request());
    if (buffer.atomics > 0)
      text += fmt::format("\n[simulator]   {} atomic operations on {}", buffer.atomics, buffer.name);
  }
  const AccessScore &reads = score.shared_reads, &writes = score.shared_writes;
  if (reads.requests + writes.requests > 0)
    text += fmt::format("\n[simulator]   shared memory: {} reads and {} writes, {} bank conflicts",
                        reads.requests, writes.requests, reads.conflicts + writes.conflicts);
  return text;
}

#if defined(FOVEA_SIM) && defined(FOVEA_SIM_CHECKS)

struct ScoreKernels::Counting {
  sim::Scorer scorer;
  Counting() { sim::watch(scorer); }
  ~Counting() { sim::unwatch(scorer); }
};
ScoreKernels::ScoreKernels() : counting_(std::make_unique<Counting>()) {}
bool ScoreKernels::possible() { return true; }
std::vector<KernelScore> ScoreKernels::scores() const {
  sim::finish_all();
  return counting_->scorer.scores();
}
void name_buffer(const void* address, const std::string& name) {
  sim::finish_all();
  sim::name_buffer(address, name);
}

#else

struct ScoreKernels::Counting {};
ScoreKernels::ScoreKernels() = default;
bool ScoreKernels::possible() { return false; }
std::vector<KernelScore> ScoreKernels::scores() const { return {}; }
void name_buffer(const void*, const std::string&) {}

#endif

ScoreKernels::~ScoreKernels() = default;

}  // namespace fovea::cuda
