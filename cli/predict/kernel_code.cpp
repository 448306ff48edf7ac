#include "cli/predict/kernel_code.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iterator>

#include "cli/predict/ptx.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/profile.h"

namespace fovea::cuda {
namespace {

bool is_double_arithmetic(const PtxInstruction& i) {
  static constexpr std::string_view arithmetic[] = {"add.", "sub.",  "mul.", "fma.", "div.",
                                                    "rcp.", "sqrt.", "mad.", "min.", "max."};
  return i.opcode.ends_with("f64") && std::any_of(std::begin(arithmetic), std::end(arithmetic),
                                                  [&](std::string_view word) { return i.is(word); });
}

// The number of machine instructions for one PTX instruction on sm_90, read from machine code. Moves,
// parameters and conversions of pointers vanish; two roundings to bfloat16 become one; 64-bit integers take
// several.
double machine_instructions(const PtxInstruction& i) {
  struct Weight {
    std::string_view prefix;
    double count;
  };
  static constexpr Weight weights[] = {
      {"mov", 0},
      {"ld.param", 0},
      {"cvta", 0},
      {"cvt.rn.bf16.f32", 0.5},
      {"cvt.u32.u16", 0},
      {"cvt.u64.u32", 0},
      {"cvt.s64.s32", 1},
      {"cvt.u32.u64", 0},
      {"neg.f32", 0},
      {"abs.f32", 0},
      {"add.s64", 2},
      {"sub.s64", 2},
      {"mul.lo.s64", 4},
      {"shl.b64", 2},
      {"shr.u64", 2},
      {"shr.s64", 2},
      {"setp.lt.s64", 2},
      {"setp.ge.s64", 2},
      {"setp.eq.s64", 2},
      {"setp.gt.s64", 2},
      {"min.s64", 4},
      {"max.s64", 4},
      {"selp.b64", 2},
      {"and.b64", 2},
      {"or.b64", 2},
      {"div.u32", 16},
      {"rem.u32", 17},
      {"div.s32", 20},
      {"rem.s32", 22},
      {"div.u64", 20},
      {"div.s64", 20},
      {"rem.u64", 20},
      {"rem.s64", 20},
      {"div.rn.f32", 11},
      {"rcp.rn.f32", 8},
      {"sqrt.rn.f32", 9},
      {"ex2.approx.ftz", 1},
      {"ex2.approx", 3},
      {"lg2.approx.ftz", 1},
      {"lg2.approx", 3},
      {"div.rn.f64", 40},
      {"sqrt.rn.f64", 40},
      {"expected_", 0},
      {"and.pred", 0},
      {"or.pred", 0},
      {"not.pred", 0},
      {"bra", 0.7},
      {"st.shared", 1},   // also for doubles
      {"cp.async.c", 4},  // ptxas puts three loads that do nothing before each copy
  };
  for (const Weight& weight : weights)
    if (i.is(weight.prefix)) return weight.count;
  return i.opcode.ends_with("f64") ? 2 : 1;
}

bool is_barrier(const PtxInstruction& i) {
  return i.is("bar") && !i.is("bar.warp");
}  // a barrier for the whole block

// Assumed where a loop's length is neither a constant nor stated by EXPECT_TRIPS().
constexpr double trips_with_loads = 3, trips_with_barriers = 5, trips_else = 4;

constexpr double instructions_of_entry = 35;       // addresses and parameters, which PTX does not show
constexpr double bytes_of_round = 64;              // that a thread has in flight at once
constexpr size_t instructions_as_predicates = 24;  // that a branch skips

class Reader {
 public:
  explicit Reader(const PtxKernel& kernel) : kernel_(kernel), own_(kernel.loops.size() + 1) {
    const std::set<int> skipped = skipped_blocks();
    for (int block = 0; block < int(kernel.blocks.size()); ++block)
      if (!skipped.contains(block)) own_[size_t(kernel.innermost_loop(block) + 1)].push_back(block);
  }

  KernelCode read() const {
    KernelCode code;
    code.name = kernel_name_of_symbol(kernel_.symbol.c_str());
    code.max_threads = kernel_.max_threads;
    count_accesses(code);
    const int main = main_loop();
    const int ticket = ticket_block();
    std::vector<int> first, last;
    for (const int block : own_[0]) (block <= ticket ? first : last).push_back(block);
    code.once = cost_of_blocks(first);
    code.last = cost_of_blocks(last);
    for (int i = 0; i < int(kernel_.loops.size()); ++i) {
      if (kernel_.loops[size_t(i)].parent != -1) continue;
      if (i == main) {
        code.varies = has_unknown_loops(i);
        code.step = cost_of_loop(i) * (1.0 / unrolled(i));
      } else if (!is_remainder(i, main)) {
        (kernel_.loops[size_t(i)].header <= ticket ? code.once : code.last) += before_or_after(i);
      }
    }
    code.once.instructions += instructions_of_entry;
    return code;
  }

 private:
  // Adds the blocks that can be reached from `block` without passing through one of `closed`.
  void reach(int block, const std::set<int>& closed, std::set<int>& reached) const {
    if (closed.contains(block) || !reached.insert(block).second) return;
    for (const int next : kernel_.blocks[size_t(block)].next) reach(next, closed, reached);
  }

  // The blocks with a note of EXPECT_SKIPPED(), and those that only they lead to.
  std::set<int> skipped_blocks() const {
    std::set<int> noted, all, without, result;
    for (int block = 0; block < int(kernel_.blocks.size()); ++block)
      for (const PtxInstruction& i : kernel_.blocks[size_t(block)].instructions)
        if (i.is("expected_skipped")) noted.insert(block);
    reach(0, {}, all);
    reach(0, noted, without);
    std::set_difference(all.begin(), all.end(), without.begin(), without.end(),
                        std::inserter(result, result.end()));
    return result;
  }

  void count_accesses(KernelCode& code) const {
    for (size_t block = 0; block < kernel_.blocks.size(); ++block) {
      const bool in_loop = kernel_.innermost_loop(int(block)) >= 0;
      for (const PtxInstruction& i : kernel_.blocks[block].instructions) {
        if (i.loads_global()) ++code.loads[i.access_bytes()];
        if (i.is("st.global")) ++code.stores[i.access_bytes()];
        if (i.is("st.global") && in_loop) ++code.stores_in_loops[i.access_bytes()];
        if (!is_double_arithmetic(i)) continue;
        ++code.double_operations;
        code.double_operations_in_loops += in_loop;
      }
    }
  }

  // The target of a branch that skips many instructions, else -1. The compiler does not turn such a branch
  // into predicates, and moves no loads across it.
  int far_target(int block) const {
    const PtxBlock& from = kernel_.blocks[size_t(block)];
    if (from.instructions.empty() || from.next.size() != 2 || !from.instructions.back().predicated) return -1;
    size_t skipped = 0;
    for (int i = block + 1; i < from.next[0]; ++i) skipped += kernel_.blocks[size_t(i)].instructions.size();
    return skipped > instructions_as_predicates ? from.next[0] : -1;
  }

  // The cost of consecutive blocks, without the loops between them. A load that needs the value of another
  // load comes a round later. The compiler moves no load across a store, a barrier or a far branch, and it
  // keeps few registers for loaded values.
  CodeCost cost_of_blocks(const std::vector<int>& blocks) const {
    CodeCost cost;
    std::map<std::string, int> depth_of;
    std::set<int> begins_segment;
    int depth = 0;
    double loaded = 0;  // in this segment
    const auto end_segment = [&] {
      cost.rounds += std::max(double(depth), loaded / bytes_of_round);
      cost.loaded += loaded;
      depth = 0;
      loaded = 0;
      depth_of.clear();
    };
    for (const int block : blocks) {
      if (begins_segment.contains(block)) end_segment();
      for (const PtxInstruction& i : kernel_.blocks[size_t(block)].instructions) {
        cost.instructions += machine_instructions(i);
        if (i.is("st.global")) cost.stored += i.access_bytes();
        if (i.copies_async()) cost.loaded += i.access_bytes();  // and the wait comes later:
        // If n newer groups of copies may still be in flight, n + 1 steps share a wait.
        if (i.is("cp.async.wait")) cost.rounds += 1.0 / (1 + std::atoi(i.operands.c_str()));
        if (is_barrier(i)) ++cost.barriers;
        if (i.is("mma.sync")) ++cost.products;
        if (i.is("st.global") || is_barrier(i)) end_segment();
        int of_this = 0;
        for (const std::string& name : i.reads)
          if (const auto found = depth_of.find(name); found != depth_of.end())
            of_this = std::max(of_this, found->second);
        if (i.is("ld.global")) {
          ++of_this;
          loaded += i.access_bytes();
        }
        depth = std::max(depth, of_this);
        for (const std::string& name : i.writes) depth_of[name] = of_this;
      }
      if (const int target = far_target(block); target >= 0) {
        end_segment();
        begins_segment.insert(target);
      }
    }
    end_segment();
    return cost;
  }

  // The notes of EXPECT_TRIPS() in a loop, and how often the compiler has repeated each.
  std::map<std::string, int> notes(int loop) const {
    std::map<std::string, int> result;
    for (const int block : own_[size_t(loop) + 1])
      for (const PtxInstruction& i : kernel_.blocks[size_t(block)].instructions)
        if (i.is("expected_trips")) ++result[i.operands];
    return result;
  }

  // -1 if nothing states it. The remainder of an unrolled loop has the same note, fewer times, and no trips.
  double expected_trips(int loop) const {
    const std::map<std::string, int> here = notes(loop);
    if (here.empty()) return -1;
    const auto& [note, times] = *here.begin();
    for (int i = 0; i < int(kernel_.loops.size()); ++i) {
      const std::map<std::string, int> there = notes(i);
      if (const auto found = there.find(note); found != there.end() && found->second > times) return 0;
    }
    return std::atof(note.c_str()) / times;
  }

  double assumed_trips(int loop) const {
    if (const double trips = expected_trips(loop); trips >= 0) return trips;
    if (const int trips = kernel_.constant_trips(loop)) return trips;
    const CodeCost cost = cost_of_blocks(own_[size_t(loop) + 1]);
    return cost.loaded > 0 ? trips_with_loads : cost.barriers > 0 ? trips_with_barriers : trips_else;
  }

  // A loop other than the main one is short, and its loads do not wait for one another: filters, fusion
  // weights.
  CodeCost before_or_after(int loop) const {
    const double trips = assumed_trips(loop);
    CodeCost cost = cost_of_loop(loop) * trips;
    if (kernel_.constant_trips(loop) == 0 && expected_trips(loop) < 0)
      cost.rounds = std::min(cost.rounds, 1.0);
    return cost;
  }

  // One step of the loop, with all its inner loops.
  CodeCost cost_of_loop(int loop) const {
    CodeCost cost = cost_of_blocks(own_[size_t(loop) + 1]);
    for (int i = 0; i < int(kernel_.loops.size()); ++i)
      if (kernel_.loops[size_t(i)].parent == loop) cost += cost_of_loop(i) * assumed_trips(i);
    return cost;
  }

  bool has_unknown_loops(int loop) const {
    for (int i = 0; i < int(kernel_.loops.size()); ++i)
      if (kernel_.loops[size_t(i)].parent == loop &&
          ((kernel_.constant_trips(i) == 0 && expected_trips(i) < 0) || has_unknown_loops(i)))
        return true;
    return false;
  }

  // The block in which the kernel takes a ticket: only the last thread block executes what follows
  // (cuda/device/last_block.h).
  int ticket_block() const {
    for (size_t block = 0; block < kernel_.blocks.size(); ++block)
      for (const PtxInstruction& i : kernel_.blocks[block].instructions)
        if (i.is("atom.global.inc")) return int(block);
    return int(kernel_.blocks.size());
  }

  // The outermost loop that moves the most bytes; a loop that copies tiles to shared memory precedes all
  // others. -1 if no loop moves anything.
  int main_loop() const {
    int best = -1;
    double most = 0;
    for (int i = 0; i < int(kernel_.loops.size()); ++i) {
      if (kernel_.loops[size_t(i)].parent != -1 || kernel_.loops[size_t(i)].header > ticket_block()) continue;
      const CodeCost cost = cost_of_loop(i);
      const double moved = (copies_async(i) ? 1e9 : 0) + cost.loaded + cost.stored;
      if (moved <= most) continue;
      most = moved;
      best = i;
    }
    return best;
  }

  bool copies_async(int loop) const {
    for (const int block : kernel_.loops[size_t(loop)].blocks)
      for (const PtxInstruction& i : kernel_.blocks[size_t(block)].instructions)
        if (i.copies_async()) return true;
    return false;
  }

  std::map<std::string, int> accesses(const std::vector<int>& blocks) const {
    std::map<std::string, int> result;
    for (const int block : blocks)
      for (const PtxInstruction& i : kernel_.blocks[size_t(block)].instructions)
        if (i.accesses_global()) ++result[i.opcode];
    return result;
  }

  // How many times the accesses of `part` fit into those of `whole`; 0 if they do not.
  static int times(const std::map<std::string, int>& whole, const std::map<std::string, int>& part) {
    if (part.empty() || whole.size() != part.size()) return 0;
    const int factor = whole.begin()->second / part.begin()->second;
    for (const auto& [opcode, count] : part) {
      const auto found = whole.find(opcode);
      if (found == whole.end() || found->second != count * factor) return 0;
    }
    return factor;
  }

  bool has_inner(int loop) const {
    return std::any_of(kernel_.loops.begin(), kernel_.loops.end(),
                       [&](const PtxLoop& other) { return other.parent == loop; });
  }

  // nvcc unrolls short loops, and handles the remainder in a second copy with fewer accesses.
  bool is_remainder(int loop, int main) const {
    if (main < 0 || has_inner(main) || has_inner(loop)) return false;
    return times(accesses(own_[size_t(main) + 1]), accesses(own_[size_t(loop) + 1])) > 1;
  }
  int unrolled(int main) const {
    if (has_inner(main)) return 1;
    const auto whole = accesses(own_[size_t(main) + 1]);
    int result = 1;
    for (int i = 0; i < int(kernel_.loops.size()); ++i)
      if (i != main && kernel_.loops[size_t(i)].parent == -1 && !has_inner(i))
        result = std::max(result, times(whole, accesses(own_[size_t(i) + 1])));
    for (const int block : own_[0]) result = std::max(result, times(whole, accesses({block})));
    return result;
  }

  const PtxKernel& kernel_;
  std::vector<std::vector<int>> own_;  // blocks of each loop without its inner loops; [0]: of no loop
};

}  // namespace

CodeCost& CodeCost::operator+=(const CodeCost& other) {
  instructions += other.instructions;
  rounds += other.rounds;
  loaded += other.loaded;
  stored += other.stored;
  barriers += other.barriers;
  products += other.products;
  return *this;
}
CodeCost CodeCost::operator*(double factor) const {
  return {instructions * factor, rounds * factor,   loaded * factor,
          stored * factor,       barriers * factor, products * factor};
}

std::vector<KernelCode> read_ptx(std::string_view ptx) {
  std::vector<KernelCode> result;
  for (const PtxKernel& kernel : parse_ptx(ptx)) result.push_back(Reader(kernel).read());
  return result;
}

void add_ptxas_report(std::string_view report, std::string_view architecture,
                      std::vector<KernelCode>& kernels) {
  std::map<std::string, std::vector<KernelCode*>> by_name;
  for (KernelCode& kernel : kernels) by_name[kernel.name].push_back(&kernel);
  std::set<std::string> found;
  std::string current;
  const auto number_before = [](std::string_view line, std::string_view words) {
    const size_t at = line.find(words);
    if (at == std::string_view::npos) return 0;
    size_t begin = line.find_last_not_of("0123456789", at - 1) + 1;
    int value = 0;
    std::from_chars(line.data() + begin, line.data() + at, value);
    return value;
  };
  for (size_t at = 0; at < report.size();) {
    const size_t end = std::min(report.find('\n', at), report.size());
    const std::string_view line = report.substr(at, end - at);
    at = end + 1;
    if (const size_t entry = line.find("Compiling entry function '"); entry != std::string_view::npos) {
      const size_t begin = line.find('\'') + 1, stop = line.find('\'', begin);
      const bool wanted = line.find(fmt::format("for '{}'", architecture), stop) != std::string_view::npos;
      current = wanted ? kernel_name_of_symbol(std::string(line.substr(begin, stop - begin)).c_str()) : "";
      if (wanted) found.insert(current);
      continue;
    }
    if (current.empty()) continue;
    for (KernelCode* kernel : by_name[current]) {
      kernel->architecture = architecture;
      if (line.find("bytes stack frame") != std::string_view::npos) {
        kernel->stack_bytes = number_before(line, " bytes stack frame");
        kernel->spill_bytes =
            number_before(line, " bytes spill stores") + number_before(line, " bytes spill loads");
      }
      if (line.find("Used ") != std::string_view::npos) {
        kernel->registers = number_before(line, " registers");
        kernel->shared_bytes = number_before(line, " bytes smem");
      }
    }
  }
  for (const KernelCode& kernel : kernels)
    if (!found.contains(kernel.name))
      throw CudaError(
          fmt::format("the ptxas report for {} does not contain kernel {}", architecture, kernel.name));
}

}  // namespace fovea::cuda
