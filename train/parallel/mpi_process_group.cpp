#include "train/parallel/mpi_process_group.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "core/error.h"
#include "core/parallel.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/memory.h"
#include "train/parallel/nccl_communicator.h"

#ifdef FOVEA_MPI
#include <mpi.h>
#endif

namespace fovea {
namespace {

// The number of processes, which the launchers of Open MPI, MPICH and Slurm pass to each process.
int launched_processes() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"})
    if (const char* value = std::getenv(name)) return std::atoi(value);
  return 1;
}

#ifdef FOVEA_MPI
void require_success(int code, const char* what) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (code != MPI_SUCCESS) MPI_Error_string(code, text, &length);
  require(code == MPI_SUCCESS, "[mpi] {} failed: {}", what, text);
}

bool is_joined() {
  int begun = 0, ended = 0;
  MPI_Initialized(&begun);
  MPI_Finalized(&ended);
  return begun && !ended;
}

// This process among those on the same machine.
struct LocalRank {
  int rank = 0, size = 1;
};
LocalRank local_rank() {
  MPI_Comm here = MPI_COMM_NULL;
  LocalRank local;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
  MPI_Comm_rank(here, &local.rank);
  MPI_Comm_size(here, &local.size);
  MPI_Comm_free(&here);
  return local;
}

// Open MPI binds a process to one core if it can; otherwise each process would use all cores.
void share_the_cores(LocalRank local) {
  if (std::getenv("OMP_NUM_THREADS")) return;
  const int share = int(::sysconf(_SC_NPROCESSORS_ONLN)) / local.size;
  set_num_threads(std::max(1, std::min(num_threads(), share)));
}

class MpiProcessGroup : public ProcessGroup {
 public:
  MpiProcessGroup() {
    int provided = 0;
    require_success(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    require(provided >= MPI_THREAD_FUNNELED, "[mpi] this MPI library cannot be used with threads");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    share_the_cores(local_rank());
  }
  ~MpiProcessGroup() override {
#ifdef FOVEA_NCCL
    if (std::uncaught_exceptions() > 0) (void)nccl_.release();  // destroying it may wait for the others
#endif
    if (std::uncaught_exceptions() == 0) MPI_Finalize();  // which waits for all processes
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  std::vector<double> all_gather(std::span<const double> values) override {
    std::vector<double> all(values.size() * size_t(size_));
    const int count = int(values.size());
    require_success(
        MPI_Allgather(values.data(), count, MPI_DOUBLE, all.data(), count, MPI_DOUBLE, MPI_COMM_WORLD),
        "MPI_Allgather");
    return all;
  }

  // Each process adds one part of the numbers, rank by rank, and sends the sums to the others. This moves as
  // much as MPI_Allreduce does, in an order that does not depend on the library.
  using ProcessGroup::all_reduce;
  void all_reduce(std::span<float> values) override {
    constexpr size_t max_part = size_t(1) << 26;  // MPI counts in int
    for (size_t begin = 0; begin < values.size(); begin += max_part)
      all_reduce_part(values.subspan(begin, std::min(max_part, values.size() - begin)));
  }

  void select_device() override {
    if (!cuda::is_simulated()) cuda::select_device(local_rank().rank % cuda::device_count());
#ifdef FOVEA_NCCL
    if (nccl_) return;
    NcclId id = make_nccl_id();  // all use the one of process 0
    require_success(MPI_Bcast(&id, int(sizeof id), MPI_BYTE, 0, MPI_COMM_WORLD), "MPI_Bcast");
    nccl_ = std::make_unique<NcclCommunicator>(id, rank_, size_);
#endif
  }

#ifdef FOVEA_NCCL
  bool can_be_captured() const override { return true; }
  void all_gather_on_device(void* all, size_t bytes) override { nccl_->all_gather(all, bytes); }
  void all_reduce_on_device(const std::vector<DeviceFloats>& tensors) override { nccl_->all_reduce(tensors); }
#else
  // Through the host: for the simulated device, and for GPUs in a build without NCCL.
  bool can_be_captured() const override { return false; }

  void all_gather_on_device(void* all, size_t bytes) override {
    std::byte* parts = static_cast<std::byte*>(all);
    std::vector<std::byte> own(bytes), gathered(bytes * size_t(size_));
    cuda::copy_to_host(own.data(), parts + bytes * size_t(rank_), bytes);
    const int count = int(bytes);
    require_success(
        MPI_Allgather(own.data(), count, MPI_BYTE, gathered.data(), count, MPI_BYTE, MPI_COMM_WORLD),
        "MPI_Allgather");
    cuda::copy_to_device(all, gathered.data(), gathered.size());
  }

  void all_reduce_on_device(const std::vector<DeviceFloats>& tensors) override {
    int64_t count = 0;
    for (const DeviceFloats& t : tensors) count += t.count;
    std::vector<float> all(static_cast<size_t>(count));
    float* at = all.data();
    for (const DeviceFloats& t : tensors) {
      cuda::copy_to_host(at, t.values, size_t(t.count) * sizeof(float));
      at += t.count;
    }
    all_reduce(all);
    at = all.data();
    for (const DeviceFloats& t : tensors) {
      cuda::copy_to_device(t.values, at, size_t(t.count) * sizeof(float));
      at += t.count;
    }
  }
#endif

 private:
  void all_reduce_part(std::span<float> values) {
    const size_t part = (values.size() + size_t(size_) - 1) / size_t(size_);
    mine_.assign(part * size_t(size_), 0);
    others_.resize(mine_.size());
    std::copy(values.begin(), values.end(), mine_.begin());
    const int count = int(part);
    require_success(
        MPI_Alltoall(mine_.data(), count, MPI_FLOAT, others_.data(), count, MPI_FLOAT, MPI_COMM_WORLD),
        "MPI_Alltoall");
    for (int rank = 1; rank < size_; ++rank)
      for (size_t i = 0; i < part; ++i) others_[i] += others_[size_t(rank) * part + i];
    require_success(
        MPI_Allgather(others_.data(), count, MPI_FLOAT, mine_.data(), count, MPI_FLOAT, MPI_COMM_WORLD),
        "MPI_Allgather");
    std::copy_n(mine_.begin(), values.size(), values.begin());
  }

  int rank_ = 0, size_ = 1;
  std::vector<float> mine_, others_;  // kept, since they are as large as all gradients
#ifdef FOVEA_NCCL
  std::unique_ptr<NcclCommunicator> nccl_;  // made by select_device()
#endif
};
#endif

}  // namespace

std::unique_ptr<ProcessGroup> join_processes() {
  if (launched_processes() <= 1) return nullptr;
#ifdef FOVEA_MPI
  return std::make_unique<MpiProcessGroup>();
#else
  fail(
      "mpirun started {} processes, but this program was built without MPI: install libopenmpi-dev and build "
      "with -DFOVEA_MPI=ON, or start it without mpirun",
      launched_processes());
#endif
}

int joined_rank() {
  int rank = 0;
#ifdef FOVEA_MPI
  if (is_joined()) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
#endif
  return rank;
}

void abort_processes() {
#ifdef FOVEA_MPI
  if (!is_joined()) return;
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, 1);
#endif
}

}  // namespace fovea
