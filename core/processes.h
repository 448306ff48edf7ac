#pragma once
#include <memory>
#include <span>
#include <vector>

namespace fovea {

// The processes that train one network together, each on its share of every batch (data parallelism): what
// they tell each other. A call is one of all processes together: each makes it, in the same order, with as
// many numbers. Sums are added in the order of the ranks, so that every process has the same bits, whichever
// was first. Only the thread that trains may call.
class Processes {
 public:
  virtual ~Processes() = default;
  virtual int rank() const = 0;  // 0 .. count() - 1; process 0 is the one that speaks and writes files
  virtual int count() const = 0;
  // The numbers of all processes, one process after the other.
  virtual std::vector<double> gather(std::span<const double> values) = 0;
  // Each number becomes the sum of that of all processes.
  virtual void sum(std::span<float> values) = 0;
};

// Those of this program; null where it is alone, as nearly always.
Processes* processes();
void set_processes(std::unique_ptr<Processes> processes);

// Element by element the sums over all processes; `values` itself where the program is alone.
std::vector<double> sum_over_processes(std::vector<double> values);

}  // namespace fovea
