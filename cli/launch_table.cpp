#include "cli/launch_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/predict/launch_model.h"
#include "core/error.h"
#include "core/file.h"
#include "cuda/runtime/device.h"
#include "train/diagnose/timing.h"

namespace fovea {
namespace {

struct KernelRow {
  std::string name;
  int64_t launches = 0, bytes = 0;
  double seconds = 0;
  double predicted = 0, waves = 0, in_flight = 0;
  std::map<cuda::Limit, double> limited;  // seconds by what limits a launch

  const char* limit() const {
    const auto most = std::max_element(limited.begin(), limited.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    return most == limited.end() ? "" : cuda::name(most->first);
  }
};

}  // namespace

void print_launches(const std::string& what, const std::vector<cuda::LaunchTime>& launches,
                    const std::optional<cuda::Gpu>& gpu) {
  std::map<std::string, KernelRow> by_name;
  KernelRow all{"all"};
  int64_t unknown = 0;
  for (const cuda::LaunchTime& launch : launches) {
    const cuda::LaunchPrediction prediction =
        gpu ? cuda::predict(launch, *gpu, cuda::code_table()) : cuda::LaunchPrediction();
    unknown += !prediction.known;
    for (KernelRow* row : {&by_name[launch.kernel], &all}) {
      ++row->launches;
      row->bytes += launch.bytes;
      row->seconds += launch.seconds;
      row->predicted += prediction.seconds;
      row->waves += prediction.waves;
      row->in_flight += prediction.bytes_in_flight;
      row->limited[prediction.limit] += prediction.seconds;
    }
  }
  std::vector<KernelRow> rows;
  for (auto& [name, row] : by_name) {
    row.name = name;
    rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end(), [](const KernelRow& a, const KernelRow& b) {
    return std::tuple(a.seconds, a.predicted, a.bytes) > std::tuple(b.seconds, b.predicted, b.bytes);
  });
  rows.push_back(all);

  const bool measured = !cuda::is_simulated();
  require(measured || gpu, "launches of a simulated device have no times: name the GPU to predict them for");
  const double rate = measured ? copy_rate(Device::cuda) : gpu->bandwidth;
  fmt::print(
      "\nbound: the bytes at {:.0f} GB/s, read and written{}; bytes are those of the buffers a kernel is "
      "given, each once\n",
      rate / 1e9,
      measured ? ", which a plain copy was measured to move"
               : fmt::format(", the copy rate of {}", gpu->name));
  if (gpu)
    fmt::print(
        "predicted: on {} from the kernels' code and the launches' shapes (docs/cuda.md says how far it is "
        "off); waves and\n"
        "bytes in flight are means over the launches\n",
        gpu->name);
  fmt::print("{:<60} {:>8} {:>10} {:>10}", what + ", by kernel", "launches", "MB", "bound, ms");
  if (measured) fmt::print(" {:>10} {:>7} {:>9} {:>8}", "ms", "share", "GB/s", "of bound");
  if (gpu)
    fmt::print(" {:>13} {:>7} {:>8} {:>7} {:>9}  {}", "predicted, ms", "share", "of bound", "waves",
               "in flight", "limited by");
  fmt::print("\n");
  for (const KernelRow& row : rows) {
    const double bound = double(row.bytes) / rate, count = double(row.launches);
    fmt::print("{:<60} {:>8} {:>10.1f} {:>10.4f}", row.name.substr(0, 60), row.launches,
               double(row.bytes) / 1e6, bound * 1e3);
    if (measured)
      fmt::print(" {:>10.4f} {:>6.1f}% {:>9.1f} {:>7.0f}%", row.seconds * 1e3,
                 100 * row.seconds / all.seconds, double(row.bytes) / row.seconds / 1e9,
                 100 * bound / row.seconds);
    if (gpu)
      fmt::print(" {:>13.4f} {:>6.1f}% {:>7.0f}% {:>7.2f} {:>6.0f} KB  {}", row.predicted * 1e3,
                 100 * row.predicted / all.predicted, 100 * bound / row.predicted, row.waves / count,
                 row.in_flight / count / 1e3, &row == &rows.back() ? "" : row.limit());
    fmt::print("\n");
  }
  if (unknown > 0)
    fmt::print(
        "{} launches are of kernels that the table of kernels does not have: 64 registers were assumed "
        "(scripts/kernel_report --update)\n",
        unknown);
}

void print_scores(const std::string& what, const std::vector<cuda::KernelScore>& scores) {
  struct Row {
    std::string name;
    int64_t launches = 0;
    cuda::AccessScore reads, writes, shared;
  };
  std::map<std::string, Row> by_name;
  Row all{"all"};
  for (const cuda::KernelScore& score : scores)
    for (Row* row : {&by_name[score.kernel], &all}) {
      ++row->launches;
      row->reads += score.reads();
      row->writes += score.writes();
      row->shared += score.shared_reads;
      row->shared += score.shared_writes;
    }
  std::vector<Row> rows;
  for (auto& [name, row] : by_name) {
    row.name = name;
    rows.push_back(row);
  }
  const auto sectors = [](const Row& row) { return row.reads.sectors + row.writes.sectors; };
  std::sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) { return sectors(a) > sectors(b); });
  rows.push_back(all);
  fmt::print(
      "\nread: the bytes that threads ask for, and how often each; sectors of 32 bytes and lanes are means "
      "over the\n"
      "requests of warps (cuda/sim/README.md says what is counted)\n");
  fmt::print("{:<60} {:>8} {:>9} {:>6} {:>8} {:>11} {:>8} {:>11} {:>10} {:>6}\n", what + ", by kernel",
             "launches", "read, MB", "times", "sectors", "written, MB", "sectors", "shared", "conflicts",
             "lanes");
  for (const Row& row : rows) {
    cuda::AccessScore accesses = row.shared;
    accesses += row.reads;
    accesses += row.writes;
    fmt::print("{:<60} {:>8} {:>9.2f} {:>6.2f} {:>8.2f} {:>11.2f} {:>8.2f} {:>11} {:>10} {:>6.1f}\n",
               row.name.substr(0, 60), row.launches, double(row.reads.bytes) / 1e6, row.reads.times(),
               row.reads.sectors_per_request(), double(row.writes.bytes) / 1e6,
               row.writes.sectors_per_request(), row.shared.requests, row.shared.conflicts,
               accesses.lanes_per_request());
  }
}

void write_launches(const std::string& path, const std::vector<cuda::LaunchTime>& launches,
                    const cuda::Gpu& gpu) {
  std::string text =
      "kernel,blocks,threads,shared_bytes,steps,bytes,measured_us,gpu,predicted_us,limit,blocks_per_"
      "multiprocessor,waves,bytes_in_flight\n";
  for (const cuda::LaunchTime& launch : launches) {
    const cuda::LaunchPrediction p = cuda::predict(launch, gpu, cuda::code_table());
    text += fmt::format("\"{}\",{},{},{},{},{},{:.3f},{},{:.3f},{},{},{:.3f},{:.0f}\n", launch.kernel,
                        launch.shape.blocks, launch.shape.threads, launch.shape.shared_bytes,
                        launch.shape.steps, launch.bytes, launch.seconds * 1e6, gpu.name, p.seconds * 1e6,
                        cuda::name(p.limit), p.blocks_per_multiprocessor, p.waves, p.bytes_in_flight);
  }
  write_file_atomically(path, text);
}

}  // namespace fovea
