#include "train/parallel/mpi_processes.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "core/error.h"
#include "core/parallel.h"
#include "core/processes.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/peers.h"
#include "train/parallel/nccl_peers.h"

#ifdef FOVEA_MPI
#include <mpi.h>
#endif

namespace fovea {
namespace {

// What the launchers of Open MPI, MPICH and Slurm tell each process: how many there are.
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

class MpiProcesses : public Processes {
 public:
  MpiProcesses() {
    int provided = 0;
    require_success(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    require(provided >= MPI_THREAD_FUNNELED, "[mpi] this MPI library cannot be used beside threads");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &count_);
  }
  ~MpiProcesses() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int count() const override { return count_; }

  std::vector<double> gather(std::span<const double> values) override {
    std::vector<double> all(values.size() * size_t(count_));
    const int size = int(values.size());
    require_success(
        MPI_Allgather(values.data(), size, MPI_DOUBLE, all.data(), size, MPI_DOUBLE, MPI_COMM_WORLD),
        "MPI_Allgather");
    return all;
  }

  // Each process adds one part of the numbers, rank by rank, and gives the sums to the others: what
  // MPI_Allreduce moves, in an order that no library chooses.
  void sum(std::span<float> values) override {
    constexpr size_t most = size_t(1) << 26;  // MPI counts in int
    for (size_t begin = 0; begin < values.size(); begin += most)
      sum_part(values.subspan(begin, std::min(most, values.size() - begin)));
  }

 private:
  void sum_part(std::span<float> values) {
    const size_t part = (values.size() + size_t(count_) - 1) / size_t(count_);
    mine_.assign(part * size_t(count_), 0);
    others_.resize(mine_.size());
    std::copy(values.begin(), values.end(), mine_.begin());
    const int size = int(part);
    require_success(
        MPI_Alltoall(mine_.data(), size, MPI_FLOAT, others_.data(), size, MPI_FLOAT, MPI_COMM_WORLD),
        "MPI_Alltoall");
    for (int rank = 1; rank < count_; ++rank)
      for (size_t i = 0; i < part; ++i) others_[i] += others_[size_t(rank) * part + i];
    require_success(
        MPI_Allgather(others_.data(), size, MPI_FLOAT, mine_.data(), size, MPI_FLOAT, MPI_COMM_WORLD),
        "MPI_Allgather");
    std::copy_n(mine_.begin(), values.size(), values.begin());
  }

  int rank_ = 0, count_ = 1;
  std::vector<float> mine_, others_;  // kept: of the size of all gradients
};

// Devices that reach each other by way of the host: the simulator's, and GPUs in a build without NCCL.
class HostPeers : public cuda::Peers {
 public:
  explicit HostPeers(Processes& processes) : processes_(processes) {}
  int rank() const override { return processes_.rank(); }
  int count() const override { return processes_.count(); }
  bool can_be_captured() const override { return false; }

  void gather(void* all, size_t bytes) override {
    std::byte* parts = static_cast<std::byte*>(all);
    std::vector<std::byte> own(bytes), gathered(bytes * size_t(count()));
    cuda::copy_to_host(own.data(), parts + bytes * size_t(rank()), bytes);
    const int size = int(bytes);
    require_success(
        MPI_Allgather(own.data(), size, MPI_BYTE, gathered.data(), size, MPI_BYTE, MPI_COMM_WORLD),
        "MPI_Allgather");
    cuda::copy_to_device(all, gathered.data(), gathered.size());
  }

  void sum(const std::vector<cuda::DeviceFloats>& tensors) override {
    int64_t count = 0;
    for (const cuda::DeviceFloats& t : tensors) count += t.count;
    std::vector<float> all(static_cast<size_t>(count));
    float* at = all.data();
    for (const cuda::DeviceFloats& t : tensors) {
      cuda::copy_to_host(at, t.values, size_t(t.count) * sizeof(float));
      at += t.count;
    }
    processes_.sum(all);
    at = all.data();
    for (const cuda::DeviceFloats& t : tensors) {
      cuda::copy_to_device(t.values, at, size_t(t.count) * sizeof(float));
      at += t.count;
    }
  }

 private:
  Processes& processes_;
};

struct Place {
  int rank = 0, count = 1;
};
Place place_on_this_machine() {
  MPI_Comm here = MPI_COMM_NULL;
  Place place;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
  MPI_Comm_rank(here, &place.rank);
  MPI_Comm_size(here, &place.count);
  MPI_Comm_free(&here);
  return place;
}

// Open MPI binds a process to one core where it can; where it does not, each would take all of them.
void share_the_cores(Place place) {
  if (std::getenv("OMP_NUM_THREADS")) return;
  const int share = int(::sysconf(_SC_NPROCESSORS_ONLN)) / place.count;
  set_num_threads(std::max(1, std::min(num_threads(), share)));
}
#endif

}  // namespace

void join_processes() {
  if (launched_processes() <= 1 || processes()) return;
#ifdef FOVEA_MPI
  set_processes(std::make_unique<MpiProcesses>());
  share_the_cores(place_on_this_machine());
#else
  fail(
      "{} processes were started by mpirun, but this program was built without MPI: install libopenmpi-dev "
      "and "
      "build with -DFOVEA_MPI=ON, or start it alone",
      launched_processes());
#endif
}

void join_devices() {
#ifdef FOVEA_MPI
  if (!processes() || cuda::peers()) return;
#ifdef FOVEA_NCCL
  cuda::select_device(place_on_this_machine().rank % cuda::device_count());
  NcclId id = nccl_id();  // that of process 0 counts
  require_success(MPI_Bcast(&id, int(sizeof id), MPI_BYTE, 0, MPI_COMM_WORLD), "MPI_Bcast");
  cuda::set_peers(nccl_peers(id, processes()->rank(), processes()->count()));
#else
  if (!cuda::is_simulated()) cuda::select_device(place_on_this_machine().rank % cuda::device_count());
  cuda::set_peers(std::make_unique<HostPeers>(*processes()));
#endif
#endif
}

void leave_processes() {
  cuda::set_peers(nullptr);
  set_processes(nullptr);
}

void end_all_processes() {
#ifdef FOVEA_MPI
  if (processes()) {
    std::fflush(nullptr);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
#endif
}

}  // namespace fovea
